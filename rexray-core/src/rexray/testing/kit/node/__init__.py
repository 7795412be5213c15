"""The checks of node drivers."""
