"""The node driver: this host's SDC and its scini devices."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Self

from rexray.core_settings import CoreSettings
from rexray.drivers import NodeDriver
from rexray.errors import InUse, InvalidRequest, NotReady, RexrayError, SettingsError
from rexray.settings import Sources
from rexray.types import (
    Attachment,
    BlockDevice,
    Device,
    DeviceIdentity,
    Instance,
    InstanceId,
    VolumeId,
)
from rexray_driver_scaleio.scini import Scini
from rexray_driver_scaleio.sdc import ID, Mapped, Mdm, Sdc
from rexray_driver_scaleio.settings import ScaleIoSettings
from rexray_driver_scaleio.viability import SDC_DEVICE, viability
from rexray_driver_scaleio.waiting import Wait

log = logging.getLogger(__name__)

PROVIDER = "scaleio"


class ScaleIoNode(NodeDriver):
    """Knows this host by its SDC's GUID, and its volumes' devices from udev's links or the SDC.

    With ``remote`` it stands for the host of the SDC ``scaleio.guid``, which is elsewhere: it has no devices here.
    ``sys`` and ``dev`` are where sysfs and the device nodes are. ``SettingsError``.
    """

    name = PROVIDER
    aliases = ("powerflex",)
    settings = ScaleIoSettings
    viable = staticmethod(viability)

    def __init__(
        self, settings: ScaleIoSettings, *, remote: bool = False, sys: Path = Path("/sys"), dev: Path = Path("/dev")
    ) -> None:
        settings.check()
        self._settings, self._remote = settings, remote
        self._system_id = settings.system_id.lower()
        if self._system_id and not ID.fullmatch(self._system_id):
            raise SettingsError(f"scaleio.systemID: {settings.system_id!r} is no id such as 14dbbf5617523654")
        self._guid = settings.guid.upper()
        self._sdc = Sdc(settings.drv_cfg, dev / SDC_DEVICE)
        self._scini = Scini(self._sdc, sys, dev)

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError``."""
        return cls(sources.load(ScaleIoSettings), remote=sources.load(CoreSettings).remote_management)

    def instance(self) -> Instance:
        """This host by its GUID, its zone the system's id: empty if none is configured and it is not in just one.

        ``SettingsError`` if it is remote and no GUID is given, ``Unsupported`` without an SDC.
        """
        instance_id = self._instance_id()
        mdms = self._mdms()
        system_id = self._system_id or (mdms[0].system_id if len(mdms) == 1 else "")
        sdc_ids = [mdm.sdc_id for mdm in mdms if mdm.system_id == system_id]
        return Instance(
            id=instance_id,
            provider=PROVIDER,
            zone=system_id,
            max_volumes=self._settings.max_volumes,
            fields={"sdcId": sdc_ids[0]} if sdc_ids else {},
        )

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes that have a device here, of the configured system or else of all; the region is the system's id.

        Volumes of two systems that have one id, and no system is configured, are left out: which of them is meant by
        the id cannot be known.
        """
        found = {} if self._remote else self._scini.volumes()
        mine = {mapped: node for mapped, node in found.items() if self._system_id in ("", mapped.system_id)}
        ids = Counter(mapped.volume_id for mapped in mine)
        for volume_id, systems in ids.items():
            if systems > 1:
                log.warning("%d systems have a volume %s here: set scaleio.systemID to have one", systems, volume_id)
        if not mine:
            return ()
        instance_id = self._instance_id()
        return tuple(
            BlockDevice(
                provider=PROVIDER,
                instance_id=instance_id,
                volume_id=VolumeId(mapped.volume_id),
                device=str(node),
                region=mapped.system_id,
                status="attached",
            )
            for mapped, node in mine.items()
            if ids[mapped.volume_id] == 1
        )

    def next_device(self) -> str:
        """Nothing: the SDC chooses the device's name."""
        return ""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """The volume's device by udev's link, or its node where there is no link and the SDC says whose it is.

        ``WrongDevice`` if the SDC says that the link's device is another volume's, or if it is smaller than the
        attachment's field ``sizeBytes``. ``NotReady`` if the attachment is another instance's, ``InvalidRequest`` if
        it does not say which volume, or says one of another system than the configured one.
        """
        if self._remote:
            raise NotReady(
                f"volume {attachment.volume_id!r} is attached to {attachment.instance_id!r}, which "
                "rexray.remoteManagement says is elsewhere: connect it there"
            )
        if not self._is_here(attachment):
            raise NotReady(
                f"the attachment of {attachment.volume_id!r} is to {attachment.instance_id!r}, and this is "
                f"{self._instance_id()!r}"
            )
        wanted, size = self._wanted(attachment), _size_of(attachment)
        found = Wait(self._sdc, self._scini, wanted, size).wait(deadline)
        return Device(identity=DeviceIdentity(link=wanted.link)) if found.linked else Device(path=found.node)

    def disconnect(self, attachment: Attachment) -> None:
        """Nothing, as the unmap takes the device away; ``InUse`` while it is mounted, held or bound.

        The SDC would take it from under its user. ``InUse`` as well where the SDC has the volume, nothing tells which
        device is its, and one of those that it may be is in use.
        """
        if self._remote or not self._is_here(attachment):
            return
        system_id = _system_of(attachment) or self._system_id
        volume_id = attachment.volume_id
        nodes = [
            node
            for mapped, node in self._scini.volumes().items()
            if mapped.volume_id == volume_id and system_id in ("", mapped.system_id)
        ]
        for node in nodes:
            if user := self._scini.user(node):
                raise InUse(f"volume {volume_id!r} is in use on this host: {node} is {user}")
        if not nodes:
            self._refuse_nameless(volume_id, system_id)

    def _refuse_nameless(self, volume_id: str, system_id: str) -> None:
        used = {node: user for node in self._scini.nameless() if (user := self._scini.user(node))}
        if not used:
            return
        if any(mapped.volume_id == volume_id and system_id in ("", mapped.system_id) for mapped in self._sdc.volumes()):
            node, user = next(iter(used.items()))
            raise InUse(
                f"volume {volume_id!r} may be in use on this host: {node} is {user}, and neither a link in "
                f"{self._scini.by_id} nor drv_cfg tells which volume that is"
            )

    def _instance_id(self) -> InstanceId:
        if self._remote and not self._guid:
            raise SettingsError(
                "scaleio.guid ($SCALEIO_GUID) is missing: rexray.remoteManagement needs to know for which SDC"
            )
        self._guid = self._guid or self._sdc.guid()
        return InstanceId(self._guid)

    def _is_here(self, attachment: Attachment) -> bool:
        return attachment.instance_id.upper() == self._instance_id()

    def _mdms(self) -> tuple[Mdm, ...]:
        if self._remote:
            return ()
        try:
            return self._sdc.mdms()
        except RexrayError as error:
            if not self._system_id:
                raise
            log.debug("the SDC's id is not known: %s", error)
            return ()

    def _wanted(self, attachment: Attachment) -> Mapped:
        """Which volume the attachment is of, its system being its own, the configured one, or the only one."""
        if not ID.fullmatch(attachment.volume_id):
            raise InvalidRequest(f"{attachment.volume_id!r} is not the id of a volume such as 694a2d140000000b")
        system_id = _system_of(attachment) or self._system_id
        if self._system_id and system_id != self._system_id:
            raise InvalidRequest(
                f"volume {attachment.volume_id!r} is of the system {system_id}, and scaleio.systemID is "
                f"{self._system_id}"
            )
        if not system_id:
            system_id = self.instance().zone
        if not system_id:
            raise InvalidRequest(
                f"the attachment of {attachment.volume_id!r} does not say of which system it is, and this host is not "
                "in just one: set scaleio.systemID"
            )
        return Mapped(system_id=system_id, volume_id=attachment.volume_id)


def _system_of(attachment: Attachment) -> str:
    """The system that the attachment names, empty if it names none."""
    text = attachment.fields.get("systemId", "").lower()
    if text and not ID.fullmatch(text):
        raise InvalidRequest(
            f"the attachment of {attachment.volume_id!r} has systemId {text!r}, not an id such as 14dbbf5617523654"
        )
    return text


def _size_of(attachment: Attachment) -> int:
    """The volume's size in bytes, 0 where the attachment does not tell."""
    text = attachment.fields.get("sizeBytes", "")
    if text and not re.fullmatch(r"0*[1-9][0-9]*", text):
        raise InvalidRequest(
            f"the attachment of {attachment.volume_id!r} has sizeBytes {text!r}, not a number of bytes"
        )
    return int(text or 0)
