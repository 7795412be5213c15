"""The checks of storage drivers."""
