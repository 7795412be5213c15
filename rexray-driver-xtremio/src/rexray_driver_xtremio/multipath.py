"""The multipath devices over an array's disks: made, grown and taken away by multipath-tools.

Facts: multipath(8), multipathd(8): the device of a volume has the UUID ``mpath-3<naa>``, and the name ``3<naa>`` unless
``user_friendly_names`` or an alias gives it another one. Where multipath.conf has ``find_multipaths strict``, only what
``multipath -a`` wrote to the file of known volumes becomes one. A map that queues while it has no path never ends its
requests, so that it must not when it is to go (``multipathd disablequeueing``). ``resize`` takes the size of the paths.
kpartx puts a device with the UUID ``part<n>-mpath-3<naa>`` over each partition, which ``multipath -f`` takes away too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rexray import child
from rexray.child import Ended
from rexray.errors import NotReady, Unavailable
from rexray_driver_xtremio.paths import Disk, names_in, text

PACKAGE = "multipath-tools"

_SECONDS = 20.0
_PAUSE = 0.2
_PARTITION = "part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A multipath device: its name for multipath-tools, the kernel's such as ``dm-0``, its node and its disks."""

    name: str
    kernel: str
    node: Path
    paths: tuple[str, ...]


class Multipath:
    """The multipath devices below ``sys`` (sysfs), with their nodes below ``dev``."""

    def __init__(self, sys: Path, dev: Path) -> None:
        self._block, self._dev = sys / "block", dev

    def find(self, naa: str) -> Map | None:
        """The device over the paths to that volume."""
        for kernel in sorted(names_in(self._block)):
            if kernel.startswith("dm-") and text(self._block / kernel / "dm/uuid") == f"mpath-3{naa}":
                return Map(
                    name=text(self._block / kernel / "dm/name"),
                    kernel=kernel,
                    node=self._dev / kernel,
                    paths=tuple(sorted(names_in(self._block / kernel / "slaves"))),
                )
        return None

    def partitions(self, found: Map) -> list[str]:
        """The devices that kpartx made of it, by the kernel's names."""
        holders = names_in(self._block / found.kernel / "holders")
        return [name for name in sorted(holders) if text(self._block / name / "dm/uuid").startswith(_PARTITION)]

    def need_daemon(self, until: float) -> None:
        """``NotReady`` if multipathd does not run."""
        asked = self._tell("show", "daemon", until=until)
        if asked.status != 0 or not asked.stdout.startswith("pid"):
            raise NotReady(
                "multipathd does not run on this host, and xtremio.multipath is set: say systemctl start multipathd, "
                "or unset it"
            )

    def make(self, naa: str, disks: Sequence[Disk], until: float) -> str:
        """Have multipathd make the device, or add paths to it; what it objected to, if anything."""
        known = _run("multipath", "-a", str(disks[0].node), until=until)
        said = "" if known.status == 0 else known.complaint
        for disk in disks:
            added = self._tell("add", "path", disk.name, until=until)
            if "ok" not in added.stdout.split():
                said = f"multipathd does not take {disk.node}: {added.complaint}"
        if self.find(naa) is None:
            self._tell("add", "map", f"3{naa}", until=until)
        return said

    def resize(self, found: Map, until: float) -> str:
        """Have the device take the size of its paths; what multipathd objected to, if anything."""
        ended = self._tell("resize", "map", found.name, until=until)
        return "" if ended.status == 0 and "ok" in ended.stdout.split() else f"multipathd: {ended.complaint}"

    def stop_queueing(self, found: Map, until: float) -> None:
        """Have requests fail for which there is no path, rather than wait for one."""
        self._tell("disablequeueing", "map", found.name, until=until)

    def remove(self, found: Map, until: float) -> None:
        """Write out what is under way and take the device away, which nobody uses; ``Unavailable`` if it stays."""
        until = min(until, time.monotonic() + _SECONDS)
        while True:
            self.stop_queueing(found, until)  # multipathd begins anew when it loads a map again
            ended = _run("multipath", "-f", found.name, until=until)
            if ended.status == 0 or not (self._block / found.kernel).exists():
                return
            if time.monotonic() > until:  # udev has it open for a moment, and for longer where it waits for a path
                raise Unavailable(f"cannot take away the multipath device {found.name}: {ended.complaint}")
            time.sleep(_PAUSE)

    def forget(self, disk: Disk, until: float) -> None:
        """Have multipath no longer know the volume, so that its file does not grow with each that ever was here."""
        if child.find("multipath") is not None:
            _run("multipath", "-w", str(disk.node), until=until)

    def _tell(self, *words: str, until: float) -> Ended:
        return _run("multipathd", *words, until=until)


def _run(program: str, *words: str, until: float) -> Ended:
    seconds = min(max(until - time.monotonic(), 0.1), _SECONDS)
    action = " ".join(["say", program, *words])
    return child.run([child.need(program, PACKAGE), *words], seconds=seconds, action=action)
