"""The checks of volume drivers."""
