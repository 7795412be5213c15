"""Attaching and detaching."""
