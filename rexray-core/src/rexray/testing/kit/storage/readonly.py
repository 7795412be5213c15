"""Read-only attachments."""
