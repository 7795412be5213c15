"""loop: a storage platform without a cloud, whose volumes are sparse files and loop devices."""

__version__ = "0.1.0"
