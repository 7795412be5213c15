"""What the daemon says of itself to ``rexray service``: a small file beside the PID file, replaced at each change."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rexray.paths import Paths
from rexray_server.monitoring.state import ModuleState


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The last reload: when it began, in nanoseconds of the monotonic clock, and why it was refused if it was."""

    began: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """How a daemon and its modules are."""

    pid: int
    modules: tuple[ModuleState, ...] = ()
    speaks: tuple[str, ...] = ()
    """What each of the modules speaks."""
    reloaded: Reloaded = field(default_factory=Reloaded)

    def lines(self) -> list[str]:
        """A line for each module."""
        rows = [
            (
                module.name,
                speaks,
                module.endpoint,
                f"service {module.service}" if module.service else module.driver,
                f"{module.state}: {module.reason}" if module.reason else module.state,
            )
            for module, speaks in zip(self.modules, self.speaks, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
        return ["  " + "  ".join(row).rstrip() for row in padded]


def path_of(paths: Paths) -> Path:
    """Where the daemon of an installation writes."""
    return paths.run / "modules.json"


def write(paths: Paths, board: Board) -> None:
    """Replace what was said."""
    path = path_of(paths)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(board)))
    os.rename(fresh, path)


def read(paths: Paths, pid: int) -> Board | None:
    """What the daemon of that PID says; None if it has said nothing yet, or another one has written."""
    try:
        content = json.loads(path_of(paths).read_text())
        board = Board(
            pid=content["pid"],
            modules=tuple(ModuleState(**module) for module in content["modules"]),
            speaks=tuple(content["speaks"]),
            reloaded=Reloaded(**content["reloaded"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return board if board.pid == pid else None


def remove(paths: Paths) -> None:
    """The daemon ends."""
    with contextlib.suppress(OSError):
        if read(paths, os.getpid()) is not None:
            path_of(paths).unlink()
