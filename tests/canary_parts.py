"""Secrets that are looked for wherever a daemon leaves traces."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROGRAMS = (
    *("rbd", "ceph", "rados", "ceph-conf", "cryptsetup", "qemu-storage-daemon"),
    *(
        "iscsiadm",
        "multipath",
        "multipathd",
        "modprobe",
        "udevadm",
        "losetup",
        "blkid",
        "lsblk",
        "mkfs.ext4",
        "mkfs.xfs",
    ),
)
_RECORDER = """#!/bin/sh
{{ cat /proc/$$/cmdline /proc/$$/environ; echo; }} >>{record}
exec {program} "$@"
"""


def canary(where: str) -> str:
    """A secret that is nowhere else, with characters that are written in several ways."""
    return f"{secrets.token_hex(8)}+{where}/'\"ü&\\"


def plain_canary() -> str:
    """The same for what takes letters and digits alone."""
    return secrets.token_hex(16)


def hits(canaries: Iterable[str], data: bytes) -> list[str]:
    """Those of the canaries that the data have: their first sixteen characters, plain or anywhere in a BASE64.

    What is special about a canary comes after these, so they are the same however it is quoted.
    """
    found = []
    for whole in canaries:
        word = whole[:16].encode()
        forms = {word} | {base64.b64encode(b"\0" * before + word)[4 * (before > 0) : 20] for before in range(3)}
        if any(form in data for form in forms):
            found.append(whole)
    return found


def files_below(home: Path, *, but: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """The plain files of a home, without those that somebody put the secrets into."""
    own = {path.resolve() for path in but}
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and path.resolve() not in own:
                yield path, path.read_bytes()


class Recorder:
    """Records the arguments and the environment of what a daemon runs: of each program in ``path``, which goes before
    the others in ``$PATH``, and of each child that is seen while ``watching``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "recorded-programs"
        self.path.mkdir()
        self._record = folder / "recorded"
        self._record.touch()
        for program in _PROGRAMS:
            if found := shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
                script = self.path / program
                script.write_text(_RECORDER.format(record=self._record, program=found))
                script.chmod(0o755)
        self._seen: set[bytes] = set()

    @property
    def data(self) -> bytes:
        """All that was recorded so far."""
        return self._record.read_bytes() + b"\n".join(self._seen)

    @contextlib.contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Look at the arguments of that process, and at both of its children, again and again."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.005):
                self._look(pid, is_daemon=True)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _look(self, pid: int, *, is_daemon: bool = False) -> None:
        """A daemon may have been given secrets by its environment, and its children may not."""
        for name in ("cmdline",) if is_daemon else ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                self._seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                        self._look(int(child))
