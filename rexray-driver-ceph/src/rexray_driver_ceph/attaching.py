"""Attaching: a claim on the image, which tells every host whose it is. Mapping it is the node driver's."""

from __future__ import annotations

from collections.abc import Iterator

from rexray import faults
from rexray.errors import AlreadyExists, InUse, NotFound, OutOfCapacity
from rexray.mixins import ReadOnlyAttach
from rexray.types import Attachment, Instance, InstanceId, VolumeId
from rexray_driver_ceph import claims
from rexray_driver_ceph.base import RbdCalls, refuse_unfinished
from rexray_driver_ceph.describing import PROVIDER, attachments
from rexray_driver_ceph.fencing import refuse_open
from rexray_driver_ceph.images import HIDDEN, Claim, Image
from rexray_driver_ceph.reading import INSTANCES


class AttachCalls(RbdCalls, ReadOnlyAttach):
    """``instances``, ``attach``, ``detach`` and ``attachments`` of the contract. A volume has one instance at most."""

    def instances(self) -> Iterator[Instance]:
        """The hosts whose node driver has been asked who it is."""
        for name in sorted(self._reader.keys(INSTANCES)):
            limit = self._settings.max_volumes
            yield Instance(id=InstanceId(name), provider=PROVIDER, name=name, max_volumes=limit)

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

        Taking it shuts the holder's clients out of the cluster, and waits until they are: what they still had to write
        is lost to them, and cannot be written later. ``AlreadyExists`` if the instance has it, but writable where
        ``read_only`` is asked for, or the reverse. A client that has the image open without an attachment, as of
        somebody who mapped it by hand, is waited for, since it may have died, and then is ``InUse`` as well. ``device``
        is left aside: the kernel chooses.
        """
        spec = self._spec(volume_id)
        with self._changing(spec, "attaching"):
            with self._asking(spec.pool):
                image, known = self._reader.image_and_instances(spec)
            if image is None or spec.image.startswith(HIDDEN):
                raise NotFound(f"volume {volume_id!r} does not exist in the cluster")
            if instance_id not in known:
                raise NotFound(f"instance {instance_id!r} is not known: has REX-Ray run there, with this cluster?")
            if image.claim is None or image.claim.instance != instance_id:
                refuse_unfinished(image)
                self._refuse_more(instance_id)
                self._claim(image, instance_id, read_only=read_only, force=force)
            else:
                _refuse_other_access(image, image.claim, read_only=read_only)
            return self._attached(image, instance_id)

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Take the volume from the instance, or from whichever has it; not attached, or no such volume, is success.

        So is a volume of a pool or namespace that the cluster does not have, unless the settings name it.

        A client there that still has the image open is waited for, since it may have died, and then is ``InUse``;
        ``force`` shuts it out.
        """
        spec = self._spec(volume_id)
        with self._changing(spec, "detaching"):
            image = self._look(volume_id)
            if image is None or image.claim is None or instance_id not in (None, image.claim.instance):
                return
            if force:
                self._fence.shut_out(image)
            elif watchers := self._fence.wait_closed(image):
                clients = ", ".join(watchers)
                raise InUse(f"volume {volume_id!r} is still open on {image.claim.instance!r}, by {clients}")
            faults.point("rbd-detach-closed")
            claims.drop(self._cluster, image, image.claim)
            faults.point("rbd-detach-released")

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        found = attachments(self._image(volume_id))
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))

    def _claim(self, image: Image, instance_id: InstanceId, *, read_only: bool, force: bool) -> None:
        holder = image.claim
        if holder is not None and not force:
            raise InUse(f"volume {str(image.spec)!r} is attached to {holder.instance!r}, not to {instance_id!r}")
        if force:
            self._fence.shut_out(image)
        else:
            refuse_open(image, self._fence.wait_closed(image))
        faults.point("rbd-attach-closed")
        if holder is not None:
            claims.drop(self._cluster, image, holder)
            faults.point("rbd-attach-taken-away")
        if not claims.take(self._cluster, image, instance_id, read_only=read_only):
            now = self._reader.image(image.spec)
            claim = now.claim if now is not None else None
            if claim is None or claim.instance != instance_id:
                whose = repr(claim.instance) if claim is not None else "somebody"
                raise InUse(f"volume {str(image.spec)!r} was just attached to {whose}")
            _refuse_other_access(image, claim, read_only=read_only)
            return  # by another process with the same wish, which does what is left; this host may have it open by now
        faults.point("rbd-attach-claimed")
        if holder is not None:  # who may have opened it again until its claim was gone
            self._fence.shut_out(self._image(VolumeId(str(image.spec))))

    def _attached(self, image: Image, instance_id: InstanceId) -> Attachment:
        now = self._reader.image(image.spec)
        found = attachments(now) if now is not None and now.id == image.id else ()
        if now is None or not found or found[0].instance_id != instance_id:
            raise InUse(f"volume {str(image.spec)!r} was taken from {instance_id!r} at once")
        if now.claim is not None and now.facts.get("rollback"):  # which looked for a claim before there was one
            claims.drop(self._cluster, now, now.claim)
        refuse_unfinished(now)
        return found[0]

    def _refuse_more(self, instance_id: InstanceId) -> None:
        limit = self._settings.max_volumes
        if limit:
            claims_there = (image.claim for image in self._seen(self._reader.images) if image.claim is not None)
            if sum(claim.instance == instance_id for claim in claims_there) >= limit:
                raise OutOfCapacity(f"instance {instance_id!r} has {limit} volumes attached, as many as it may")


def _refuse_other_access(image: Image, claim: Claim, *, read_only: bool) -> None:
    """``AlreadyExists`` for an attachment that is writable where read-only is asked for, or the reverse."""
    if claim.read_only != read_only:
        is_so, asked = ("read-only" if access else "writable" for access in (claim.read_only, read_only))
        raise AlreadyExists(
            f"volume {str(image.spec)!r} is attached to {claim.instance!r} {is_so}, and was asked for {asked}"
        )
