"""Loop devices of exports, by the program losetup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rexray import child
from rexray.errors import RexrayError, TimedOut
from rexray_driver_ceph.mapping import DEV, SYS, attribute

_SECONDS = 30.0
_DELETED = " (deleted)"


def shown() -> Iterator[tuple[Path, Path]]:
    """The loop devices with the files that they show; none is opened for that."""
    for entry in SYS.glob("block/loop*/loop/backing_file"):
        if file := attribute(entry):
            yield DEV / entry.parent.parent.name, Path(file.removesuffix(_DELETED))


def attach(file: Path, *, read_only: bool, seconds: float) -> Path:
    """Have a free loop device show the file."""
    words = ["--find", "--show", *(["--read-only"] if read_only else []), str(file)]
    return Path(_losetup(*words, action=f"show {file} as a loop device", seconds=seconds).strip())


def detach(device: Path, *, action: str, seconds: float) -> None:
    """Let a loop device go, at once if nobody has it open; one that shows nothing is success."""
    _losetup("--detach", str(device), action=action, seconds=min(seconds, _SECONDS))


def refresh(device: Path) -> None:
    """Have a loop device be as large as its file is by now."""
    _losetup("--set-capacity", str(device), action=f"grow {device}", seconds=_SECONDS)


def _losetup(*words: str, action: str, seconds: float) -> str:
    command = [child.need("losetup", "mount"), *words]
    try:
        ended = child.run(command, seconds=max(seconds, 0.1), action=action)
    except TimedOut as error:
        raise TimedOut(f"{error}: does the cluster answer?") from None
    if ended.status != 0 and "No such device or address" not in ended.stderr:
        raise RexrayError(f"cannot {action}: {ended.complaint}")
    return ended.stdout
