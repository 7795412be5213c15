"""The node driver: volumes of XtremIO arrays as block devices of this host, by iSCSI or Fibre Channel."""

from __future__ import annotations

import os
import platform
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from rexray import faults
from rexray.core_settings import CoreSettings
from rexray.drivers import NodeDriver
from rexray.errors import NotReady, SettingsError
from rexray.locks import Locks
from rexray.paths import find_paths
from rexray.settings import Sources, options_of
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, Instance, InstanceId, Viability, VolumeId
from rexray_driver_xtremio.connecting import Connector, Wanted
from rexray_driver_xtremio.initiator import FILE, initiator_name
from rexray_driver_xtremio.iscsi import Sessions
from rexray_driver_xtremio.multipath import Multipath
from rexray_driver_xtremio.notes import Notes
from rexray_driver_xtremio.paths import NAA, Disks
from rexray_driver_xtremio.settings import XtremIoSettings

PROVIDER = "xtremio"

_DISCONNECT_SECONDS = 50.0
"""How long taking a volume away may last; the caller waits for 60 s unless it is told otherwise."""


class XtremIoNode(NodeDriver):
    """Knows this host by its initiator's name, and its volumes' disks by their NAA.

    With ``remote`` it stands for the host whose initiator ``xtremio.initiator`` names, which is elsewhere. ``sys``,
    ``dev``, ``etc`` and ``var`` are where sysfs, the device nodes and what open-iscsi keeps are. ``SettingsError``.
    """

    name = PROVIDER
    settings = XtremIoSettings

    def __init__(
        self,
        settings: XtremIoSettings,
        *,
        remote: bool = False,
        sys: Path = Path("/sys"),
        dev: Path = Path("/dev"),
        etc: Path = Path("/etc"),
        var: Path = Path("/var"),
    ) -> None:
        settings.check()
        self._settings, self._remote, self._etc = settings, remote, etc
        run = find_paths().run
        self._locks = Locks(run / "locks")
        self._notes = Notes(run / PROVIDER)
        self._disks, self._multipath = Disks(sys, dev), Multipath(sys, dev)
        records = (etc / "iscsi/nodes", var / "lib/iscsi/nodes")
        sessions = Sessions(settings, self._notes, sys, records)
        self._connector = Connector(settings, sys, self._disks, self._multipath, sessions, self._alone)

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError``."""
        return cls(sources.load(XtremIoSettings), remote=sources.load(CoreSettings).remote_management)

    @classmethod
    def viable(cls) -> Viability:
        """Whether this host has an initiator or an array's disk, or the environment has settings for XtremIO."""
        return viability()

    def instance(self) -> Instance:
        """This host by the name of its initiator; ``SettingsError`` if it has none, or is remote and none is named."""
        return Instance(
            id=self._here(),
            provider=PROVIDER,
            name="" if self._remote else platform.node(),
            max_volumes=self._settings.max_volumes,
        )

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes whose disks this host has, whoever connected them; the array is not asked.

        The id of one that REX-Ray connected since the last boot is known; another one goes by its NAA, which is the
        network name of each. Where a multipath device is asked for, a volume without one is left out.
        """
        if self._remote:
            return ()
        ids, here = self._notes.volumes(), self._here()
        found = {naa: node for naa in {disk.naa: None for disk in self._disks.all()} if (node := self._node(naa))}
        return tuple(
            BlockDevice(
                provider=PROVIDER,
                instance_id=here,
                volume_id=VolumeId(ids.get(naa) or naa),
                device=str(node),
                status="attached",
                network_name=naa,
            )
            for naa, node in found.items()
        )

    def next_device(self) -> str:
        """Empty: the kernel chooses."""
        return ""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """What the mapped volume's device is found by, once its disks are there and as large as the volume is by now.

        Logs in to the attachment's portals; one that works is enough. ``WrongDevice`` if a disk that is in use is where
        the volume's ought to be. ``Unauthorized`` and ``Unavailable`` if no portal can be logged in to, ``NotReady`` if
        multipathd is needed and does not run, or if the attachment is another host's; ``SettingsError`` if none of its
        portals is among ``xtremio.portals``.
        """
        self._refuse_foreign(attachment)
        wanted = Wanted.of(attachment, self._settings)
        until = time.monotonic() + deadline
        with self._holding(wanted.naa, f"connect {wanted.volume_id}", deadline):
            if self._settings.multipath:
                self._multipath.need_daemon(until)
            self._notes.keep_volume(wanted.naa, wanted.volume_id)
            faults.point("xtremio-volume-noted")
            self._connector.bring(wanted, until)
        return Device(identity=DeviceIdentity(wwn=f"naa.{wanted.naa}"))

    def disconnect(self, attachment: Attachment) -> None:
        """Flush and remove the volume's devices, and end sessions that nothing hangs on; ``InUse`` says who uses it.

        Whether the array still maps the volume does not matter. ``TimedOut`` while what was written does not arrive;
        a session that cannot be ended now is by a later disconnect.
        """
        if self._remote or not _is_same(attachment.instance_id, self._here()):
            return
        until = time.monotonic() + _DISCONNECT_SECONDS
        naa = self._naa(attachment)
        if naa:
            with self._holding(naa, f"disconnect {attachment.volume_id}", _DISCONNECT_SECONDS):
                self._connector.take_away(naa, attachment.volume_id, until)
                self._notes.forget_volume(naa)
        self._connector.let_go_idle(until)

    def _here(self) -> InstanceId:
        if self._remote and not self._settings.initiator:
            raise SettingsError(
                "xtremio.initiator is missing: rexray.remoteManagement needs to know for which host's initiator"
            )
        return InstanceId(initiator_name(self._settings.initiator, self._etc))

    def _refuse_foreign(self, attachment: Attachment) -> None:
        volume_id = attachment.volume_id
        if self._remote:
            raise NotReady(
                f"volume {volume_id!r} is attached to {attachment.instance_id!r}, which rexray.remoteManagement says "
                "is elsewhere: connect it there"
            )
        here = self._here()
        if not _is_same(attachment.instance_id, here):
            raise NotReady(f"the attachment of {volume_id!r} is to {attachment.instance_id!r}, and this is {here!r}")

    def _naa(self, attachment: Attachment) -> str:
        """The volume's NAA; the array is not asked for it where an attachment is only remembered."""
        if NAA.fullmatch(attachment.token):
            return attachment.token
        known = [naa for naa, volume_id in self._notes.volumes().items() if volume_id == attachment.volume_id]
        return known[0] if known else attachment.volume_id if NAA.fullmatch(attachment.volume_id) else ""

    def _node(self, naa: str) -> Path | None:
        found = self._multipath.find(naa)
        if found is not None:
            return found.node
        if self._settings.multipath or self._settings.device_mapper:
            return None
        return next((disk.node for disk in self._disks.of(naa)), None)

    def _holding(self, naa: str, what: str, seconds: float) -> AbstractContextManager[None]:
        return self._locks.hold(f"{PROVIDER}-{naa}", owner=what, timeout=seconds)

    def _alone(self, until: float) -> AbstractContextManager[None]:
        """Sessions carry many volumes: whoever logs in and looks for a LUN must not meet who logs out."""
        seconds = max(until - time.monotonic(), 0)
        return self._locks.hold(f"{PROVIDER}-sessions", owner="changing iSCSI sessions", timeout=seconds)


def _is_same(name: str, other: str) -> bool:
    """Whether two names are of one initiator: RFC 7143 4.2.7.3, they are compared without regard to case."""
    return name.casefold() == other.casefold()


def viability(*, sys: Path = Path("/sys"), etc: Path = Path("/etc")) -> Viability:
    """A quick look that asks nobody; a host that has no volume yet has no disk of an array either."""
    variables = [name for option in options_of(XtremIoSettings) for name in option.env]
    if (etc / FILE).is_file() or Disks(sys, Path("/dev")).all() or any(map(os.environ.get, variables)):
        return Viability(ok=True)
    return Viability(
        ok=False,
        reason=f"this host has no iSCSI initiator ({etc / FILE}), no disk of an XtremIO array, and no settings for one "
        "(GOXTREMIO_ENDPOINT, ...) in its environment",
    )
