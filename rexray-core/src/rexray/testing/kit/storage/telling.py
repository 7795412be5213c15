"""Capacity, health, zones and policies."""
