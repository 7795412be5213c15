"""Secrets stay secret."""
