"""A host of the node driver: its state in a directory of its own, and images to map on it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ceph_parts import CephCluster
from rbd_parts import read, write
from rexray.types import Attachment, Device, InstanceId, VolumeId
from rexray_driver_ceph.node import RbdNode
from rexray_driver_ceph.settings import RbdSettings

__all__ = [
    "MIB",
    "RbdHost",
    "connect_and_disconnect_in_a_unit",
    "connect_and_lose_the_session",
    "die_at",
    "run",
    "size_of",
]

MIB = 1 << 20
DEADLINE = 60.0
"""Seconds that connecting may take: opening LUKS2 is made to take some."""
_HEADERS: dict[str, bytes] = {}
"""What ``rbd encryption format`` has written for each passphrase, at the cost of seconds of both processors."""


def run(*command: str | Path, input: str | None = None) -> str:
    """Run a program; ``AssertionError`` with what it said if it fails."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, input=input, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr!r}"
    return done.stdout


class RbdHost:
    """This host, mapping in one way."""

    def __init__(self, cluster: CephCluster, folder: Path, mapper: str, **settings: Any) -> None:
        self.cluster, self.folder = cluster, folder
        self.keys = folder / "keys"
        known: dict[str, Any] = {
            "conf": str(cluster.conf),
            "mapper": mapper,
            "instance_id": "here",
            "key_directory": str(self.keys),
        }
        self.settings = RbdSettings(**{**known, **settings})
        self.node = RbdNode(self.settings)

    def image(self, name: str = "data", size: int = 64 * MIB, *words: str) -> VolumeId:
        """An image of the pool rbd."""
        self.cluster.rbd("create", "--size", f"{size}B", *words, f"rbd/{name}")
        return VolumeId(f"rbd/{name}")

    def encrypted(self, name: str, passphrase: str, size: int = 64 * MIB) -> VolumeId:
        """An encrypted image, and its passphrase in the file ``default`` of the key directory."""
        self.keys.mkdir(mode=0o700, exist_ok=True)
        key = self.keys / "default"
        key.write_text(passphrase + "\n")  # as echo does, and Ceph leaves it out
        key.chmod(0o600)
        volume = self.image(name, size)
        if passphrase in _HEADERS:
            write(self.cluster, volume, _HEADERS[passphrase])
        else:
            self.cluster.rbd("encryption", "format", volume, "luks2", str(key), timeout=120)
            _HEADERS[passphrase] = self._quick(read(self.cluster, volume, 16 * MIB), key)
            write(self.cluster, volume, _HEADERS[passphrase])
        return volume

    def _quick(self, header: bytes, key: Path) -> bytes:
        """The header with a key that is derived at once, where cryptsetup is here: else each opening takes seconds."""
        if shutil.which("cryptsetup") is None:
            return header.rstrip(b"\0")
        file = self.folder / "header"
        file.write_bytes(header)
        os.truncate(file, 2 * len(header))
        secret = self.folder / "secret"
        secret.write_text(key.read_text().rstrip("\n"))
        kind = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
        run("cryptsetup", "luksConvertKey", "--batch-mode", "--disable-locks", *kind, "--key-file", secret, file)
        with file.open("rb") as converted:
            return converted.read(len(header)).rstrip(b"\0")

    def attachment(
        self, volume: str = "rbd/data", *, read_only: bool = False, instance: str = "here", **fields: str
    ) -> Attachment:
        """What the storage driver would tell of an attachment here, which the image is claimed for."""
        facts = self.facts(volume)
        if instance == "here":
            self.claim(volume, read_only=read_only)
        return Attachment(
            volume_id=VolumeId(volume),
            instance_id=InstanceId(instance),
            read_only=read_only,
            fields={**facts, **fields},
        )

    def claim(self, volume: str = "rbd/data", instance: str = "here", *, read_only: bool = False) -> None:
        """Attach the image, whoever has it: that is a lock on its header."""
        *pool, _ = volume.split("/")
        header, place = f"rbd_header.{self.facts(volume)['imageId']}", ["--pool", pool[0]]
        if pool[1:]:
            place += ["--namespace", pool[1]]
        held = json.loads(self.cluster.rados(*place, "--format", "json", "lock", "list", header))["locks"]
        if any(lock["name"] == "rexray" for lock in held):
            info = json.loads(self.cluster.rados(*place, "--format", "json", "lock", "info", header, "rexray"))
            for locker in info["lockers"]:
                words = ("lock", "break", header, "rexray", locker["name"], "--lock-cookie", locker["cookie"])
                self.cluster.rados(*place, *words)
        tag = "ro" if read_only else "rw"
        self.cluster.rados(*place, "lock", "get", header, "rexray", "--lock-cookie", instance, "--lock-tag", tag)

    def facts(self, volume: str) -> Mapping[str, str]:
        """What the storage driver would say of an image that is not encrypted."""
        known = self.cluster.json("info", volume, program="rbd")
        return {"imageId": known["id"], "features": " ".join(known["features"]), "sizeBytes": str(known["size"])}

    def connect(self, attachment: Attachment) -> Path:
        """The device of an attachment."""
        device = self.node.connect(attachment, deadline=DEADLINE)
        assert isinstance(device, Device)
        return device.path

    def mapped(self) -> dict[str, str]:
        """The devices by volume."""
        return {device.volume_id: device.device for device in self.node.devices()}

    def watchers(self, volume: str = "rbd/data") -> int:
        """How many clients have the image open."""
        return len(self.cluster.watchers(volume))


def size_of(device: Path) -> int:
    """What a program that uses the device sees."""
    with device.open("rb") as file:
        return os.lseek(file.fileno(), 0, os.SEEK_END)


_SCRIPT = """
import pickle, sys
from rexray_driver_ceph.node import RbdNode
settings, step, attachment = pickle.loads(sys.stdin.buffer.read())
node = RbdNode(settings)
node.connect(attachment, deadline=60) if step == "connect" else node.disconnect(attachment)
"""


def die_at(host: RbdHost, point: str, step: str, attachment: Attachment) -> None:
    """Have another process connect or disconnect, and be killed at that place."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=pickle.dumps((host.settings, step, attachment)),
        env={**os.environ, "REXRAY_FAULT": point},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{point} was not met: {done.returncode} {done.stderr!r}"


_STAYING = _SCRIPT + "print('done', flush=True)\nimport signal\nsignal.pause()\n"


def connect_and_lose_the_session(host: RbdHost, attachment: Attachment) -> None:
    """Have another process connect, in a session of its own, and end all that is in that session."""
    process = subprocess.Popen(
        [sys.executable, "-c", _STAYING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pickle.dumps((host.settings, "connect", attachment)))
    process.stdin.close()
    assert process.stdout.readline() == b"done\n"
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        with contextlib.suppress(ProcessLookupError):
            if process.pid in (os.getsid(pid), os.getpgid(pid)):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


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


def connect_and_disconnect_in_a_unit(host: RbdHost, attachment: Attachment) -> str:
    """Have another process do both as part of a unit of systemd's; what it asked systemd for."""
    script = _SCRIPT + "node.disconnect(attachment)\n"
    command = [*in_a_unit(host.folder), sys.executable, "-c", script]
    known = pickle.dumps((host.settings, "connect", attachment))
    subprocess.run(command, input=known, check=True, timeout=120)
    return (host.folder / "scopes").read_text()
