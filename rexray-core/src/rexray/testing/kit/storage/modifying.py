"""Changing what a volume is."""
