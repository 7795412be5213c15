"""What an attachment asks to be mapped. Its fields are the storage driver's, :mod:`rexray_driver_ceph.describing`."""

from __future__ import annotations

from rexray.errors import InvalidRequest
from rexray.types import Attachment
from rexray_driver_ceph import passphrases
from rexray_driver_ceph.mapping import Wanted
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.settings import RbdSettings

_LUKS2 = "luks2"


def wanted_of(attachment: Attachment, spec: Spec, settings: RbdSettings) -> Wanted:
    """The mapping to make; ``NotReady`` if it is encrypted and its passphrase is not on this host."""
    fields = attachment.fields
    encryption, size = fields.get("encryption", ""), fields.get("sizeBytes", "")
    if encryption not in ("", _LUKS2):
        raise InvalidRequest(f"volume {attachment.volume_id!r} is encrypted by {encryption!r}, not by {_LUKS2}")
    if size and not (size.isascii() and size.isdecimal()):
        raise InvalidRequest(f"the attachment of {attachment.volume_id!r} has sizeBytes {size!r}, no number of bytes")
    return Wanted(
        spec=spec,
        read_only=attachment.read_only,
        image_id=fields.get("imageId", ""),
        features=frozenset(fields.get("features", "").split()),
        size_bytes=int(size or 0),
        passphrase=passphrases.find(settings, fields.get("encryptionKey", "")) if encryption else None,
    )
