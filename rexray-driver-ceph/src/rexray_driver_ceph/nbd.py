"""Mapping by rbd-nbd: librbd in a process of its own, which the kernel's nbd asks for every block.

Facts: rbd-nbd(8); rbd(8); drivers/block/nbd.c. Tried with Ceph 16 and Linux 6.1: ``rbd-nbd`` takes a device away while
it is open; made by netlink, one does not follow its image's size, see :mod:`rexray_driver_ceph.netlink`; made by ioctl
it does, and there are only as many of those as the module's ``nbds_max`` says. librbd's exclusive lock lets the image
be grown by others. By default the kernel waits for a block for 30 s, and a filesystem is read-only from then on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray import child, faults
from rexray.errors import Forbidden, NotReady, RexrayError, TimedOut, Unsupported
from rexray_driver_ceph import netlink
from rexray_driver_ceph.clientconf import ClientConf, fsid_of
from rexray_driver_ceph.cluster import PACKAGE, Cluster
from rexray_driver_ceph.mapping import (
    SYS,
    Mapped,
    Mapper,
    Wanted,
    attribute,
    is_alive,
    load_module,
    size_of,
    wait_until,
)
from rexray_driver_ceph.modules import is_loadable
from rexray_driver_ceph.names import Pool, Spec
from rexray_driver_ceph.refusals import refusal
from rexray_driver_ceph.settings import RbdSettings

_LIST_SECONDS = 10.0
_FIRST = SYS / "block/nbd0"
_FOLLOW_SECONDS, _BY_ITSELF_SECONDS = 15.0, 1.0
_OPTIONS = "io-timeout=0"
"""Wait for the cluster as long as it takes, as krbd does."""


class Nbd(Mapper):
    """``/dev/nbdN``; librbd decrypts an encrypted image."""

    name = "nbd"

    def __init__(self, settings: RbdSettings, cluster: Cluster, conf: ClientConf) -> None:
        self._settings, self._cluster, self._conf = settings, cluster, conf
        self._fsids: dict[str, str] = {}

    def missing(self) -> str:
        """Whether a program, or the kernel's part, is missing."""
        for program, package in (("rbd", PACKAGE), ("rbd-nbd", "rbd-nbd")):
            if child.find(program) is None:
                return f"{program} is not installed: install the package {package}"
        if _FIRST.is_dir() or (self._settings.test_module and is_loadable("nbd")):
            return ""
        return "this kernel has no nbd, and there is no module of that name to load"

    def mapped(self) -> Iterator[Mapped]:
        """The mappings that ``rbd device list`` shows, which reads them from sysfs and ``/proc``."""
        if not any(SYS.glob("block/nbd*/pid")):
            return
        command = [child.need("rbd", PACKAGE), "device", "list", "-t", "nbd", "--format", "json"]
        ended = child.run(command, seconds=_LIST_SECONDS, action="list what rbd-nbd has mapped")
        if ended.status != 0:
            raise refusal(ended, "list what rbd-nbd has mapped")
        for entry in json.loads(ended.stdout or "[]"):
            if entry["snap"] in ("", "-"):
                device, pid = Path(entry["device"]), int(entry["id"])
                yield Mapped(
                    mapper=self.name,
                    spec=Spec(Pool(entry["pool"], entry["namespace"]), entry["image"]),
                    key=device.name,
                    device=device,
                    lower=device,
                    read_only=attribute(SYS / "block" / device.name / "ro") == "1",
                    image_id=entry.get("cookie", ""),
                    fsid=self._fsid_of(pid),
                    helper=pid,
                )

    def map(self, wanted: Wanted, *, seconds: float) -> Mapped:
        """Map; while another client has the exclusive lock that is ``InUse``."""
        if not _FIRST.is_dir() and self._settings.test_module:
            load_module("nbd")
        if not _FIRST.is_dir():
            raise Unsupported("rbd-nbd: the kernel's module nbd is not loaded: say modprobe nbd, or rbd.mapper: loop")
        with self.leaving_nothing(wanted.spec):
            path = self._map(wanted, seconds)
            faults.point("rbd-nbd-mapped")
            for mapped in self.mapped():
                if mapped.device == path:
                    return mapped
            raise NotReady(f"{wanted.spec} was mapped as {path}, which rbd-nbd does not show: try again")

    def complete(self, mapped: Mapped, wanted: Wanted, *, seconds: float) -> Mapped:
        """Wait until the device is as large as the image, and tell the kernel if rbd-nbd does not."""
        size = wanted.size_bytes

        def is_large() -> bool:
            return size_of(mapped.device) >= size

        action = f"use all of {wanted.spec}: {mapped.device} is smaller than its {size} bytes"
        try:
            wait_until(is_large, seconds=min(seconds, _BY_ITSELF_SECONDS), action=action)
        except TimedOut:
            if wanted.passphrase is None:
                backend = attribute(SYS / "block" / mapped.key / "backend")
                netlink.resize(int(mapped.key.removeprefix("nbd")), size, backend)
            wait_until(is_large, seconds=min(seconds, _FOLLOW_SECONDS), action=action)
        return mapped

    def unmap(self, mapped: Mapped, *, seconds: float) -> None:
        """Take the device away, and wait for the end of what served it: the cluster knows then that it is gone."""
        action = f"unmap {mapped.spec} from {mapped.device}"
        words = ("device", "unmap", "-t", "nbd", str(mapped.device))
        try:
            ended = self._cluster.attempt("rbd", *words, action=action, seconds=seconds)
        except TimedOut as error:
            if is_alive(mapped.helper):
                raise TimedOut(f"{error}: rbd-nbd, pid {mapped.helper}, waits for the cluster") from None
            return
        if ended.status != 0 and self._is_there(mapped):
            raise refusal(ended, action)

    def _is_there(self, mapped: Mapped) -> bool:
        return attribute(SYS / "block" / mapped.key / "pid") == str(mapped.helper)

    def _map(self, wanted: Wanted, seconds: float) -> Path:
        options = [_OPTIONS, *filter(None, [self._settings.map_options])]
        if wanted.passphrase is None:
            options.insert(0, "try-netlink")
        else:
            options += ["encryption-format=luks2", f"encryption-passphrase-file={wanted.passphrase}"]
        exclusive = "exclusive-lock" in wanted.features and not wanted.read_only
        words = ["device", "map", "-t", "nbd", "--options", ",".join(options), "--cookie", wanted.image_id]
        words += [*(["--exclusive"] if exclusive else []), *(["--read-only"] if wanted.read_only else [])]
        action = f"map {wanted.spec} by rbd-nbd"
        words = [*words, str(wanted.spec)]
        ended = self._cluster.attempt("rbd", *words, action=action, seconds=max(seconds, 0.1), leaves="rbd-nbd")
        if ended.status != 0:
            raise _refusal(ended, action)
        return Path(ended.stdout.split()[-1])

    def _fsid_of(self, pid: int) -> str:
        """The cluster of an rbd-nbd, told from the configuration file that it was given; empty where it was not."""
        words = attribute(Path(f"/proc/{pid}/cmdline")).split("\0")
        named = next((value for word, value in itertools.pairwise(words) if word in ("--conf", "-c")), "")
        if named and named not in self._fsids:
            program = child.need("ceph-conf", PACKAGE)
            command = [program, "--conf", named, "--show-config-value", "fsid"]
            ended = child.run(command, seconds=_LIST_SECONDS, action=f"read {named}")
            self._fsids[named] = fsid_of(ended.stdout.strip()) if ended.status == 0 else ""
        return self._fsids.get(named, "")


def _refusal(ended: child.Ended, action: str) -> RexrayError:
    """What rbd-nbd said, without what ``rbd`` says of its exit status in the end."""
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("rbd: rbd-nbd failed")]
    error = refusal(replace(ended, stderr="\n".join(lines)), action)
    if "encryption" in str(error) and isinstance(error, Forbidden):
        return Forbidden(f"{error}: the key file in rbd.keyDirectory does not have the passphrase of the image")
    return error
