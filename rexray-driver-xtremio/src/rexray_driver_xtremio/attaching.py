"""Attaching volumes to hosts and detaching them.

Facts: a mapping is of a volume, an initiator group and a target group, by whose indexes it is named (``18_4_1``), and
can be deleted by that name; the array takes the next free LUN, and gives a volume its NAA when it is mapped for the
first time. A volume may be mapped to any number of groups (goxtremio; OpenStack Cinder's driver for XtremIO).

That a volume is one host's alone is therefore not the array's doing. Who has mapped it looks again, and gives way to
whoever has it as well: of two that have just mapped it, that with the higher group index at once, the other one if that
does not happen. What remains: between its mapping and its look, a host that will give way can see the volume, but its
attach has not returned; and one that is killed in between leaves its mapping until its attach or detach is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from rexray import faults
from rexray.errors import AlreadyExists, Busy, InUse, NotFound, NotReady, OutOfCapacity, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray.types import Attachment, Instance, InstanceId, Volume, VolumeId
from rexray_driver_xtremio.base import TRIES
from rexray_driver_xtremio.describing import Hosts, describe, describe_initiator
from rexray_driver_xtremio.refusals import MAPPED, said
from rexray_driver_xtremio.registering import HostCalls
from rexray_driver_xtremio.things import Disk, Mapped, Ref

GIVE_WAY_SECONDS = 3.0
"""How long one of two that have mapped a volume waits for the other one to give way."""
NAA_SECONDS = 10.0
"""How long a volume that is mapped may be without its NAA."""
PAUSE = 0.2


class AttachCalls(HostCalls):
    """``instances``, ``attach``, ``detach``, ``attached`` and ``attachments`` of the contract."""

    def instances(self) -> Iterator[Instance]:
        """The initiators that the array knows; a host may have several."""
        cluster = self._xms.about.cluster
        return (describe_initiator(initiator, cluster) for initiator in self._initiators())

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
        the volume there first.
        """
        with self._held(volume_id, why=f"attaching volume {volume_id}"):
            disk = self._volume(volume_id)
            initiators = self._initiators()
            group = self._group_of(instance_id, initiators)
            others = _others(disk, group)
            if others and not force:
                raise self._in_use(disk, others, instance_id)
            group = group or self._registered(instance_id)
            self._refuse_too_many(disk, group, instance_id)
            for mapped in others:
                self._unmap(volume_id, mapped.group)
            made = not _mine(disk, group) and self._map(volume_id, group)
            disk = self._settled(volume_id, group, instance_id, made=made)
            for attachment in self._attachments(disk, instance_id):
                return attachment
            raise Busy(f"initiator {instance_id!r} was taken out of its group by somebody else meanwhile")

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Unmap the volume from the host, or from all; not mapped, or no such volume, is success.

        ``NotReady`` if other hosts are in the host's initiator group: they would lose the volume too.
        """
        with self._held(volume_id, why=f"detaching volume {volume_id}"):
            disk = self._disk(volume_id)
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

    def _attachments(self, disk: Disk, instance_id: InstanceId | None) -> tuple[Attachment, ...]:
        if not disk.mappings:
            return ()
        hosts = Hosts(self._initiators(), self._portals(), here=self._here, asked=instance_id or "")
        found = hosts.attachments(disk)
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))

    def _refuse_too_many(self, disk: Disk, group: Ref, instance_id: InstanceId) -> None:
        most = self._settings.max_volumes
        if most and not _mine(disk, group):
            there = sum(1 for other in self._disks() if _mine(other, group))
            if there >= most:
                raise OutOfCapacity(f"host {instance_id!r} has {there} volumes, and xtremio.maxVolumes is {most}")

    def _map(self, volume_id: VolumeId, group: Ref) -> bool:
        """Map the volume to the group; whether it was this that did it, as far as that is certain."""
        failed: RexrayError | None = None
        for _ in range(TRIES):
            disk = self._volume(volume_id)
            if _mine(disk, group):
                return False
            faults.point("xtremio-attach-asking")
            try:
                self._xms.post("lun-maps", {"vol-id": disk.ref.word, "ig-id": group.word})
            except AlreadyExists as error:
                if MAPPED not in said(error):
                    raise
                failed = error
            except (NoAnswer, NotFound) as error:  # either of them may have been removed, or renamed
                failed = error
            else:
                faults.point("xtremio-attach-asked")
                return True
        raise failed or Busy(f"volume {volume_id!r} cannot be mapped to {group.name!r}")

    def _settled(self, volume_id: VolumeId, group: Ref, instance_id: InstanceId, *, made: bool) -> Disk:
        """The volume, mapped to that group only and with its NAA; else what ``made`` says is undone.

        One that was mapped before this is left as it is, as the host may use it: the other one gives way.
        """
        since = time.monotonic()
        while True:
            disk = self._volume(volume_id)
            waited, others = time.monotonic() - since, _others(disk, group)
            if not _mine(disk, group):
                raise Busy(f"volume {volume_id!r} was unmapped from {instance_id!r} by somebody else meanwhile")
            if not others and disk.naa:
                return disk
            first = all(group.index < mapped.group.index for mapped in others)
            if others and not (made and first and waited < GIVE_WAY_SECONDS):
                if made:
                    self._unmap(volume_id, group)
                raise self._in_use(disk, others, instance_id)
            if waited > NAA_SECONDS:
                raise Unavailable(f"volume {volume_id!r} is mapped, and the array gives it no NAA: try again")
            time.sleep(PAUSE)

    def _unmap(self, volume_id: VolumeId, group: Ref) -> None:
        """Unmap the volume from the group, and from no other one; not mapped is success."""
        failed: RexrayError | None = None
        for _ in range(TRIES):
            disk = self._disk(volume_id)
            mapped = next(_mapped(disk, group), None) if disk is not None else None
            if disk is None or mapped is None:
                return
            # by its name: the index may be another mapping's by then, of a volume that is in use
            name = f"{disk.ref.index}_{mapped.group.index}_{mapped.target_group.index}"
            faults.point("xtremio-detach-asking")
            try:
                self._xms.delete("lun-maps", name)
            except (NoAnswer, NotFound) as error:
                failed = error
            else:
                faults.point("xtremio-detach-asked")
                return
        raise failed or Busy(f"volume {volume_id!r} cannot be unmapped from {group.name!r}")

    def _in_use(self, disk: Disk, others: list[Mapped], instance_id: InstanceId) -> InUse:
        hosts = Hosts(self._initiators(), (), here=self._here)
        holders = ", ".join(member for mapped in others for member in hosts.members(mapped))
        return InUse(f"volume {disk.ref.guid!r} is attached to {holders}, not only to {instance_id!r}: detach it there")


def _mapped(disk: Disk, group: Ref) -> Iterator[Mapped]:
    return (mapped for mapped in disk.mappings if mapped.group.guid == group.guid)


def _mine(disk: Disk, group: Ref) -> bool:
    return any(_mapped(disk, group))


def _others(disk: Disk, group: Ref | None) -> list[Mapped]:
    return [mapped for mapped in disk.mappings if group is None or mapped.group.guid != group.guid]
