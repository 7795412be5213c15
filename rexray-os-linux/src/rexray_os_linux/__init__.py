"""This host's block devices, filesystems and mounts on Linux."""

__version__ = "0.1.0"
