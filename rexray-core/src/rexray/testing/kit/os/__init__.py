"""The checks of OS drivers."""
