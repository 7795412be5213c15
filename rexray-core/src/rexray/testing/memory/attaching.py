"""Attaching volumes to instances and taking them from there."""

from __future__ import annotations

from collections.abc import Iterator

from rexray.errors import AlreadyExists, InUse, NotFound
from rexray.mixins import ReadOnlyAttach
from rexray.testing.memory.base import StorageCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import VolumeRecord
from rexray.types import Attachment, Instance, InstanceId, VolumeId


class AttachCalls(StorageCalls, ReadOnlyAttach):
    """``instances``, ``attach``, ``detach`` and ``attachments`` of the contract."""

    def instances(self) -> Iterator[Instance]:
        """The hosts of the platform's settings."""
        yield from self._ask(
            "instances", lambda array: [self._instance(array, name) for name in sorted(array.state.hosts)]
        )

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Attach the volume; ``InUse`` names the holder, ``force`` takes it from there, and from all there are.

        ``AlreadyExists`` if the instance has it, but writable where ``read_only`` is asked for, or the reverse. A
        volume with ``multiattach`` is given to the instance as well. ``device`` is a proposal.
        """

        def work(array: Array) -> VolumeRecord:
            volume = array.volume(volume_id)
            array.host(instance_id)
            if instance_id in volume.links:
                self._refuse_other_access(volume, instance_id, read_only=read_only)
                return volume
            if volume.links and not volume.multiattach:
                self._take(array, volume, instance_id, force=force)
            return array.attach(volume_id, instance_id, device=device, read_only=read_only)

        return self._attachment(self._change("attach", work), instance_id)

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Take the volume from the instance, or from all; not attached, or no such volume, is success.

        The device is gone from the host at once, ``force`` or not: whoever has it mounted gets errors.
        """

        def work(array: Array) -> None:
            links = array.volume(volume_id).links
            array.detach(volume_id, list(links) if instance_id is None else [instance_id])

        try:
            self._change("detach", work)
        except NotFound:
            return

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        found = self._attachments(self._ask("attachments", lambda array: array.volume(volume_id)))
        return tuple(item for item in found if instance_id in (None, item.instance_id))

    def _attachment(self, volume: VolumeRecord, instance_id: str) -> Attachment:
        return next(item for item in self._attachments(volume) if item.instance_id == instance_id)

    def _refuse_other_access(self, volume: VolumeRecord, instance_id: str, *, read_only: bool) -> None:
        if volume.links[instance_id].read_only != read_only:
            is_so, asked = ("read-only", "writable") if not read_only else ("writable", "read-only")
            raise AlreadyExists(
                f"volume {volume.id!r} is attached to {instance_id!r} {is_so}, and was asked for {asked}: "
                "detach it first"
            )

    def _take(self, array: Array, volume: VolumeRecord, instance_id: str, *, force: bool) -> None:
        """Detach the volume from whoever has it; if the attaching then fails, nothing was changed."""
        if not force:
            holders = ", ".join(map(repr, sorted(volume.links)))
            raise InUse(f"volume {volume.id!r} is attached to {holders}, not to {instance_id!r}")
        array.detach(volume.id, list(volume.links))
