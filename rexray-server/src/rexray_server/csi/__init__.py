"""The CSI side of the daemon."""
