"""Files that run REX-Ray elsewhere: in a cluster, in a container, on hosts that are made from packages."""
