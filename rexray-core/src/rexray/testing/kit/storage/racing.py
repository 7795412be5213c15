"""Calls at the same moment."""
