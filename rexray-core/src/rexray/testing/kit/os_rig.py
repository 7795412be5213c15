"""What an OS driver is checked on: its class, block devices that are made for the checks, and a folder for mounts."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rexray.drivers import OSDriver
from rexray.errors import Busy, InUse, RexrayError
from rexray.settings import Sources
from rexray.testing.kit.check import Caught, Skipped, expect
from rexray.testing.kit.disks import Disks, Files, HostFiles
from rexray.testing.kit.driver_rig import HostRig
from rexray.types import Device

MIB = 1 << 20

_PAUSE = 0.05

T = TypeVar("T")


class OSRig(HostRig[OSDriver]):
    """An OS driver under test, on this host.

    ``driver`` is its class; ``sources`` configure it. ``disks`` makes blank block devices. ``folder`` is where the
    checks mount; they make a folder of their own in it. ``files`` are those of the host that the driver is of.
    ``fs_type`` is a filesystem that it can make and grow, ``other_fs_type`` another one. ``hung`` gives a block with
    a mount whose filesystem answers nothing, and a driver that waits for an answer ``answer`` seconds;
    ``slack`` is by how many a call may outlast its deadline, on a host that is busy.

    It is a context manager: what the checks mounted is unmounted at its end, and the devices are removed.
    """

    def __init__(
        self,
        driver: type[OSDriver],
        sources: Sources,
        disks: Disks,
        folder: Path,
        *,
        files: Files | None = None,
        fs_type: str = "ext4",
        other_fs_type: str = "ext3",
        size_bytes: int = 32 * MIB,
        hung: Callable[[], AbstractContextManager[tuple[OSDriver, Path]]] | None = None,
        answer: float = 0.0,
        slack: float = 5.0,
        patience: float = 120.0,
    ) -> None:
        super().__init__(driver, sources, patience, slack)
        self.disks = disks
        self.files: Files = files or HostFiles()
        self.fs_type = fs_type
        self.other_fs_type = other_fs_type
        self.size_bytes = size_bytes
        self.answer = answer
        self.folder = folder / f"kit-{secrets.token_hex(8)}"
        self._hung = hung
        self._numbers = itertools.count(1)
        self._targets: list[Path] = []

    def path(self, *names: str) -> Path:
        """A new path in the folder, or that of those names; what is mounted there is unmounted at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder.joinpath(*(names or (f"m{next(self._numbers)}",)))
        self._targets.append(path)
        return path

    def blank(self) -> Device:
        """A new device with nothing on it."""
        return self.disks.make(self.size_bytes)

    def formatted(self) -> Device:
        """A new device with a filesystem of the rig's type, which the driver made."""
        device = self.blank()
        self.driver.format(device, self.fs_type)
        return device

    def mounted(self, target: Path | None = None, *, options: tuple[str, ...] = ()) -> tuple[Device, Path]:
        """A new device with a filesystem, mounted at that or a new path."""
        device, target = self.formatted(), target or self.path()
        self.driver.mount(device, target, options=options)
        return device, target

    def hung(self) -> AbstractContextManager[tuple[OSDriver, Path]]:
        """A driver, and a mount whose filesystem answers nothing; the check is skipped where none can be had."""
        if self._hung is None:
            raise Skipped("nothing is given that has a filesystem hang")
        return self._hung()

    def count(self, target: Path) -> int:
        """How many mounts there are at exactly that path, by the list of all."""
        return sum(point.path == target for point in self.driver.mounts())

    def ends(self, device: Device) -> bytes:
        """What the device holds at its beginning and at its end, a MiB each."""
        last = self.disks.size(device) - MIB
        return self.disks.read(device, 0, MIB) + self.disks.read(device, last, MIB)

    def while_busy(self, call: Callable[[], T]) -> T:
        """What comes of a call once nothing is in its way: programs that a killed process began may still run."""
        until = time.monotonic() + 2 * self.slack
        while True:
            try:
                return call()
            except (Busy, InUse):
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    def tidy(self) -> None:
        """Thaw and unmount what the checks mounted, and remove the devices."""
        driver = self.restarted()
        for target in reversed(self._targets):
            for step in (driver.thaw, driver.unmount):
                with contextlib.suppress(RexrayError, OSError):  # what is left is seen below
                    step(target)
        self._targets.clear()
        self.files.clear(self.folder)
        self.disks.close()


def mistaken(device: Device, other: Device) -> Device:
    """A device that is where the one is, and has the identity of the other."""
    return replace(device, identity=other.identity)


def expect_named(caught: Caught, name: object, what: str) -> None:
    """Fail unless the error's message has the name in it, plain or as Python writes it."""
    text = str(name)
    expect(
        text in caught.text or repr(text)[1:-1] in caught.text, f"{what}: the error names no {text!r}: {caught.text}"
    )
