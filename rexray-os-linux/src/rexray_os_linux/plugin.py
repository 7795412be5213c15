"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import OSDriver


@hookimpl
def rexray_os_drivers() -> Sequence[type[OSDriver]]:
    """The OS driver ``linux``."""
    from rexray_os_linux.driver import LinuxOS

    return [LinuxOS]
