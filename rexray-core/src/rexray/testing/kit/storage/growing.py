"""Growing volumes."""
