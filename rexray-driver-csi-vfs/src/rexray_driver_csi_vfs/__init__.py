"""csi-vfs: a native CSI plug-in whose volumes are directories of this host."""

__version__ = "0.1.0"
