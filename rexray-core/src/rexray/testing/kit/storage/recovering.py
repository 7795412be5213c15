"""Processes that are killed, and drivers that start anew."""
