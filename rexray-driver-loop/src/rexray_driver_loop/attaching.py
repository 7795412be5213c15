"""Attaching volumes to instances, which is a note in the volume's file; connecting is the node driver's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, OutOfCapacity
from rexray.mixins import ReadOnlyAttach
from rexray.types import Attachment, Instance, InstanceId, VolumeId
from rexray_driver_loop.base import PoolCalls, describe_instance
from rexray_driver_loop.model import InstanceMeta, VolumeMeta
from rexray_driver_loop.store import lock_key


class AttachCalls(PoolCalls, ReadOnlyAttach):
    """``instances``, ``attach``, ``detach`` and ``attachments`` of the contract. A volume has one instance at most."""

    def instances(self) -> Iterator[Instance]:
        """The hosts whose node driver has been asked who it is."""
        for name, meta in self._pool.instances.entries():
            yield describe_instance(name, meta)

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Give the volume to the instance; ``InUse`` names the holder, ``force`` takes it from there.

        ``AlreadyExists`` if the instance has it, but writable where ``read_only`` is asked for, or the reverse.
        The old holder's device is released if it is one of this host; ``InUse`` if it is mounted. What another
        host has mounted cannot be seen from here. ``device`` is left aside: the kernel chooses.
        """
        pool = self._pool
        pool.volumes.load(volume_id)
        instance = pool.instances.load(instance_id)
        counted = (lock_key("instance", instance_id),) if instance.max_volumes else ()
        with pool.volumes.changing(volume_id, "attaching", also=counted):
            meta = pool.volumes.load(volume_id)
            if meta.attached_to == instance_id:
                _refuse_other_access(volume_id, meta, read_only)
            else:
                _refuse_zone(volume_id, meta, instance_id, instance)
                if meta.attached_to and not force:
                    raise InUse(f"volume {volume_id!r} is attached to {meta.attached_to!r}, not to {instance_id!r}")
                self._refuse_more(instance_id, instance)
                self._release(volume_id, meta)
                faults.point("loop-attach-released")
                meta = replace(meta, attached_to=instance_id, read_only=read_only)
                pool.volumes.save(volume_id, meta)
                faults.point("loop-attach-done")
            [attachment] = self._described(volume_id, meta).attachments
            return attachment

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Take the volume from the instance, or from whichever has it; not attached, or no such volume, is success.

        Its device of this host is released. ``InUse``, ``force`` or not, if that is mounted or held.
        """
        pool = self._pool
        with pool.volumes.changing(volume_id, "detaching"):
            meta = pool.volumes.look(volume_id)
            if meta is None or not meta.attached_to or instance_id not in (None, meta.attached_to):
                return
            self._release(volume_id, meta)
            faults.point("loop-detach-released")
            pool.volumes.save(volume_id, replace(meta, attached_to="", read_only=False))

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        found = self._described(volume_id, self._pool.volumes.load(volume_id)).attachments
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))

    def _refuse_more(self, instance_id: InstanceId, instance: InstanceMeta) -> None:
        limit = instance.max_volumes
        if limit and len(self._pool.attached_to(instance_id)) >= limit:
            raise OutOfCapacity(f"instance {instance_id!r} has {limit} volumes attached, as many as it may")


def _refuse_other_access(volume_id: str, meta: VolumeMeta, read_only: bool) -> None:
    if meta.read_only != read_only:
        is_so, asked = ("read-only" if access else "writable" for access in (meta.read_only, read_only))
        raise AlreadyExists(
            f"volume {volume_id!r} is attached to {meta.attached_to!r} {is_so}, and was asked for {asked}"
        )


def _refuse_zone(volume_id: str, volume: VolumeMeta, instance_id: str, instance: InstanceMeta) -> None:
    if volume.zone != instance.zone:
        raise InvalidRequest(
            f"volume {volume_id!r} is in zone {volume.zone!r}, instance {instance_id!r} in zone {instance.zone!r}"
        )
