"""Mapping in user space: librbd in a ``qemu-storage-daemon`` shows the image as a file, and a loop device shows that.

For kernels with neither rbd nor nbd. Facts: qemu-storage-daemon(1), "fuse" exports; fuse(4); losetup(8). Tried with
QEMU 7.2: the file is mounted over a plain one whose path has to be absolute; the daemon does not follow a change of the
image's size, ``block_resize`` to the image's own size makes it look, for an encrypted image with its header; the kernel
asks for the file's size once a second. An export is a directory with the file, the daemon's socket and what it was made
for. Which loop device shows it, the kernel knows, and which daemon serves it is in ``/proc``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray import child, faults
from rexray.errors import InUse, NotReady, TimedOut, Unavailable
from rexray.mounts import mount_table, unmount
from rexray.paths import find_paths
from rexray_driver_ceph import daemon, loops, passphrases, qmp
from rexray_driver_ceph.clientconf import ClientConf
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.mapping import SYS, Mapped, Mapper, Wanted, attribute, is_alive, size_of, wait_until
from rexray_driver_ceph.names import Pool, Spec

_FILE, _SOCKET, _ABOUT, _CONF, _PASSPHRASE = "image", "qmp", "about.json", "ceph.conf", "passphrase"
_UNSHOWN = "unshown"
"""The file in an export's directory that says that no device has shown it yet: nobody can have written to it."""
_NEEDED = (("qemu-storage-daemon", "qemu-system-common"), ("losetup", "mount"))
_NODES = (Path("/dev/fuse"), Path("/dev/loop-control"))
_TERM_SECONDS, _KILL_SECONDS, _FOLLOW_SECONDS = 3.0, 10.0, 15.0


class Export(Mapper):
    """``/dev/loopN``; librbd decrypts an encrypted image."""

    name = "loop"

    def __init__(self, cluster: Cluster, conf: ClientConf) -> None:
        self._cluster, self._conf = cluster, conf

    @property
    def _root(self) -> Path:
        """Where the exports are, without links: so the kernel tells a loop device's file."""
        return Path(os.path.realpath(find_paths().run)) / "rbd"

    def missing(self) -> str:
        """Whether a program, QEMU's driver for RBD, or a device node is missing."""
        for program, package in _NEEDED:
            if child.find(program) is None:
                return f"{program} is not installed: install the package {package}"
        if not daemon.has_rbd():
            return "qemu-storage-daemon has no driver for rbd: install the package qemu-block-extra"
        for node in _NODES:
            if not os.access(node, os.R_OK | os.W_OK):
                return f"{node} is missing, or not for this user: this needs Linux with FUSE and loop devices, and root"
        return ""

    def mapped(self) -> Iterator[Mapped]:
        """The exports that a loop device shows."""
        for device, file in loops.shown():
            folder = file.parent
            if folder.parent != self._root or file.name != _FILE or (about := _about(folder)) is None:
                continue
            yield Mapped(
                mapper=self.name,
                spec=about[0],
                key=folder.name,
                device=device,
                lower=device,
                read_only=attribute(SYS / "block" / device.name / "ro") == "1",
                image_id=about[2],
                fsid=about[1],
                backing_file=str(file),
                helper=next(iter(daemon.serving(file)), 0),
            )

    def leftovers(self) -> Iterator[Spec]:
        """The images of half-made exports, which no loop device shows; one that is just being made is among them."""
        for folder in self._unshown():
            if (about := _about(folder)) is not None and about[1] in ("", self._conf.fsid):
                yield about[0]

    def sweep(self, spec: Spec, *, seconds: float) -> None:
        """Take away the exports of an image that no device shows, half made or half taken away.

        ``TimedOut`` if what serves one still has something to write to the cluster, which is left to do so.
        """
        until = time.monotonic() + seconds
        for folder in self._unshown():
            about = _about(folder)
            if about is None:
                is_own = folder.name == self._key(spec)
            else:
                is_own = about[0] == spec and about[1] in ("", self._conf.fsid)
            if is_own:
                self._remove(folder, seconds=until - time.monotonic())

    def serves(self, mapped: Mapped) -> bool:
        """Whether its daemon runs."""
        return mapped.helper != 0

    def map(self, wanted: Wanted, *, seconds: float) -> Mapped:
        """Serve the image as a file and have a loop device show that."""
        until = time.monotonic() + seconds
        if not self._conf.find_fsid(seconds):
            raise Unavailable(f"cannot map {wanted.spec}: the cluster does not tell its id, nor does ceph.conf (fsid)")
        folder = self._root / self._key(wanted.spec)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise InUse(
                f"{wanted.spec}: {folder} is of an export that a loop device shows: detach that first"
            ) from None
        try:
            self._make(folder, wanted)
            faults.point("rbd-export-noted")
            self._serve(folder, wanted, until - time.monotonic())
            faults.point("rbd-export-served")
            _note_shown(folder)
            faults.point("rbd-export-showing")
            device = loops.attach(folder / _FILE, read_only=wanted.read_only, seconds=until - time.monotonic())
            faults.point("rbd-export-looped")
        except BaseException:
            showing = [shown for shown, file in loops.shown() if file == folder / _FILE]
            if not showing:
                (folder / _UNSHOWN).touch()
            for shown in showing:
                loops.detach(shown, action=f"take {shown} back", seconds=_KILL_SECONDS)
            with contextlib.suppress(TimedOut):
                self._remove(folder, seconds=_TERM_SECONDS)
            raise
        for mapped in self.mapped():
            if mapped.device == device:
                return mapped
        raise NotReady(f"{wanted.spec} was mapped as {device}, which does not show it: try again")

    def complete(self, mapped: Mapped, wanted: Wanted, *, seconds: float) -> Mapped:
        """Have the daemon, the file and the loop device follow an image that has grown.

        The daemon follows only if it is told to resize the image. It is told the size that the image was just seen to
        have, and only if that is more than the device shows: what the volume holds is never cut off. An image that is
        grown between the look and the telling is as it was seen again, with nothing in what it lost: to grow it again
        is its caller's, as is to ask how large it is.
        """
        if wanted.image_bytes <= size_of(mapped.device):
            return mapped
        until = time.monotonic() + seconds
        file = Path(mapped.backing_file)
        self._follow(file.parent / _SOCKET, wanted, until)
        faults.point("rbd-export-grown")
        nodes = qmp.command(file.parent / _SOCKET, "query-named-block-nodes", {}, seconds=until - time.monotonic())
        shown = next(int(node["image"]["virtual-size"]) for node in nodes if node["node-name"] == daemon.NODE)
        wait_until(
            lambda: os.stat(file).st_size >= shown,
            seconds=min(until - time.monotonic(), _FOLLOW_SECONDS),
            action=f"use all of {mapped.spec}: its file is smaller",
        )
        loops.refresh(mapped.device)
        return mapped

    def unmap(self, mapped: Mapped, *, seconds: float) -> None:
        """Let the loop device go, then end the daemon, which closes the image.

        While the cluster is down the first of the two waits: what was written has to go there.
        """
        until = time.monotonic() + seconds
        file = Path(mapped.backing_file)
        action = f"unmap {mapped.spec} from {mapped.device}"
        loops.detach(mapped.device, action=action, seconds=seconds)
        wait_until(
            lambda: (mapped.device, file) not in list(loops.shown()),
            seconds=max(until - time.monotonic(), 0),
            action=action,
        )
        faults.point("rbd-export-detached")
        self._remove(file.parent, seconds=until - time.monotonic(), action=action)

    def _follow(self, socket: Path, wanted: Wanted, until: float) -> None:
        """Tell the daemon how large the image is until that is so; never less than it has been seen to be."""
        told, seen = 0, max(wanted.image_bytes, self._image_bytes(wanted.spec, until))
        while told < seen:
            told = seen
            arguments = {"node-name": daemon.NODE, "size": told}
            qmp.command(socket, "block_resize", arguments, seconds=until - time.monotonic())
            seen = self._image_bytes(wanted.spec, until)

    def _image_bytes(self, spec: Spec, until: float) -> int:
        action, left = f"look how large {spec} is", max(until - time.monotonic(), 0.1)
        return int(self._cluster.hurried(left).ask("rbd", "info", str(spec), action=action)["size"])

    def _unshown(self) -> list[Path]:
        """The directories of exports that no loop device shows."""
        shown = {file.parent for _, file in loops.shown()}
        return [folder for folder in sorted(self._root.iterdir() if self._root.is_dir() else ()) if folder not in shown]

    def _key(self, spec: Spec) -> str:
        return daemon.key_of(self._conf.fsid or self._conf.mon_host, str(spec))

    def _make(self, folder: Path, wanted: Wanted) -> None:
        spec = wanted.spec
        about = {
            "pool": spec.pool.name,
            "namespace": spec.pool.namespace,
            "image": spec.image,
            "fsid": self._conf.fsid,
            "id": wanted.image_id,
        }
        (folder / _UNSHOWN).touch(mode=0o600)
        (folder / _ABOUT).write_text(json.dumps(about))
        _write_secret(folder / _CONF, self._conf.text().encode(errors="surrogateescape"))
        (folder / _FILE).touch(mode=0o600)

    def _serve(self, folder: Path, wanted: Wanted, seconds: float) -> None:
        passphrase = folder / _PASSPHRASE if wanted.passphrase is not None else None
        if wanted.passphrase is not None and passphrase is not None:
            _write_secret(passphrase, passphrases.read(wanted.passphrase))
        try:
            with qmp.listen(folder / _SOCKET) as listener:
                daemon.start(
                    replace(wanted, passphrase=passphrase),
                    file=folder / _FILE,
                    conf=folder / _CONF,
                    user=self._conf.user,
                    listener=listener.fileno(),
                    seconds=seconds,
                )
        finally:
            if passphrase is not None:
                passphrase.unlink(missing_ok=True)

    def _remove(self, folder: Path, *, seconds: float, action: str = "") -> None:
        """End what serves an export that nothing shows, and leave nothing of it.

        By force only if no device has ever shown it: librbd may still hold what was written to one that has been.
        """
        file, is_new = folder / _FILE, (folder / _UNSHOWN).exists()
        for pid in daemon.serving(file):
            gone = functools.partial(_has_ended, pid)
            what = f"{action or f'take {folder} away'}: qemu-storage-daemon, pid {pid}, waits for the cluster"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                try:
                    wait_until(gone, seconds=min(seconds, _TERM_SECONDS) if is_new else max(seconds, 0), action=what)
                except TimedOut:
                    if not is_new:
                        raise
                    os.kill(pid, signal.SIGKILL)
                    wait_until(gone, seconds=_KILL_SECONDS, action=what)
        if any(mount.target == str(file) for mount in mount_table()):
            unmount(file)
        shutil.rmtree(folder, ignore_errors=True)


def _about(folder: Path) -> tuple[Spec, str, str] | None:
    """The image, the cluster's id and the image's, of an export; None of what is none, or was not made far enough."""
    try:
        known = json.loads((folder / _ABOUT).read_text())
        return Spec(Pool(known["pool"], known["namespace"]), known["image"]), known["fsid"], known["id"]
    except (OSError, ValueError, KeyError):
        return None


def _note_shown(folder: Path) -> None:
    """From now on somebody may write to it; that is noted before a device shows it."""
    (folder / _UNSHOWN).unlink()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_secret(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _has_ended(pid: int) -> bool:
    return not is_alive(pid)
