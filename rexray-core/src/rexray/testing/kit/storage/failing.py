"""Errors: of platforms that are away, that hang, or that refuse the credentials."""
