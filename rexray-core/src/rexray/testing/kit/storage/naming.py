"""Names: the limits, Unicode, and words that mean harm."""
