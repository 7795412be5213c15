"""What the conformance kit is given to look at xtremio with: volumes' data, and a host whose kernel is simulated.

The kernel's side of iSCSI and SCSI, in a folder: logins make sessions in sysfs, a scan for a LUN makes a disk of what
the array maps to the host there, whose data are a loop device's, and a disk that is deleted goes. As on a real host
nothing appears that was not scanned for, and what the array unmaps stays until it is deleted.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from types import TracebackType
from typing import Self

from rexray.settings import Sources
from rexray.testing.kit.devices import BlockDevices
from rexray.types import Attachment, Device, VolumeId
from rexray_driver_xtremio.node import XtremIoNode
from rexray_driver_xtremio.settings import XtremIoSettings
from sysfs_parts import IQN, Host
from xms_parts import Xms
from xtremio_parts import environ

_TREE = "KIT_TREE"
"""The variable with the folder that a simulated host's sysfs, ``/dev``, ``/etc`` and ``/var`` are in."""
_TARGET_ID = 77
"""Orders come one after another in a pipe, and are told apart by this: ``0 77 1`` then ``0 77 2``."""
_OLD_PIPES = 64
"""How many pipes are kept of disks that have gone, for who has just opened one."""

_ISCSIADM = """#!/bin/sh
'''exec' "{python}" -I -S "$0" "$@"  # an interpreter's path may have a blank, which the first line of a script cannot
' '''
import socket, sys
with socket.socket(socket.AF_UNIX) as kernel:
    kernel.connect({socket!r})
    kernel.sendall(chr(0).join(sys.argv[1:]).encode())
    kernel.shutdown(socket.SHUT_WR)
    sys.exit(int(kernel.recv(8)))
"""
_EXISTS, _NO_RECORD = 15, 21
"""Exit statuses of iscsiadm(8)."""


class Files:
    """A volume's data: through its device while the host has one, or else in the simulator's file."""

    def __init__(self, xms: Xms, host: LiveHost | None = None) -> None:
        self._xms, self._host = xms, host

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        device, file = self._places(volume_id)
        if device is not None:
            BlockDevices().write(device, offset, data)
            return
        with file.open("r+b") as opened:
            opened.seek(offset)
            opened.write(data)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        device, file = self._places(volume_id)
        if device is not None:
            return BlockDevices().read(device, offset, length)
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(length)

    def _places(self, volume_id: VolumeId) -> tuple[Device | None, Path]:
        with self._xms.store.lock:
            [found] = [volume for volume in self._xms.cluster().volumes if volume.guid == volume_id]
            node = self._host.node_of(found.naa) if self._host is not None else None
            return Device(path=node) if node is not None else None, self._xms.store.contents.file(found)


def forget(xms: Xms, *names: str) -> None:
    """Have the array know hosts of these names no more; those that still have volumes stay."""
    home = xms.cluster()
    with xms.store.lock:
        for group in [group for group in home.igs if group.name in names and not group.mappings]:
            for initiator in group.initiators.values():
                home.initiators.remove(initiator)
            home.igs.remove(group)


class TreeNode(XtremIoNode):
    """The node driver on a host whose sysfs, ``/dev``, ``/etc`` and ``/var`` are in a folder."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        tree, settings = Path(sources.environ[_TREE]), sources.load(XtremIoSettings)
        return cls(settings, sys=tree / "sys", dev=tree / "dev", etc=tree / "etc", var=tree / "var")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A disk: its name, its number, its SCSI device's session and directory, and the loop device that has its data."""

    name: str
    number: str
    session: int
    home: Path
    loop: Path


class LiveHost(Host):
    """A host with an initiator that the array knows, and the kernel below it; a context manager.

    ``PATH`` has to have ``bin`` of ``root``.
    """

    def __init__(self, xms: Xms, root: Path) -> None:
        super().__init__(root)
        self.xms = xms
        self.sources = Sources(environ={**environ(xms), "XTREMIO_INITIATOR": IQN, _TREE: str(root)})
        self.trouble: list[str] = []
        """What went wrong with the simulator itself; ``with`` raises at its end if there is any."""
        self._stalled: set[str] = set()
        self._sessions: dict[int, tuple[str, str]] = {}
        self._shown: dict[str, _Shown] = {}
        self._pipes: dict[Path, int] = {}
        self._dropped: deque[int] = deque()
        self._selector = selectors.DefaultSelector()
        # a folder of its own, since the path of a socket has to be short
        self._folder = tempfile.TemporaryDirectory(prefix="iscsi-")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(os.path.join(self._folder.name, "kernel"))
        self._socket.listen(64)
        self._selector.register(self._socket, selectors.EVENT_READ, self._ask)
        self._end, end = socket.socketpair()
        self._selector.register(end, selectors.EVENT_READ, end)
        self._thread = threading.Thread(target=self._run, name="kernel", daemon=True)
        for folder in (self.sys / "dev/block", self.sys / "class/scsi_device", self.root / "var"):
            folder.mkdir(parents=True)
        self.program("iscsiadm", _ISCSIADM.format(python=sys.executable, socket=self._socket.getsockname()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()
        self._thread.join()
        left = list(self._shown)
        for naa in left:
            self._vanish(naa)
        self._socket.close()
        self._folder.cleanup()
        for pipe in (*self._pipes.values(), *self._dropped):
            os.close(pipe)
        if error is None and (left or self._sessions or self.trouble):
            raise RuntimeError(f"left: disks {left}, sessions {self._sessions}; trouble: {self.trouble}")

    def node_of(self, naa: str) -> Path | None:
        """The node of a volume's disk, None if the host has none."""
        shown = self._shown.get(naa)
        return self.dev / shown.name if shown is not None else None

    @contextlib.contextmanager
    def stalled(self, attachment: Attachment) -> Iterator[None]:
        """A while in which no scan finds the volume."""
        self._stalled.add(attachment.token)
        try:
            yield
        finally:
            self._obeyed()
            self._stalled.discard(attachment.token)

    def _obeyed(self) -> None:
        """Wait until every order that was given has been obeyed: a real kernel does that before a write ends."""
        with socket.socket(socket.AF_UNIX) as kernel:
            kernel.connect(self._socket.getsockname())
            kernel.shutdown(socket.SHUT_WR)
            kernel.recv(8)

    # the thread that is the kernel

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if not callable(key.data):
                    key.data.close()
                    return
                try:
                    key.data()
                except Exception as error:  # noqa: BLE001 whatever it is, who tests hears of it at the end
                    self.trouble.append(f"{type(error).__name__}: {error}")

    def _ask(self) -> None:
        """Do what one call of iscsiadm asks for, and tell its exit status."""
        connection, _ = self._socket.accept()
        with connection:
            words = connection.makefile().read().split("\0")
            named = dict(itertools.pairwise(words))
            with contextlib.suppress(BrokenPipeError):  # the program was killed
                connection.sendall(str(self._iscsiadm(words, named)).encode())

    def _iscsiadm(self, words: list[str], named: dict[str, str]) -> int:
        if words == [""]:
            return 0
        if "--logout" in words:
            return self._log_out(int(named["-r"]))
        address, port = named["-p"].rsplit(":", 1)
        record = self.etc / "iscsi/nodes" / named["-T"] / f"{address},{port}"
        if named.get("-o") == "new":
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text("# BEGIN RECORD\nnode.startup = automatic\n# END RECORD\n")
            return 0
        if not record.exists():
            return _NO_RECORD
        return self._log_in(named["-T"], address)

    def _log_in(self, target: str, address: str) -> int:
        if (target, address) in self._sessions.values():
            return _EXISTS
        number = max(self._sessions, default=0) + 1
        self._sessions[number] = (target, address)
        scan = self.sys / f"class/scsi_host/host{number}/scan"
        self._make_pipe(scan, lambda said: self._scan(number, said))
        self._make_session(number, target, address)
        return 0

    def _make_session(self, number: int, target: str, address: str) -> None:
        """Its entry comes last: it shows at once with all that it has."""
        home = f"devices/host{number}/session{number}"
        for file, text in {"targetname": target, "state": "LOGGED_IN", "target_id": str(_TARGET_ID)}.items():
            self.write(f"{home}/iscsi_session/session{number}/{file}", text)
        self.write(f"class/iscsi_connection/connection{number}:0/persistent_address", address)
        self.write(f"class/iscsi_connection/connection{number}:0/persistent_port", "3260")
        self.link(f"class/iscsi_session/session{number}", f"{home}/iscsi_session/session{number}")

    def _log_out(self, number: int) -> int:
        if self._sessions.pop(number, None) is None:
            return _NO_RECORD
        (self.sys / f"class/iscsi_session/session{number}").unlink()
        for naa in [naa for naa, shown in self._shown.items() if shown.session == number]:
            self._vanish(naa)
        self._drop_pipe(self.sys / f"class/scsi_host/host{number}/scan")
        for folder in (f"devices/host{number}", f"class/scsi_host/host{number}"):
            shutil.rmtree(self.sys / folder)
        shutil.rmtree(self.sys / f"class/iscsi_connection/connection{number}:0")
        return 0

    def _scan(self, number: int, said: str) -> None:
        """Show what the array maps to this host at the LUNs."""
        for lun in map(int, filter(None, said.split(f"0 {_TARGET_ID} "))):
            with self.xms.store.lock:
                initiator = self.xms.initiator(IQN)
                mapped = initiator.group.mappings.get(lun) if initiator is not None else None
                file = self.xms.store.contents.file(mapped.volume) if mapped is not None else None
            if mapped is not None and file is not None and number in self._sessions:
                naa = mapped.volume.naa
                if naa not in self._stalled and naa not in self._shown:
                    self._appear(number, lun, naa, file)

    # disks

    def _appear(self, session: int, lun: int, naa: str, file: Path) -> None:
        """The entry in ``scsi_device`` comes last: the disk shows at once with all that it has."""
        loop = Path(_losetup("--find", "--show", file))
        taken = {shown.name for shown in self._shown.values()}
        name = next(word for word in (f"sd{letter}" for letter in ascii_lowercase) if word not in taken)
        device = loop.stat().st_rdev
        os.mknod(self.dev / name, stat.S_IFBLK | 0o600, device)
        number, address = f"{os.major(device)}:{os.minor(device)}", f"{session}:0:{_TARGET_ID}:{lun}"
        place = f"devices/host{session}/session{session}/target{session}:0:{_TARGET_ID}/{address}"
        for attribute, text in {"type": "0", "vendor": "XtremIO ", "wwid": f"naa.{naa}", "state": "running"}.items():
            self.write(f"{place}/{attribute}", text)
        self.write(f"{place}/rescan", "")
        self.write(f"{place}/block/{name}/uevent", f"DEVNAME={name}")
        for attribute in ("dev", "size", "holders"):
            (self.sys / place / "block" / name / attribute).symlink_to(Path("/sys/block") / loop.name / attribute)
        self._make_pipe(self.sys / place / "delete", lambda said: self._vanish(naa))
        for link in (f"dev/block/{number}", f"block/{name}"):
            self.link(link, f"{place}/block/{name}")
        self.link(f"{place}/block/{name}/device", place)
        self._shown[naa] = _Shown(name=name, number=number, session=session, home=self.sys / place, loop=loop)
        self.link(f"class/scsi_device/{address}/device", place)

    def _vanish(self, naa: str) -> None:
        shown = self._shown.pop(naa, None)
        if shown is None:
            return
        shutil.rmtree(self.sys / "class/scsi_device" / shown.home.name)
        for path in ("block/" + shown.name, "dev/block/" + shown.number):
            (self.sys / path).unlink()
        (self.dev / shown.name).unlink()
        self._drop_pipe(shown.home / "delete")
        shutil.rmtree(shown.home)
        descriptor = os.open(shown.loop, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _losetup("--detach", shown.loop)

    # files of which each write is an order

    def _make_pipe(self, path: Path, obey: Callable[[str], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path, 0o600)
        pipe = self._pipes[path] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(pipe, selectors.EVENT_READ, lambda: obey(os.read(pipe, 4096).decode()))

    def _drop_pipe(self, path: Path) -> None:
        """Who is just opening it must not wait for a reader for ever: it is closed much later."""
        path.unlink()
        pipe = self._pipes.pop(path)
        self._selector.unregister(pipe)
        self._dropped.append(pipe)
        while len(self._dropped) > _OLD_PIPES:
            os.close(self._dropped.popleft())


def _losetup(*words: str | Path) -> str:
    ended = subprocess.run(["losetup", *map(str, words)], check=False, capture_output=True, text=True, timeout=60)
    if ended.returncode != 0:
        raise RuntimeError(f"losetup {' '.join(map(str, words))}: {ended.stderr.strip()}")
    return ended.stdout.strip()
