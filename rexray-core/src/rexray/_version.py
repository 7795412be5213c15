"""The version of the lock-stepped REX-Ray distributions."""

__version__ = "0.1.0"
