"""Real loop devices, the signatures of other people's data, and a FUSE server that stops answering."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import select
import shutil
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rexray import mounts
from rexray.types import Device, DeviceIdentity

MIB = 1 << 20
SBIN = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def run(*command: str | Path) -> str:
    """What a program of the system says; it has to succeed."""
    program = shutil.which(str(command[0]), path=SBIN)
    assert program is not None, command[0]
    return subprocess.run([program, *command[1:]], check=True, capture_output=True, text=True, timeout=30).stdout


class Loop:
    """A loop device over a sparse file."""

    def __init__(self, image: Path, size: int) -> None:
        self.image = image
        if not image.exists():
            image.touch()
            os.truncate(image, size)
        self.path = Path(run("losetup", "--find", "--show", image).strip())

    @property
    def device(self) -> Device:
        return Device(path=self.path, identity=DeviceIdentity(backing_file=str(self.image)))

    def write(self, offset: int, content: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def content(self) -> str:
        """A hash of everything on it."""
        with self.image.open("rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest()

    def resize(self, size: int) -> None:
        os.truncate(self.image, size)
        run("losetup", "--set-capacity", self.path)

    def detach(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            run("losetup", "--detach", self.path)


Loops = Callable[..., Loop]


def unmount_below(home: Path) -> None:
    """Unmount everything in a directory, by force where it hangs."""
    targets = [mount.target for mount in mounts.mount_table() if mount.target.startswith(f"{home}/")]
    for target in reversed(targets):
        subprocess.run(["umount", "-l", target], check=False, capture_output=True, timeout=30)


def luks(loop: Loop) -> None:
    loop.write(0, b"LUKS\xba\xbe\x00\x02")


def lvm(loop: Loop) -> None:
    """A physical volume's label: lib/format_text/layout.h; its CRC starts with 0xf597a6cf and is not inverted."""
    body = struct.pack("<I8s32s", 32, b"LVM2 001", b"a" * 32).ljust(492, b"\0")
    checksum = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    loop.write(512, struct.pack("<8sQI", b"LABELONE", 1, checksum) + body)


def dos(loop: Loop) -> None:
    loop.write(446, struct.pack("<B3xB3xII", 0, 0x83, 2048, 4096))
    loop.write(510, b"\x55\xaa")


def gpt(loop: Loop) -> None:
    """UEFI 2.10, 5.3: a protective MBR, and a header whose two checksums hold."""
    entries = bytes(128 * 128)
    last = loop.image.stat().st_size // 512 - 1

    def header(checksum: int) -> bytes:
        fields = (b"EFI PART", 0x10000, 92, checksum, 0, 1, last, 34, last - 33, b"g" * 16, 2, 128, 128)
        return struct.pack("<8sIIIIQQQQ16sQIII", *fields, zlib.crc32(entries))

    loop.write(446, struct.pack("<B3xB3xII", 0, 0xEE, 1, last))
    loop.write(510, b"\x55\xaa")
    loop.write(512, header(zlib.crc32(header(0))))


def swap(loop: Loop) -> None:
    loop.write(1024, struct.pack("<II", 1, 1000))
    loop.write(4086, b"SWAPSPACE2")


def zfs(loop: Loop) -> None:
    """The first label's uberblocks, of which libblkid wants four."""
    for index in range(8):
        loop.write(128 * 1024 + index * 1024, struct.pack("<Q", 0x00BAB10C))


def mkfs(kind: str) -> Callable[[Loop], None]:
    return lambda loop: print(run(f"mkfs.{kind}", "-q", loop.path))


class HungFuse:
    """A FUSE filesystem that answers INIT and then nothing any more, until it is closed.

    Facts: include/uapi/linux/fuse.h; the mount options fd, rootmode, user_id and group_id are the kernel's own.
    """

    def __init__(self, target: Path, block_device: Path | None = None) -> None:
        target.mkdir(exist_ok=True)
        self.target = target
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0".encode()
        kind, source = (b"fuseblk", os.fsencode(block_device)) if block_device else (b"fuse", b"hung")
        if libc.mount(source, os.fsencode(target), kind, 0, options) != 0:
            raise OSError(ctypes.get_errno(), "cannot mount FUSE")
        self._answer_init()

    def _answer_init(self) -> None:
        assert select.select([self._fd], [], [], 5)[0]
        request = os.read(self._fd, 1 << 17)
        _, opcode, unique = struct.unpack_from("=IIQ", request)
        assert opcode == 26
        body = struct.pack("=IIIIHHIIHHI", 7, 31, 65536, 0, 0, 0, 4096, 1, 0, 0, 0).ljust(64, b"\0")
        os.write(self._fd, struct.pack("=IiQ", 16 + len(body), 0, unique) + body)

    def close(self) -> None:
        """Die; whoever waits for an answer gets an error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def later(seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Something that another process does meanwhile."""
    timer = threading.Timer(seconds, work)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """What is inside takes no longer than that."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def program(directory: Path, name: str, script: str) -> None:
    """A program of the system's that behaves as the test wants."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


_FAKE_SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$@" >>{folder}/scopes
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def in_a_unit(folder: Path) -> tuple[str, ...]:
    """What is said before a program for it to be in a unit of systemd's; the file ``scopes`` has what it asks for."""
    program = folder / "systemd-run"
    program.write_text(_FAKE_SYSTEMD_RUN.format(folder=folder))
    program.chmod(0o755)
    run = 'mount -t tmpfs none /run && mkdir -p /run/systemd/system && INVOCATION_ID=1 PATH="$0:$PATH" exec "$@"'
    return ("unshare", "--mount", "/bin/sh", "-c", run, str(folder))
