"""Mapping by the kernel's own client, krbd.

Facts: rbd(8), "Kernel rbd (krbd) options"; Documentation/ABI/testing/sysfs-bus-rbd; drivers/block/rbd.c of Linux 6.1.
An image that has one of the features that ``supported_features`` lacks is refused. A client that has an image mapped
with the option ``exclusive`` answers a request to grow it with EROFS (tried with Linux 6.1 and Ceph 16), so that is not
asked for here: who else uses the image is looked for instead. The size of a mapped device follows the image's at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rexray import child, faults
from rexray.errors import NotReady, TimedOut, Unsupported, WrongDevice
from rexray_driver_ceph import crypt, monitors
from rexray_driver_ceph.clientconf import ClientConf
from rexray_driver_ceph.cluster import PACKAGE, Cluster
from rexray_driver_ceph.mapping import (
    DEV,
    SYS,
    Mapped,
    Mapper,
    Wanted,
    attribute,
    load_module,
    size_of,
    wait_until,
)
from rexray_driver_ceph.modules import is_loadable
from rexray_driver_ceph.names import Pool, Spec
from rexray_driver_ceph.refusals import refusal
from rexray_driver_ceph.settings import RbdSettings

_BUS = SYS / "bus/rbd"
_WHOLE = "-"
"""What sysfs has for the snapshot of a mapping that is of none."""
_UDEV = Path("/run/udev/control")
_FEATURES = {
    "layering": 1 << 0,
    "striping": 1 << 1,
    "exclusive-lock": 1 << 2,
    "object-map": 1 << 3,
    "fast-diff": 1 << 4,
    "deep-flatten": 1 << 5,
    "journaling": 1 << 6,
    "data-pool": 1 << 7,
    "operations": 1 << 8,
    "migrating": 1 << 9,
    "non-primary": 1 << 10,
    "dirty-cache": 1 << 11,
}
"""librbd.h, ``RBD_FEATURE_*``, by the names that ``rbd info`` has for them."""
_FIXED = ("layering", "striping", "data-pool", "operations", "migrating", "non-primary", "dirty-cache")
"""Those that an image cannot be rid of by ``rbd feature disable``."""
_FOLLOW_SECONDS = 15.0


class Krbd(Mapper):
    """``/dev/rbdN``, and over it dm-crypt where the image is encrypted: krbd does not know of that."""

    name = "krbd"

    def __init__(self, settings: RbdSettings, cluster: Cluster, conf: ClientConf) -> None:
        self._settings, self._cluster, self._conf = settings, cluster, conf

    def missing(self) -> str:
        """Whether the program, or the kernel's part, is missing."""
        if child.find("rbd") is None:
            return f"rbd is not installed: install the package {PACKAGE}"
        if _BUS.is_dir() or (self._settings.test_module and is_loadable("rbd")):
            return ""
        return "this kernel has no rbd, and there is no module of that name to load"

    def mapped(self) -> Iterator[Mapped]:
        """The mappings that sysfs shows, without those of snapshots."""
        devices = _BUS / "devices"
        for entry in sorted(devices.iterdir() if devices.is_dir() else ()):
            if attribute(entry / "current_snap") != _WHOLE:
                continue
            pool = Pool(attribute(entry / "pool"), attribute(entry / "pool_ns"))
            image_id, fsid = attribute(entry / "image_id"), attribute(entry / "cluster_fsid")
            lower = DEV / f"rbd{entry.name}"
            yield Mapped(
                mapper=self.name,
                spec=Spec(pool, attribute(entry / "name")),
                key=entry.name,
                device=crypt.opened(crypt.name_of(fsid, image_id)) or lower,
                lower=lower,
                read_only=attribute(SYS / "block" / lower.name / "ro") == "1",
                image_id=image_id,
                fsid=fsid,
            )

    def map(self, wanted: Wanted, *, seconds: float) -> Mapped:
        """Map with a client of its own, which can be fenced alone; ``Unsupported`` names what the kernel lacks."""
        until = time.monotonic() + seconds
        if not _BUS.is_dir() and self._settings.test_module:
            load_module("rbd")
        if not _BUS.is_dir():
            raise Unsupported(
                "krbd: the kernel's module rbd is not loaded: say modprobe rbd, or rbd.mapper: nbd or loop"
            )
        _refuse_features(wanted)
        with self.leaving_nothing(wanted.spec):
            path = self._map(wanted, until - time.monotonic())
            faults.point("rbd-krbd-mapped")
            mapped = self._find(wanted.spec, path)
            if wanted.image_id and mapped.image_id not in ("", wanted.image_id):
                raise WrongDevice(
                    f"{wanted.spec} is the image {mapped.image_id} by now, not {wanted.image_id} that was attached"
                )
            return self.complete(mapped, wanted, seconds=until - time.monotonic())

    def complete(self, mapped: Mapped, wanted: Wanted, *, seconds: float) -> Mapped:
        """Wait until the device has followed the image, and have dm-crypt show what is in it, and all of that."""
        until = time.monotonic() + seconds
        wait_until(
            lambda: size_of(mapped.lower) >= wanted.image_bytes,
            seconds=min(seconds, _FOLLOW_SECONDS),
            action=f"use all of {wanted.spec}: {mapped.lower} is smaller than its {wanted.image_bytes} bytes",
        )
        if wanted.passphrase is None:
            return mapped
        name = crypt.name_of(mapped.fsid, mapped.image_id)
        crypt.open_device(
            name, mapped.lower, wanted.passphrase, read_only=mapped.read_only, seconds=until - time.monotonic()
        )
        crypt.refresh(name, mapped.lower, wanted.passphrase, seconds=until - time.monotonic())
        return next(again for again in self.mapped() if again.key == mapped.key)

    def unmap(self, mapped: Mapped, *, seconds: float) -> None:
        """Close dm-crypt and unmap. While the cluster is down the kernel waits for it, which ends with the seconds."""
        until = time.monotonic() + seconds
        crypt.close_device(crypt.name_of(mapped.fsid, mapped.image_id), seconds=seconds)
        faults.point("rbd-krbd-closed")
        action = f"unmap {mapped.spec} from {mapped.lower}"
        words = ("device", "unmap", *(["--options", "noudev"] if not _UDEV.exists() else []), str(mapped.lower))
        try:
            ended = self._cluster.attempt("rbd", *words, action=action, seconds=max(until - time.monotonic(), 0.1))
        except TimedOut as error:
            if self._is_there(mapped):
                raise TimedOut(f"{error}; {mapped.lower} is still there: does the cluster answer?") from None
            return
        if ended.status != 0 and self._is_there(mapped):
            raise refusal(ended, action)

    def _is_there(self, mapped: Mapped) -> bool:
        return (_BUS / "devices" / mapped.key).exists()

    def _map(self, wanted: Wanted, seconds: float) -> Path:
        options = ["noshare", f"mount_timeout={max(int(seconds) - 1, 1)}"]
        if not _UDEV.exists():
            options.append("noudev")
        found = monitors.parse(self._conf.mon_host)
        if found and not monitors.speaks_v1(found) and "ms_mode=" not in self._settings.map_options:
            options.append("ms_mode=prefer-crc")
        options += filter(None, [self._settings.map_options])
        words = ["device", "map", "--options", ",".join(options), *(["--read-only"] if wanted.read_only else [])]
        action = f"map {wanted.spec} by krbd"
        ended = self._cluster.attempt("rbd", *words, str(wanted.spec), action=action, seconds=max(seconds, 0.1))
        if "feature set mismatch" in ended.stderr:
            raise Unsupported(f"cannot {action}: {_complaint(ended.stderr)}; or set rbd.mapper: nbd")
        if ended.status != 0:
            raise refusal(ended, action)
        return Path(ended.stdout.split()[-1])

    def _find(self, spec: Spec, device: Path) -> Mapped:
        for mapped in self.mapped():
            if mapped.lower == device and mapped.spec == spec:
                return mapped
        raise NotReady(f"{spec} was mapped as {device}, which sysfs does not show: try again")


def supported() -> int:
    """The features that this kernel's client has, as a bitmap; 0 where it does not tell."""
    try:
        return int(attribute(_BUS / "supported_features"), 16)
    except ValueError:
        return 0


def _refuse_features(wanted: Wanted) -> None:
    known = supported()
    lacking = sorted(name for name in wanted.features if known and not _FEATURES.get(name, ~known) & known)
    if not lacking:
        return
    by_hand = [name for name in lacking if name not in _FIXED]
    cure = f"say rbd feature disable {wanted.spec} {' '.join(by_hand)}, or " if by_hand == lacking else ""
    raise Unsupported(
        f"krbd of this kernel cannot map {wanted.spec}, which has {', '.join(lacking)}: {cure}set rbd.mapper: nbd"
    )


def _complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "feature set mismatch" in line]
    return lines[0].rstrip(".")
