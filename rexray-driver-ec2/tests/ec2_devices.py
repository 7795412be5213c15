"""Attached volumes as block devices of this host, as Xen or as Nitro shows them: sparse files, loop devices, nodes."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

GIB = 1 << 30


def _run(*command: str | Path) -> str:
    ended = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=60)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def _same_device(path: str, device: int) -> bool:
    """Whether this open file is that block device."""
    with suppress(OSError):
        status = os.stat(path)
        return stat.S_ISBLK(status.st_mode) and status.st_rdev == device
    return False


class LoopDevices:
    """The backing files below ``folder``, and the nodes in ``nodes`` (``/dev``, or a directory that has devices)."""

    def __init__(self, folder: Path, nodes: Path = Path("/dev")) -> None:
        self.folder = folder
        self.nodes = nodes
        self.shown: dict[str, tuple[Path, Path]] = {}
        """The loop device and the node of each volume that is shown."""
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def _file(self, thing: str) -> Path:
        return self.folder / thing

    def show(self, volume: str, size: int, name: str) -> None:
        with self._lock:
            if volume in self.shown:
                raise RuntimeError(f"{volume} is shown as {self.shown[volume][1]} already")
            file = self._file(volume)
            with file.open("ab") as handle:
                handle.truncate(max(size * GIB, file.stat().st_size))
            loop = Path(_run("losetup", "--find", "--show", file))
            try:
                node = self._appear(volume, loop, name)
            except OSError:
                _run("losetup", "--detach", loop)
                raise
            self.shown[volume] = (loop, node)

    def _appear(self, volume: str, loop: Path, name: str) -> Path:
        """Make the node of the volume that was attached by that name."""
        node = self.nodes / name
        os.mknod(node, stat.S_IFBLK | 0o660, loop.stat().st_rdev)
        return node

    def _vanish(self, volume: str, loop: Path, node: Path) -> None:
        node.unlink(missing_ok=True)

    def is_open(self, volume: str) -> bool:
        """Whether anybody has the device mounted or open."""
        shown = self.shown.get(volume)
        if shown is None:
            return False
        # mounts, device mapper and the like hold a device exclusively; in any mount namespace
        try:
            os.close(os.open(shown[0], os.O_RDONLY | os.O_EXCL))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
        number = shown[0].stat().st_rdev
        for process in os.listdir("/proc"):
            if process.isdigit() and int(process) != os.getpid():
                with suppress(OSError):
                    for entry in os.scandir(f"/proc/{process}/fd"):
                        if _same_device(entry.path, number):
                            return True
        return False

    def hide(self, volume: str) -> None:
        with self._lock:
            self._hide(volume)

    def _hide(self, volume: str) -> None:
        shown = self.shown.pop(volume, None)
        if shown is not None:
            loop, node = shown
            self._sync(loop)
            self._vanish(volume, loop, node)
            _run("losetup", "--detach", loop)
            self._await_release(loop, self._file(volume))

    @staticmethod
    def _await_release(loop: Path, file: Path) -> None:
        """A device that somebody just looks at is released a moment later."""
        backing = Path("/sys/block") / loop.name / "loop/backing_file"
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                if backing.read_text().strip() != str(file):
                    return
            except OSError:
                return
            time.sleep(0.005)

    def grow(self, volume: str, size: int) -> None:
        with self._lock:
            file = self._file(volume)
            if file.exists():
                os.truncate(file, max(size * GIB, file.stat().st_size))
            if volume in self.shown:
                _run("losetup", "--set-capacity", self.shown[volume][0])

    @staticmethod
    def _sync(loop: Path) -> None:
        descriptor = os.open(loop, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def keep(self, volume: str, snapshot: str) -> None:
        """A crash-consistent copy: what has reached the device, and nothing that a filesystem still has in mind."""
        with self._lock:
            if volume in self.shown:
                self._sync(self.shown[volume][0])
            self._copy(volume, snapshot)

    def copy(self, snapshot: str, other: str) -> None:
        with self._lock:
            self._copy(snapshot, other)

    def restore(self, snapshot: str, volume: str) -> None:
        with self._lock:
            self._copy(snapshot, volume)

    def _copy(self, source: str, target: str) -> None:
        # a volume that was never shown has no file: nothing can have been written to it
        if self._file(source).exists():
            _run("cp", "--sparse=always", "--reflink=auto", self._file(source), self._file(target))

    def forget(self, thing: str) -> None:
        with self._lock:
            self._hide(thing)
            self._file(thing).unlink(missing_ok=True)

    def reset(self) -> None:
        with self._lock:
            for volume in list(self.shown):
                with suppress(OSError, RuntimeError):
                    self._hide(volume)
            for file in self.folder.iterdir():
                file.unlink()

    def close(self) -> None:
        """Leave nothing behind."""
        self.reset()
        shutil.rmtree(self.folder, ignore_errors=True)


class NvmeDevices(LoopDevices):
    """The same as Amazon Linux on Nitro has them: NVMe namespaces in the sysfs ``sys``, which tell their volume's id.

    Facts: AWS, "Amazon EBS volumes and NVMe": the model is ``Amazon Elastic Block Store``, the serial number the id
    without its dash, and Amazon Linux links the name that was asked for, as ``sdf`` or ``xvdf``, to the node. What
    changes (size, holders) is the loop device's own in this host's sysfs.
    """

    def __init__(self, folder: Path, nodes: Path, sys: Path) -> None:
        super().__init__(folder, nodes)
        self._sys = sys
        self._links: dict[str, Path] = {}
        vendor = sys / "devices/virtual/dmi/id/sys_vendor"
        for path in (vendor.parent, sys / "block", sys / "dev/block"):
            path.mkdir(parents=True, exist_ok=True)
        vendor.write_text("Amazon EC2\n")

    def _appear(self, volume: str, loop: Path, name: str) -> Path:
        taken = {node.name for _, node in self.shown.values()}
        kernel = next(word for word in (f"nvme{number}n1" for number in itertools.count(1)) if word not in taken)
        disk, real = self._disk(volume), Path("/sys/block") / loop.name
        texts = {
            "device/model": "Amazon Elastic Block Store".ljust(40),
            "device/serial": volume.replace("-", ""),
            "uevent": f"DEVNAME={kernel}",
        }
        for attribute, text in texts.items():
            (disk / attribute).parent.mkdir(parents=True, exist_ok=True)
            (disk / attribute).write_text(f"{text}\n")
        for attribute in ("dev", "size", "holders"):
            (disk / attribute).symlink_to(real / attribute)
        node = self.nodes / kernel
        os.mknod(node, stat.S_IFBLK | 0o660, loop.stat().st_rdev)
        (self._sys / "dev/block" / self._number(loop)).symlink_to(disk)
        (self._sys / "block" / kernel).symlink_to(disk)
        self._links[volume] = self.nodes / name
        self._links[volume].symlink_to(kernel)
        return node

    def _vanish(self, volume: str, loop: Path, node: Path) -> None:
        for path in (
            self._links.pop(volume),
            self._sys / "block" / node.name,
            self._sys / "dev/block" / self._number(loop),
            node,
        ):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._disk(volume))

    def _disk(self, volume: str) -> Path:
        return self._sys / "devices" / volume

    @staticmethod
    def _number(loop: Path) -> str:
        number = loop.stat().st_rdev
        return f"{os.major(number)}:{os.minor(number)}"
