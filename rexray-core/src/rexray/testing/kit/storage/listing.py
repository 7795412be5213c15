"""Listing and looking up volumes and instances."""
