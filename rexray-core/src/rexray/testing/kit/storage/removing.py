"""Removing volumes: what is gone, what stays, what is refused."""
