"""Docker's volume plug-in protocol."""
