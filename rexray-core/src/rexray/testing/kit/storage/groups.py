"""Group snapshots."""
