"""Waiting for a mapped volume's device."""

from __future__ import annotations

import logging
import time

from rexray.errors import RexrayError, TimedOut, WrongDevice
from rexray_driver_scaleio.scini import Found, Scini
from rexray_driver_scaleio.sdc import SECONDS, Mapped, Sdc

log = logging.getLogger(__name__)

_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 0.5
_RESCAN_AFTER = 1.0
"""Seconds after which the SDC is asked to look for a volume: it learns of most at once, by itself."""
_SETTLED_AFTER = 3.0
"""Seconds that udev and the SDC have to put right what contradicts the attachment, such as a link of old."""
_HINT_SECONDS = 2.0


class Wait:
    """For the device of the volume ``wanted``, of ``size`` bytes where that is not 0."""

    def __init__(self, sdc: Sdc, scini: Scini, wanted: Mapped, size: int) -> None:
        self._sdc, self._scini, self._wanted, self._size = sdc, scini, wanted, size

    def wait(self, deadline: float) -> Found:
        """The device, once it is there with a size; ``TimedOut`` after that many seconds says what may be wrong.

        ``WrongDevice`` if what is there is another volume's or has another size, and soon still is and has.
        """
        started = time.monotonic()
        until, pause, rescanned = started + deadline, _SHORTEST_WAIT, False
        while True:
            found = self._scini.find(self._wanted, seconds=_within(until - time.monotonic()))
            wrong = self._contradiction(found) if found else ""
            now = time.monotonic()
            if found and not wrong and self._scini.size(found.node):
                return found
            if wrong and now - started >= min(_SETTLED_AFTER, deadline):
                raise WrongDevice(
                    f"the device of {self._wanted.volume_id!r} is not its own: {wrong}; nothing was done to it"
                )
            if now >= until:
                raise TimedOut(self._late(found, deadline))
            if not rescanned and now - started >= min(_RESCAN_AFTER, deadline / 2):
                rescanned = True
                self._rescan(until - now)
            else:
                time.sleep(min(pause, until - now))
                pause = min(pause * 2, _LONGEST_WAIT)

    def _contradiction(self, found: Found) -> str:
        if found.told is not None and found.told != self._wanted:
            return f"{found.node} has the link {self._wanted.link}, and drv_cfg says that it is {found.told.link}"
        has = self._scini.size(found.node)
        if has and has < self._size:  # one that has grown since it was attached is larger
            return f"{found.node} has {has} bytes, and the volume has {self._size}"
        return ""

    def _rescan(self, left: float) -> None:
        try:
            self._sdc.rescan(seconds=_within(left))
        except RexrayError as error:  # the volume may come by itself
            log.warning("cannot have the SDC look for volume %s: %s", self._wanted.volume_id, error)

    def _late(self, found: Found | None, deadline: float) -> str:
        """Why the volume did not come, as far as the SDC can tell."""
        wanted = self._wanted
        text = f"volume {wanted.volume_id!r} of the system {wanted.system_id} did not appear within {deadline:g} s: "
        if found:
            return f"{text}its device {found.node} has a size of 0 bytes; check the SDC's connection to its system"
        try:
            has_it = wanted in self._sdc.volumes(seconds=_HINT_SECONDS)
        except RexrayError as error:
            return f"{text}check the SDC's connection to its system ({error})"
        if has_it:
            return (
                f"{text}the SDC has it, but {self._scini.by_id} has no {wanted.link} and drv_cfg does not tell its "
                "device; check the SDC's udev rule"
            )
        return f"{text}the SDC does not have it; check its connection to its system (drv_cfg --query_mdms)"


def _within(left: float) -> float:
    """How long the SDC may take to answer, so that the deadline is kept but for a moment."""
    return min(SECONDS, max(left, _LONGEST_WAIT))
