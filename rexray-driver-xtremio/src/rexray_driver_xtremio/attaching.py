"""Attaching volumes to hosts and detaching them.

Facts: the array gives a volume its NAA when it is mapped for the first time. A volume may be mapped to any number of
groups (goxtremio; OpenStack Cinder's driver for XtremIO).

That a volume is one host's alone is therefore not the array's doing. Who has mapped it looks again, and gives way to
whoever has it as well: of two that have just mapped it, that with the higher group index at once, the other one if that
does not happen. By force the volume is mapped first and then unmapped elsewhere, so that a failure leaves it where it
was. What remains: between its mapping and its look, a host that will give way can see the volume, but its attach has
not returned. One that is killed in between, or whose mapping takes effect after it gave up, leaves a mapping: of two
hosts that have the volume so, neither can attach it, which is told with the names of both, until it is detached from
one of them, or attached by force.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from rexray.errors import Busy, InUse, InvalidRequest, NotReady, OutOfCapacity, RexrayError, Unavailable, Unsupported
from rexray.types import Attachment, Instance, InstanceId, Volume, VolumeId
from rexray_driver_xtremio.describing import Hosts, describe, describe_initiator
from rexray_driver_xtremio.mapping import Made, MapCalls, is_mapped, other_mappings
from rexray_driver_xtremio.things import Disk, Mapped, Ref

GIVE_WAY_SECONDS = 3.0
"""How long one of two that have mapped a volume waits for the other one to give way."""
NAA_SECONDS = 10.0
"""How long a volume that is mapped may be without its NAA."""
PAUSE = 0.2


class AttachCalls(MapCalls):
    """``instances``, ``attach``, ``detach``, ``attached`` and ``attachments`` of the contract."""

    def instances(self) -> Iterator[Instance]:
        """The initiators that the array knows, a host may have several; each may have ``xtremio.maxVolumes``."""
        cluster, most = self._xms.about.cluster, self._settings.max_volumes
        return (describe_initiator(initiator, cluster, most) for initiator in self._initiators())

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        """The volumes of a host, in a constant number of calls."""
        initiators = self._initiators()
        groups = {initiator.group.guid for initiator in initiators if initiator.is_at(instance_id)}
        if not groups:
            return
        hosts = Hosts(initiators, self._portals(), here=self._here, asked=instance_id)
        for disk in self._disks():
            if not disk.is_snapshot and any(mapped.group.guid in groups for mapped in disk.mappings):
                yield describe(disk, hosts)

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        return self._attachments(self._volume(volume_id), instance_id)

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Map the volume to the host, which is made known to the array if it is not.

        ``NotReady`` if the host's initiator group also has other hosts. ``InUse`` names the holder, ``force`` unmaps
        the volume there once it is mapped here.
        """
        if read_only:
            raise Unsupported(f"volume {volume_id!r}: XtremIO maps volumes only so that they can be written")
        with self._held(volume_id, why=f"attaching volume {volume_id}"):
            disk = self._volume(volume_id)
            groups = self._groups_of(instance_id, self._initiators())
            others = other_mappings(disk, groups)
            if others and not force:
                raise self._in_use(disk, others, instance_id)
            groups = groups or [self._registered(instance_id)]
            self._refuse_too_many(disk, groups, instance_id)
            made = None if is_mapped(disk, groups) else self._map(volume_id, groups[0])
            self._take(volume_id, others, made)
            disk = self._settled(volume_id, groups, instance_id, made)
            for attachment in self._attachments(disk, instance_id):
                return attachment
            raise Busy(f"initiator {instance_id!r} was taken out of its group by somebody else meanwhile")

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Unmap the volume from the host, or from all; not mapped, or no such volume, is success.

        ``NotReady`` if other hosts are in the host's initiator group, which would lose the volume too, or if it is
        mapped to a group that has no initiators: whether that is the host's is not known then.
        """
        with self._held(volume_id, why=f"detaching volume {volume_id}"):
            disk = self._disk(volume_id)
            if disk is not None and disk.is_snapshot:
                raise InvalidRequest(f"volume {volume_id!r}: that is the id of a snapshot, and nothing was done")
            if disk is None or not disk.mappings:
                return
            hosts = Hosts(self._initiators(), (), here=self._here, asked=instance_id or "")
            for mapped in disk.mappings:
                members = hosts.members(mapped)
                if instance_id is not None and instance_id not in members:
                    continue
                if instance_id is not None and len(members) > 1:
                    raise NotReady(
                        f"volume {volume_id!r} is mapped to initiator group {mapped.group.name!r}, which has "
                        f"{', '.join(members)}: it cannot be detached from {instance_id!r} alone"
                    )
                self._unmap(volume_id, mapped.group)
            nobody = [mapped.group.name for mapped in disk.mappings if hosts.is_empty(mapped)]
            if instance_id is not None and any(name != instance_id for name in nobody):
                raise NotReady(
                    f"volume {volume_id!r} is mapped to initiator group {nobody[0]!r}, which has no initiators, and "
                    f"may be {instance_id!r}'s: detach the volume from {nobody[0]!r}, or from all hosts"
                )

    def _attachments(self, disk: Disk, instance_id: InstanceId | None) -> tuple[Attachment, ...]:
        if not disk.mappings:
            return ()
        hosts = Hosts(self._initiators(), self._portals(), here=self._here, asked=instance_id or "")
        found = hosts.attachments(disk)
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))

    def _refuse_too_many(self, disk: Disk, groups: list[Ref], instance_id: InstanceId) -> None:
        most = self._settings.max_volumes
        if most and not is_mapped(disk, groups):
            there = sum(1 for other in self._disks() if is_mapped(other, groups))
            if there >= most:
                raise OutOfCapacity(f"host {instance_id!r} has {there} volumes, and xtremio.maxVolumes is {most}")

    def _take(self, volume_id: VolumeId, others: list[Mapped], made: Made | None) -> None:
        """Unmap the volume elsewhere; if that fails, two hosts would have it, and what ``made`` says is undone."""
        try:
            for mapped in others:
                self._unmap(volume_id, mapped.group)
        except RexrayError:
            if made is not None:
                self._unmap(volume_id, made.group)
            raise

    def _settled(self, volume_id: VolumeId, groups: list[Ref], instance_id: InstanceId, made: Made | None) -> Disk:
        """The volume, mapped to that host only and with its NAA; else what ``made`` says is undone.

        One that was mapped before this is left as it is, as the host may use it: the other one gives way.
        """
        since = time.monotonic()
        while True:
            disk = self._disk(volume_id)
            if disk is None or not is_mapped(disk, groups):
                if made is not None:
                    self._take_back(volume_id, made)
                what = "unmapped from" if disk is not None else "removed before it was mapped to"
                raise Busy(f"volume {volume_id!r} was {what} {instance_id!r} by somebody else meanwhile")
            waited, others = time.monotonic() - since, other_mappings(disk, groups)
            if not others and disk.naa:
                return disk
            first = made is not None and all(made.group.index < mapped.group.index for mapped in others)
            if others and not (first and waited < GIVE_WAY_SECONDS):
                if made is not None:
                    self._unmap(volume_id, made.group)
                raise self._in_use(disk, others, instance_id)
            if waited > NAA_SECONDS:
                raise Unavailable(f"volume {volume_id!r} is mapped, and the array gives it no NAA: try again")
            time.sleep(PAUSE)

    def _in_use(self, disk: Disk, others: list[Mapped], instance_id: InstanceId) -> InUse:
        hosts = Hosts(self._initiators(), (), here=self._here)
        holders = ", ".join(member for mapped in others for member in hosts.members(mapped))
        return InUse(f"volume {disk.ref.guid!r} is attached to {holders}, not only to {instance_id!r}: detach it there")
