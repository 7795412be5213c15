"""The node driver: images of Ceph clusters as block devices of this host."""

from __future__ import annotations

import contextlib
import hashlib
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Self

from rexray import faults, uses
from rexray.core_settings import CoreSettings
from rexray.drivers import NodeDriver
from rexray.errors import (
    AlreadyExists,
    Busy,
    InUse,
    InvalidRequest,
    NotReady,
    RexrayError,
    TimedOut,
    Unavailable,
    WrongDevice,
)
from rexray.locks import Locks
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, Instance, InstanceId, Viability, VolumeId
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.describing import PROVIDER
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.looking import Look
from rexray_driver_ceph.mappers import Mappers
from rexray_driver_ceph.mapping import SECTOR, Mapped, Wanted, size_of, undo_quietly
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.using import refuse_used
from rexray_driver_ceph.viability import can_map, has_cluster
from rexray_driver_ceph.wanting import wanted_of

_UNDO_SECONDS = 15.0


class RbdNode(NodeDriver):
    """Maps the images that are attached to this host, each by a client of its own.

    With ``remote`` it stands for the instance ``rbd.instanceID``, which is elsewhere: it has no devices here.
    """

    name = PROVIDER
    aliases = ("ceph",)
    settings = RbdSettings

    def __init__(self, settings: RbdSettings, *, remote: bool = False) -> None:
        self._settings, self._remote = settings, remote
        self._is_registered = False
        self._cluster = Cluster(settings)
        self._mappers = Mappers(settings, self._cluster)

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError``."""
        return cls(sources.load(RbdSettings), remote=sources.load(CoreSettings).remote_management)

    @classmethod
    def viable(cls) -> Viability:
        """Whether a cluster is known, and images can become devices here."""
        known = has_cluster()
        return can_map(RbdSettings()) if known.ok else known

    def instance(self) -> Instance:
        """This host by its name, which the cluster is told the first time: volumes can be attached to it from then on.

        A remote instance makes itself known.
        """
        if not self._remote:
            self._register()
        name = self._settings.instance
        limit = self._settings.max_volumes
        return Instance(id=InstanceId(name), provider=PROVIDER, name=name, max_volumes=limit)

    def devices(self) -> tuple[BlockDevice, ...]:
        """The images that are mapped here, whoever mapped them; no snapshots. The cluster is not asked."""
        if self._remote:
            return ()
        self._sweep()
        return tuple(
            BlockDevice(
                provider=PROVIDER,
                instance_id=InstanceId(self._settings.instance),
                volume_id=VolumeId(str(mapped.spec)),
                device=str(mapped.device),
                status="attached",
                network_name=str(mapped.spec),
            )
            for mapped in self._mappers.mapped()
        )

    def next_device(self) -> str:
        """Empty: the kernel chooses."""
        return ""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """The device of an attached image, mapped unless it is, and as large as the image is by now.

        ``WrongDevice`` if what is mapped under that name is another image by now, ``AlreadyExists`` if it is writable
        where it should not be or the reverse, ``InUse`` if somebody locked it or has it open elsewhere, ``Unsupported``
        if this host cannot map it: with nothing mapped in each case. ``NotReady`` if the attachment is another
        instance's, or not one any more.
        """
        self._refuse_foreign(attachment)
        until = time.monotonic() + deadline
        with self._holding(self._spec(attachment), "connect", deadline):
            wanted = wanted_of(attachment, self._spec(attachment), self._settings)
            look = Look(self._settings, self._cluster, until)
            image = look.image(wanted)
            wanted = _with_facts(wanted, image)
            found = self._usable(wanted, image, look, until)
            if found is None:
                mapped = self._map(wanted, image, look, until)
            else:
                mapper = self._mappers.that_made(found)
                mapped = mapper.complete(found, _growth(found, wanted), seconds=until - time.monotonic())
        return Device(path=mapped.device, identity=DeviceIdentity(backing_file=mapped.backing_file))

    def disconnect(self, attachment: Attachment) -> None:
        """Unmap, and wait until the device is gone; ``InUse`` names who has it mounted, held, bound or open.

        ``TimedOut`` while the cluster does not take what is still to be written there.
        """
        if self._remote or attachment.instance_id != self._settings.instance:
            return
        seconds = self._settings.timeout
        until = time.monotonic() + seconds
        spec = self._spec(attachment)
        with self._holding(spec, "disconnect", seconds):
            for mapped in self._mappers.of(spec, attachment.fields.get("imageId", "")):
                refuse_used(mapped)
                self._mappers.that_made(mapped).unmap(mapped, seconds=until - time.monotonic())
            self._mappers.exports.sweep(spec, seconds=until - time.monotonic())

    def _register(self) -> None:
        from rexray_driver_ceph.instances import register

        if not self._is_registered:
            register(self._cluster, self._settings.instance)
            self._is_registered = True

    def _map(self, wanted: Wanted, image: Image, look: Look, until: float) -> Mapped:
        mapper = self._mappers.chosen()
        self._mappers.exports.sweep(wanted.spec, seconds=until - time.monotonic())  # whose clients are nobody else's
        if not wanted.read_only:
            look.refuse_others(image)
        mapped = mapper.map(wanted, seconds=until - time.monotonic())
        faults.point("rbd-mapped-unconfirmed")
        try:
            look.confirm(wanted)
            if place := uses.binding(mapped.device):
                raise InUse(f"an earlier device of the name {mapped.device} is still bound at {place}")
        except RexrayError as error:
            said = undo_quietly(lambda: mapper.unmap(mapped, seconds=max(until - time.monotonic(), _UNDO_SECONDS)))
            raise type(error)(f"{error}{said}") from None
        return mapped

    def _usable(self, wanted: Wanted, image: Image, look: Look, until: float) -> Mapped | None:
        """What is mapped of the image already and is what is wanted; what is dead is taken away first.

        So is what does not follow its image, which nothing that is read-only does, unless somebody uses it.
        """
        for mapped in self._mappers.of(wanted.spec):
            if mapped.image_id and wanted.image_id not in ("", mapped.image_id):
                raise WrongDevice(
                    f"{mapped.lower} is the image {mapped.image_id} of the name {wanted.spec}, and attached was "
                    f"{wanted.image_id}: unmap it; nothing was done to it"
                )
            mapper = self._mappers.that_made(mapped)
            dead = "" if mapper.serves(mapped) else "what served it has died"
            if not dead and not mapped.read_only and not look.is_served(image):
                dead = "its client has been shut out of the cluster"
            if dead:
                refuse_used(mapped, Unavailable, f" and {dead}: let it go, then connect again")
                mapper.unmap(mapped, seconds=until - time.monotonic())
                continue
            if mapped.read_only != wanted.read_only:
                is_so, asked = (
                    "read-only" if access else "writable" for access in (mapped.read_only, wanted.read_only)
                )
                raise AlreadyExists(f"{wanted.spec} is mapped as {mapped.device} {is_so}, and was asked for {asked}")
            if mapped.read_only and wanted.size_bytes // SECTOR * SECTOR > size_of(mapped.device):
                with contextlib.suppress(InUse):
                    refuse_used(mapped)
                    mapper.unmap(mapped, seconds=until - time.monotonic())
                    continue
            return mapped
        return None

    def _refuse_foreign(self, attachment: Attachment) -> None:
        volume_id, here = attachment.volume_id, self._settings.instance
        if self._remote:
            raise NotReady(
                f"volume {volume_id!r} is attached to {attachment.instance_id!r}, which rexray.remoteManagement says "
                "is elsewhere: connect it there"
            )
        if attachment.instance_id != here:
            raise NotReady(f"the attachment of {volume_id!r} is to {attachment.instance_id!r}, and this is {here!r}")

    def _spec(self, attachment: Attachment) -> Spec:
        spec = Spec.parse(attachment.volume_id, self._cluster.default_pool)
        if spec.snapshot:
            raise InvalidRequest(f"{attachment.volume_id!r} is a snapshot: restore it to a volume first")
        return spec

    def _holding(self, spec: Spec, what: str, seconds: float) -> AbstractContextManager[None]:
        """The image's lock, between the processes of this host."""
        key = "rbd-" + hashlib.sha256(str(spec).encode()).hexdigest()[:32]
        return Locks(find_paths().run / "locks").hold(key, owner=f"{what} {spec}", timeout=seconds)

    def _sweep(self) -> None:
        """Take away what a crash left half made, unless somebody is just making it."""
        for spec in tuple(self._mappers.exports.leftovers()):
            with contextlib.suppress(Busy, TimedOut), self._holding(spec, "tidy up after", 0):
                self._mappers.exports.sweep(spec, seconds=0)


def _with_facts(wanted: Wanted, image: Image) -> Wanted:
    """What is wanted, with what the image is by now; of an encrypted one only its attachment tells what it holds."""
    size = image.size_bytes
    return replace(
        wanted,
        image_id=image.id,
        features=frozenset(image.features),
        image_bytes=size,
        size_bytes=min(wanted.size_bytes, size) if wanted.passphrase else size,
    )


def _growth(found: Mapped, wanted: Wanted) -> Wanted:
    """The same without sizes where the device is large enough already, or can only be read: then it does not follow."""
    is_large = 0 < wanted.size_bytes // SECTOR * SECTOR <= size_of(found.device)
    return replace(wanted, size_bytes=0, image_bytes=0) if is_large or found.read_only else wanted
