"""Images and their snapshots in the words of the contract."""

from __future__ import annotations

from rexray.types import Attachment, AttachmentState, InstanceId, Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_ceph.images import Image, Snap
from rexray_driver_ceph.limits import key_of
from rexray_driver_ceph.names import Pool, foreign_name

PROVIDER = "rbd"
"""What the platform calls itself."""
_IOPS = key_of("iops")


def describe(image: Image, *, default: Pool, here: str) -> Volume:
    """A volume; ``here`` is this host's instance id, ``default`` the pool whose images need no other name."""
    found = attachments(image)
    iops = image.metadata.get(_IOPS, "")
    fields = {
        "image": image.id,
        "parent": str(image.parent or ""),
        "clients": " ".join(image.watchers),
        "features": " ".join(image.features),
    }
    return Volume(
        id=VolumeId(str(image.spec)),
        name=volume_name(image, default),
        size_bytes=size(image),
        status=f"rolling back to {image.facts['rollback']}" if image.facts.get("rollback") else "",
        state=_state(image, here),
        type=str(image.spec.pool),
        iops=int(iops) if iops.isdecimal() else 0,
        encrypted=bool(image.facts.get("encryption")),
        network_name=found[0].token if found else "",
        created=image.created,
        attachments=found,
        fields={key: value for key, value in fields.items() if value},
    )


def volume_name(image: Image, default: Pool) -> str:
    """The name that it was made with, or the one that a stranger's image has."""
    return image.facts.get("name") or foreign_name(image.spec, default)


def size(image: Image) -> int:
    """The bytes that its user has: an encrypted one's header takes some of the image's."""
    return image.size_bytes - int(image.facts.get("header", "0"))


def attachments(image: Image) -> tuple[Attachment, ...]:
    """Where the volume is attached; the fields are what a node has to know to map it."""
    if image.claim is None:
        return ()
    fields = {
        "imageId": image.id,
        "sizeBytes": str(size(image)),
        "features": " ".join(image.features),
        "encryption": image.facts.get("encryption", ""),
        "encryptionKey": image.facts.get("key", ""),
    }
    attachment = Attachment(
        volume_id=VolumeId(str(image.spec)),
        instance_id=InstanceId(image.claim.instance),
        token=str(image.spec),
        read_only=image.claim.read_only,
        fields={key: value for key, value in fields.items() if value},
    )
    return (attachment,)


def describe_snapshot(image: Image, snap: Snap) -> Snapshot:
    """A snapshot of an image."""
    return Snapshot(
        id=SnapshotId(str(snap.spec)),
        name=snap.facts.get("name") or snap.spec.snapshot,
        volume_id=VolumeId(str(image.spec)),
        size_bytes=snap.size_bytes - int(image.facts.get("header", "0")),
        created=snap.created,
        description=snap.facts.get("description", ""),
        group=snap.facts.get("group", ""),
    )


def _state(image: Image, here: str) -> AttachmentState:
    if image.claim is not None:
        return AttachmentState.ATTACHED if image.claim.instance == here else AttachmentState.UNAVAILABLE
    return AttachmentState.UNAVAILABLE if image.watchers else AttachmentState.AVAILABLE
