"""How images become block devices of this host: what every way of doing that offers, and which of them is taken.

What is mapped is told by the kernel, whoever mapped it; what a process remembers would be wrong after the next crash.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rexray import child
from rexray.errors import RexrayError, TimedOut
from rexray_driver_ceph.names import Spec

_MODPROBE_SECONDS = 10.0
_UNDO_SECONDS = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
SECTOR = 512
"""Bytes that a block device's size is a multiple of."""
SYS = Path("/sys")
DEV = Path("/dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An image that is to be mapped, as its attachment tells it; what that leaves out is empty or 0."""

    spec: Spec
    read_only: bool = False
    image_id: str = ""
    features: frozenset[str] = frozenset()
    size_bytes: int = 0
    """How large its device was, or by now has to be."""
    image_bytes: int = 0
    """The size of the image by now, which is more where it is encrypted: its header takes some. 0 if nobody looked."""
    passphrase: Path | None = None
    """The file with the passphrase, of an encrypted image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A mapping of an image that is here."""

    mapper: str
    spec: Spec
    key: str
    """What the mapper knows it by."""
    device: Path
    """What shows the volume's own bytes."""
    lower: Path
    """The mapped device itself, which is another one where dm-crypt is between the two."""
    read_only: bool = False
    image_id: str = ""
    fsid: str = ""
    """The cluster, empty where the mapping does not tell."""
    backing_file: str = ""
    """The file that a loop device shows."""
    helper: int = 0
    """The process that serves it, which has the device open itself."""


class Mapper(ABC):
    """One way to map. The callers hold the image's lock."""

    name: ClassVar[str]

    @abstractmethod
    def missing(self) -> str:
        """What this host lacks for it, empty if it works here; a quick look."""

    @abstractmethod
    def mapped(self) -> Iterator[Mapped]:
        """What is mapped in this way, asking neither the cluster nor a device."""

    @abstractmethod
    def map(self, wanted: Wanted, *, seconds: float) -> Mapped:
        """Map the image; if that fails nothing stays mapped. ``Unsupported`` says what this way cannot do."""

    @abstractmethod
    def complete(self, mapped: Mapped, wanted: Wanted, *, seconds: float) -> Mapped:
        """Have a mapping that is there be all that is wanted: open where it is encrypted, and as large as the image."""

    @abstractmethod
    def unmap(self, mapped: Mapped, *, seconds: float) -> None:
        """Undo :meth:`map` and wait until it is gone; the callers have seen that nobody uses it."""

    @contextlib.contextmanager
    def leaving_nothing(self, spec: Spec) -> Iterator[None]:
        """Unmap what was mapped of the image meanwhile if anything goes wrong; the error tells what cannot be."""
        before = {mapped.key for mapped in self.mapped()}
        try:
            yield
        except BaseException as error:
            said = ""
            for mapped in self.mapped():
                if mapped.spec == spec and mapped.key not in before:
                    said += undo_quietly(functools.partial(self.unmap, mapped, seconds=_UNDO_SECONDS))
            if said and isinstance(error, RexrayError):
                raise type(error)(f"{error}{said}") from None
            raise

    def serves(self, mapped: Mapped) -> bool:
        """Whether what serves the mapping is alive; a device whose server has died gives errors for ever."""
        return not mapped.helper or is_alive(mapped.helper)


def load_module(name: str) -> None:
    """Have the kernel load a module, if it has that; whether it did shows in sysfs."""
    modprobe = child.find("modprobe")
    if modprobe is not None:
        child.run([modprobe, "--quiet", name], seconds=_MODPROBE_SECONDS, action=f"load the kernel's module {name}")


def wait_until(done: Callable[[], bool], *, seconds: float, action: str) -> None:
    """Wait for what cannot be waited for otherwise; ``TimedOut`` says that the ``action`` was not done in time."""
    until, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not done():
        left = until - time.monotonic()
        if left <= 0:
            raise TimedOut(f"cannot {action}: it was not done within {max(seconds, 0):g} s")
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def size_of(device: Path) -> int:
    """A block device's size in bytes, as sysfs tells it without opening the device; 0 if it is not there."""
    try:
        number = os.stat(device).st_rdev
        return int((SYS / "dev/block" / f"{os.major(number)}:{os.minor(number)}" / "size").read_text()) * 512
    except (OSError, ValueError):
        return 0


def attribute(path: Path) -> str:
    """What sysfs says there; empty where it says nothing."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \0\n")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs: it is there, and has not ended without anybody asking how."""
    return attribute(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def undo_quietly(step: Callable[[], object]) -> str:
    """Take a step back after an error that is to be told; what goes wrong in that is given in words."""
    try:
        step()
    except (RexrayError, OSError) as error:
        return f"; and it is still mapped: {error}"
    return ""
