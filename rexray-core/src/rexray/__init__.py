"""REX-Ray: one way to create, attach, mount, snapshot and copy volumes on any storage platform."""

from rexray._version import __version__
from rexray.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]
