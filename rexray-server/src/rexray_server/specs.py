"""Spec files: where Docker reads the address of a plug-in that has no socket in Docker's directory.

``/etc/docker/plugins/NAME.spec`` holds one address (Docker's plug-in API, "Plugin discovery"). A note beside our state
says what we wrote, so that a file of somebody else's is never replaced and never removed, not after a crash either.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from rexray.errors import AlreadyExists
from rexray.paths import Paths

DOCKERS = Path("/etc/docker/plugins")
"""Where Docker looks for spec files."""


class SpecFiles:
    """The spec files that this installation wrote."""

    def __init__(self, paths: Paths) -> None:
        docker_looks = paths.sockets == Path("/run/docker/plugins")
        self.folder = DOCKERS if docker_looks else paths.sockets.parents[2] / DOCKERS.relative_to("/")
        self._notes = paths.lib / "specs"

    def write(self, name: str, address: str) -> Path:
        """Say where the plug-in of that name is; ``AlreadyExists`` if somebody else says otherwise."""
        path, note = self._path(name), self._notes / name
        found = _read(path)
        if found == address and found not in self._written(name):
            return path  # somebody else says the same, and may keep the file
        if found is not None and found not in self._written(name):
            raise AlreadyExists(
                f"{path}: it says {found!r}, which REX-Ray did not write: remove it, or set spec: false for the module"
            )
        _replace(note, "\n".join([*self._written(name), address]))
        if found is None:
            _make(path, address)
        else:
            _replace(path, address)
        _replace(note, address)
        return path

    def remove(self, name: str) -> None:
        """Remove the file if it still says what we wrote."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            if _read(path) in self._written(name):
                path.unlink(missing_ok=True)
            (self._notes / name).unlink(missing_ok=True)

    def tidy(self, keep: Collection[str]) -> None:
        """Remove what a crash left, but for the names that are still served."""
        with contextlib.suppress(FileNotFoundError):
            for note in list(self._notes.iterdir()):
                if note.name not in keep and not note.name.startswith("."):
                    self.remove(note.name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.spec"

    def _written(self, name: str) -> list[str]:
        """What we wrote or were about to write when we died."""
        return (_read(self._notes / name) or "").split()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None


def _make(path: Path, text: str) -> None:
    """Write a new file at once; ``AlreadyExists`` if there is one by now."""
    with _written_beside(path, text) as fresh:
        try:
            os.link(fresh, path)
        except FileExistsError:
            raise AlreadyExists(f"{path}: somebody else has just made it") from None


def _replace(path: Path, text: str) -> None:
    with _written_beside(path, text) as fresh:
        os.rename(fresh, path)


@contextlib.contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
