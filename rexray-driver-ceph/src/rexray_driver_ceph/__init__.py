"""rbd: the images of Ceph clusters, RADOS block devices."""

__version__ = "0.1.0"
