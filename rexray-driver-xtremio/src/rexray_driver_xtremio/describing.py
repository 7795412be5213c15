"""What the array says of volumes, snapshots and hosts, in the words of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rexray.types import Attachment, AttachmentState, Instance, InstanceId, Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_xtremio.names import GROUP, SNAPSHOT, own_name
from rexray_driver_xtremio.things import Disk, Initiator, Mapped, Portal

PROVIDER = "xtremio"
"""What the platform calls itself."""


class Hosts:
    """Who the members of initiator groups are, and by which portals they get at the array."""

    def __init__(
        self, initiators: Sequence[Initiator], portals: Sequence[Portal], *, here: str, asked: str = ""
    ) -> None:
        """``here`` is this host's instance id, ``asked`` the one that the caller spelled."""
        self._members: dict[str, list[InstanceId]] = {}
        for initiator in initiators:
            spelled = next((word for word in (asked, here) if word and initiator.is_at(word)), initiator.address)
            self._members.setdefault(initiator.group.guid, []).append(InstanceId(spelled))
        self._here = here
        self._fields = {
            "portals": ",".join(portal.address for portal in portals),
            "targets": ",".join(portal.target for portal in portals),
        }

    def members(self, mapped: Mapped) -> list[InstanceId]:
        """The hosts of a mapping; the group's name stands for hosts where the group has none."""
        return self._members.get(mapped.group.guid) or [InstanceId(mapped.group.name)]

    def is_empty(self, mapped: Mapped) -> bool:
        """Whether the group of a mapping has no hosts."""
        return mapped.group.guid not in self._members

    def holders(self, disk: Disk) -> list[InstanceId]:
        """All hosts that have the disk."""
        return [member for mapped in disk.mappings for member in self.members(mapped)]

    def attachments(self, disk: Disk) -> tuple[Attachment, ...]:
        """Where a volume is attached. The token is its NAA, by which the host's kernel names it."""
        return tuple(self._attachments(disk))

    def _attachments(self, disk: Disk) -> Iterator[Attachment]:
        for mapped in disk.mappings:
            fields = {"lun": str(mapped.lun), **self._fields, "sizeBytes": str(disk.size_bytes)}
            for member in self.members(mapped):
                yield Attachment(
                    volume_id=VolumeId(disk.ref.guid),
                    instance_id=member,
                    token=disk.naa,
                    fields={key: value for key, value in fields.items() if value},
                )

    def state(self, disk: Disk) -> AttachmentState:
        """How the disk stands towards this host."""
        holders = self.holders(disk)
        if self._here and self._here in holders:
            return AttachmentState.ATTACHED
        return AttachmentState.UNAVAILABLE if holders else AttachmentState.AVAILABLE


def describe(disk: Disk, hosts: Hosts, *, name: str = "") -> Volume:
    """A volume; ``name`` is the one that it was found by, where the array has another one."""
    fields = {"index": str(disk.ref.index), "naa": disk.naa, "ancestor": disk.ancestor.guid if disk.ancestor else ""}
    return Volume(
        id=VolumeId(disk.ref.guid),
        name=name or disk.ref.name,
        size_bytes=disk.size_bytes,
        state=hosts.state(disk),
        network_name=disk.naa if disk.mappings else "",
        created=disk.created,
        attachments=hosts.attachments(disk),
        fields={key: value for key, value in fields.items() if value},
    )


def describe_snapshot(disk: Disk, *, name: str = "") -> Snapshot:
    """A snapshot; of which volume is not known any more once the array has forgotten that with the volume."""
    return Snapshot(
        id=SnapshotId(disk.ref.guid),
        name=name or own_name(disk.ref.name, SNAPSHOT),
        volume_id=VolumeId(disk.ancestor.guid if disk.ancestor else ""),
        size_bytes=disk.size_bytes,
        created=disk.created,
        group=next((found.guid for found in disk.sets if found.name.endswith(GROUP)), ""),
    )


def describe_initiator(initiator: Initiator, cluster: str, max_volumes: int) -> Instance:
    """A host, by one of its initiators; ``max_volumes`` is how many it may have, 0 for any number."""
    return Instance(
        id=InstanceId(initiator.address),
        provider=PROVIDER,
        name=initiator.ref.name,
        region=cluster,
        max_volumes=max_volumes,
        fields={"initiatorGroup": initiator.group.name, "portType": initiator.kind},
    )
