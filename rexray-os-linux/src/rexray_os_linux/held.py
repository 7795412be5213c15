"""A device that is held open while something is done to it.

An open device keeps its number: a loop device that is released goes with its last user only, and so does a device of
device mapper or of a disk that is pulled out. What was proven of it holds until it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rexray.errors import WrongDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An open block device: its node, its number, and what finds a difference from the identity it is to have."""

    node: Path
    number: int
    fd: int
    difference: Callable[[Path], str]
    """Of the device behind a path: what of the identity does not hold, empty if all of it does."""

    def check(self) -> None:
        """``WrongDevice`` unless the open device is the one that was asked for."""
        if wrong := self.difference(Path(f"/proc/self/fd/{self.fd}")):
            raise WrongDevice(f"device {str(self.node)!r} is not the one expected: {wrong}; nothing was done to it")

    def close(self) -> None:
        """Let the device go."""
        os.close(self.fd)

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
