"""The iSCSI side of a simulated XtremIO: tgt exports what is mapped, behind portals as the array's.

tgt has no LUN masking within a target, so each initiator group has a tgt target of its own, whose name no initiator
sees: portals (``xms_iscsi``) send a login to the one of the initiator's group. An initiator without a group is refused
at its login. LUN 0 is tgt's own controller: volumes cannot have it.

tgt learns a unit's size when it is added, so a unit that grows is taken away and added anew, while the commands of its
initiators wait in the portals: to them it is the same unit with more blocks, after a rescan.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xms_iscsi import Front, Portal, Relay
from xms_parts import Content, Xms

IQN = "iqn.2008-05.com.xtremio:001e67939c34"
VENDOR, PRODUCT, REVISION = "XtremIO", "XtremApp", "4020"
WAIT_S = 20.0
CONTROL_PORT = "1"
"""Numbers the control socket, which is in a folder of its own."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A logical unit of a tgt target."""

    lun: int
    naa: str
    path: Path
    readonly: bool


@dataclass(kw_only=True)
class Exported:
    """The tgt target of an initiator group."""

    tid: int
    name: str
    units: dict[int, Unit]


class Target:
    """tgtd in the foreground with its own control port, and a portal for each address; a context manager.

    ``chap`` are the user and password that every initiator has to log in with; without it, and if the array's
    chap_mode is "initiator", each group's initiators have the credentials that they have in the array. ``portals``
    are announced in the array, port 0 is any free one.
    """

    def __init__(
        self,
        xms: Xms,
        folder: Path,
        *,
        portals: tuple[str, ...] = ("127.0.0.1:3260", "127.0.0.2:3260"),
        chap: tuple[str, str] | None = None,
        cluster: str | None = None,
        iqn: str = IQN,
    ) -> None:
        self.xms = xms
        self.folder = folder
        self.chap = chap
        self.iqn = iqn
        self._cluster = cluster
        self._exported: dict[int, Exported] = {}
        self._tids = itertools.count(1)
        self._users: set[str] = set()
        self._tgtd: subprocess.Popen[bytes] | None = None
        self._announced: list[int] = []
        # a folder of its own, since the path of a socket has to be short
        self._sockets = tempfile.TemporaryDirectory(prefix="tgt-")
        self._front = Front(
            backend=("127.0.0.1", 0), iqn=iqn, vendor=VENDOR, target_of=self._target_of, naa_of=self._naa_of
        )
        self.portals: list[Portal] = []
        for word in portals:
            ip, _, port = word.rpartition(":")
            self.portals.append(Portal(self._front, ip, int(port)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start tgtd, open and announce the portals, export what is mapped already and from now on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start_tgtd()
        try:
            # without any target tgt breaks off discoveries
            self._make_target(next(self._tids), f"{self.iqn}:none")
            for portal in self.portals:
                portal.open()
                ip, port = portal.address
                self._front.portals.append((ip, port))
                self._announced.append(self.xms.add_portal(ip, port, iqn=self.iqn, cluster=self._cluster))
            with self.xms.store.lock:
                for volume in self.xms.volumes(self._cluster):
                    for group, _, lun in volume["lun-mapping-list"]:
                        self._map(volume, {"index": group[2], "sys-id": volume["sys-id"]}, lun)
                self.xms.on_map.append(self._map)
                self.xms.on_unmap.append(self._unmap)
                self.xms.on_change.append(self._change)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._map in self.xms.on_map:
            self.xms.on_map.remove(self._map)
            self.xms.on_unmap.remove(self._unmap)
            self.xms.on_change.remove(self._change)
        for index in self._announced:
            self.xms.remove_portal(index, self._cluster)
        self._announced.clear()
        for portal in self.portals:
            portal.close()
        if self._tgtd is not None:
            # it takes no notice of SIGTERM
            self._tgtd.kill()
            self._tgtd.wait()
            self._tgtd = None
        self._sockets.cleanup()

    def cut(self, word: str, *, silently: bool = False) -> None:
        """Make a portal ("127.0.0.1:3260") stop answering: refuse connections, or keep them and say nothing."""
        portal = self._portal(word)
        if silently:
            portal.flowing.clear()
        else:
            portal.close()

    def mend(self, word: str) -> None:
        """Make a portal that was cut answer again; what was said to a silent one is answered then."""
        portal = self._portal(word)
        portal.flowing.set()
        if not portal.is_open:
            portal.open()

    def sessions(self) -> list[tuple[str, str]]:
        """The initiators that are logged in, each with the portal of its connection."""
        return [
            (relay.initiator, "{}:{}".format(*portal.address))
            for portal in self.portals
            for relay in portal.relays
            if relay.target
        ]

    def _portal(self, word: str) -> Portal:
        return next(portal for portal in self.portals if "{}:{}".format(*portal.address) == word)

    def _start_tgtd(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._front.backend = probe.getsockname()
        command = ["tgtd", "-f", "-C", CONTROL_PORT, "--iscsi", "portal={}:{}".format(*self._front.backend)]
        with (self.folder / "tgtd.log").open("wb") as log:
            self._tgtd = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        while not self._try("show", "target"):
            if self._tgtd.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"tgtd did not start: {(self.folder / 'tgtd.log').read_text()}")
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "TGT_IPC_SOCKET": f"{self._sockets.name}/socket"}

    def _run(self, operation: str, mode: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = ["tgtadm", "-C", CONTROL_PORT, "--lld", "iscsi", "--op", operation, "--mode", mode]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        return subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=WAIT_S, check=False
        )

    def _try(self, operation: str, mode: str, **options: Any) -> bool:
        return self._run(operation, mode, **options).returncode == 0

    def _do(self, operation: str, mode: str, **options: Any) -> None:
        done = self._run(operation, mode, **options)
        if done.returncode != 0:
            raise RuntimeError(f"tgtadm {operation} {mode}: {done.stderr.strip()}")

    def _group(self, index: int) -> Exported:
        """The tgt target of an initiator group, made when it is first needed; hold the store's lock."""
        found = self._exported.get(index)
        if found is None:
            found = Exported(tid=next(self._tids), name=f"{self.iqn}:ig{index}", units={})
            self._make_target(found.tid, found.name)
            self._exported[index] = found
            if self.chap is not None:
                self._account(found, *self.chap)
        return found

    def _make_target(self, tid: int, name: str) -> None:
        self._do("new", "target", tid=tid, targetname=name)
        self._do("bind", "target", tid=tid, initiator_address="ALL")

    def _account(self, exported: Exported, user: str, password: str) -> None:
        # the password is a test's own; tgtadm takes it as an argument only
        if user not in self._users:
            self._do("new", "account", user=user, password=password)
            self._users.add(user)
        self._try("bind", "account", tid=exported.tid, user=user)

    def _target_of(self, initiator: str) -> str:
        with self.xms.store.lock:
            found = self.xms.initiator(initiator, self._cluster)
            if found is None:
                return f"{self.iqn}:nobody"
            exported = self._group(found.group.index)
            if self.chap is None and self.xms.switches.chap_mode == "initiator":
                user, password = found.users.get("authentication", ""), found.passwords.get("authentication", "")
                if not user or not password:
                    return f"{self.iqn}:nobody"
                self._account(exported, user, password)
            found.state = "connected"
            return exported.name

    def _naa_of(self, target: str, lun: int) -> str:
        found = next((entry for entry in self._exported.copy().values() if entry.name == target), None)
        unit = found.units.get(lun) if found is not None else None
        return unit.naa if unit is not None else ""

    def _ours(self, content: Content) -> bool:
        return bool(content["sys-id"][2] == self.xms.cluster(self._cluster).index)

    def _map(self, volume: Content, group: Content, lun: int) -> None:
        if not self._ours(group):
            return
        path = self.xms.contents(volume["name"], self._cluster)
        readonly = volume["snapshot-type"] == "readonly"
        unit = Unit(lun=lun, naa=volume["naa-name"], path=path, readonly=readonly)
        self._add(self._group(group["index"]), unit)

    def _add(self, exported: Exported, unit: Unit) -> None:
        exported.units[unit.lun] = unit
        where = {"tid": exported.tid, "lun": unit.lun}
        self._do("new", "logicalunit", **where, backing_store=unit.path)
        facts = {
            "vendor_id": VENDOR,
            "product_id": PRODUCT,
            "product_rev": REVISION,
            "scsi_sn": unit.naa,
            "scsi_id": unit.naa,
            "thin_provisioning": 1,
            "readonly": int(unit.readonly),
        }
        self._do("update", "logicalunit", **where, params=",".join(f"{key}={value}" for key, value in facts.items()))

    def _unmap(self, volume: Content, group: Content, lun: int) -> None:
        if self._ours(group):
            exported = self._group(group["index"])
            with self._held(exported):
                self._take(exported, lun)
                exported.units.pop(lun)

    def _take(self, exported: Exported, lun: int) -> None:
        """Remove a unit once tgt has ended the commands that it has."""
        deadline = time.monotonic() + WAIT_S
        while not self._try("delete", "logicalunit", tid=exported.tid, lun=lun):
            if time.monotonic() > deadline:
                self._do("delete", "logicalunit", tid=exported.tid, lun=lun, force=True)
                return
            time.sleep(0.02)

    def _change(self, volume: Content) -> None:
        if not self._ours(volume):
            return
        for group, _, lun in volume["lun-mapping-list"]:
            exported = self._group(group[2])
            with self._held(exported):
                self._take(exported, lun)
                self._add(exported, exported.units[lun])

    @contextlib.contextmanager
    def _held(self, exported: Exported) -> Iterator[None]:
        """Let the commands of a group's initiators wait."""
        relays: list[Relay] = [
            relay for portal in self.portals for relay in portal.relays if relay.target == exported.name
        ]
        for relay in relays:
            relay.hold()
        try:
            yield
        finally:
            for relay in relays:
                relay.release()
