"""Who on this host uses a mapped device: asked before it is unmapped, for rbd-nbd takes one away regardless."""

from __future__ import annotations

import contextlib
import functools

from rexray import uses
from rexray.deadlines import within
from rexray.errors import InUse, RexrayError, TimedOut
from rexray_driver_ceph.mapping import Mapped, wait_until

_LOOK_SECONDS = 10.0
"""How long that may take: closing a device whose cluster is down waits until what was written to it has arrived."""
_OPEN_SECONDS = 2.0
"""How long a program may have a device open that is to go: udev looks at each that was written to."""


def refuse_used(mapped: Mapped, error: type[RexrayError] = InUse, more: str = "") -> None:
    """The error says by whom the device is mounted, held, bound or open, and ``more``."""
    device, said = mapped.device, f"volume {str(mapped.spec)!r} is in use on this host: {mapped.device} is"
    user = within(_LOOK_SECONDS, f"look who uses {device}", functools.partial(uses.user, device))
    if user:
        raise error(f"{said} {user}{more}")

    def opener() -> str:
        return uses.opener(device, beside=(mapped.helper,))

    with contextlib.suppress(FileNotFoundError):
        try:
            wait_until(lambda: not opener(), seconds=_OPEN_SECONDS, action=f"find {device} unused")
        except TimedOut:
            raise error(f"{said} open in {opener()}{more}") from None
