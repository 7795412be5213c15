"""What a spec asks of EC2, checked, and whether a volume that is there is that already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexray.errors import AlreadyExists, InvalidRequest, OutOfRange
from rexray.types import VolumeSpec
from rexray_driver_ec2.words import GIB, NAME, SOURCE, tag_of, tags_for

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import CreateVolumeRequestTypeDef, VolumeTypeDef

DEFAULT_TYPE = "gp3"
DEFAULT_SIZE = 16 * GIB
NEEDS_IOPS = frozenset({"io1", "io2"})
ADJUSTABLE = frozenset({"gp3", "io1", "io2"})
"""Types whose IOPS can be asked for."""

LARGEST_GIB = {"gp2": 16384, "gp3": 65536, "io1": 16384, "io2": 65536, "sc1": 16384, "st1": 16384, "standard": 1024}
"""The largest volume of each type, from the EC2 API reference of CreateVolume."""

CREATE_OPTIONS = {
    "throughput": "MiB a second, of gp3",
    "multiattach": "true: several instances can have it at once, of io1 and io2",
}
"""The create options that only EC2 has."""


class Wanted:
    """What a spec asks of EC2."""

    def __init__(self, spec: VolumeSpec, kms_key: str) -> None:
        self._spec = spec
        self._size = whole_gib(spec.size_bytes, spec.limit_bytes, f"volume {spec.name!r}") if spec.size_bytes else 0
        refuse_larger(self._size, spec.type or DEFAULT_TYPE, f"volume {spec.name!r}")
        self._throughput = number("throughput", spec.options.get("throughput", ""))
        self._multi_attach = flag("multiattach", spec.options.get("multiattach", ""))
        self._encrypted = spec.encrypted or bool(spec.encryption_key)
        self._kms_key = spec.encryption_key or (kms_key if spec.encrypted else "")
        if (spec.type or DEFAULT_TYPE) in NEEDS_IOPS and not spec.iops:
            raise InvalidRequest(f"volume {spec.name!r}: type {spec.type} needs a number of IOPS: give iops")

    def refuse_source(self, size: int, what: str) -> None:
        """``OutOfRange`` if a copy of a source of so many GiB cannot be as small as is asked for."""
        spec = self._spec
        if self._size and self._size < size:
            raise OutOfRange(
                f"volume {spec.name!r}: {self._size} GiB are less than the {size} GiB of {what}: give a size"
            )
        if spec.limit_bytes and size * GIB > spec.limit_bytes:
            raise OutOfRange(f"volume {spec.name!r}: the {size} GiB of {what} are more than the limit")

    def request(self, zone: str, tag: str, like: VolumeTypeDef | None) -> CreateVolumeRequestTypeDef:
        """The parameters of CreateVolume; a clone is ``like`` its source where nothing else is asked for."""
        spec = self._spec
        if like is not None and not spec.type:
            own: CreateVolumeRequestTypeDef = {"AvailabilityZone": zone, "VolumeType": like["VolumeType"]}
            if like["VolumeType"] in ADJUSTABLE:
                own["Iops"] = like["Iops"]
            if like.get("Throughput"):
                own["Throughput"] = like["Throughput"]
        else:
            own = {"AvailabilityZone": zone, "VolumeType": spec.type or DEFAULT_TYPE}  # type: ignore[typeddict-item]
        tags = {NAME: tag} | ({SOURCE: spec.source_volume} if spec.source_volume else {})
        request: CreateVolumeRequestTypeDef = {**own, "TagSpecifications": [tags_for("volume", tags)]}
        if self._size or not (spec.source_snapshot or spec.source_volume):
            request["Size"] = self._size or whole_gib(DEFAULT_SIZE, spec.limit_bytes, f"volume {spec.name!r}")
        if spec.iops:
            request["Iops"] = spec.iops
        if self._throughput:
            request["Throughput"] = self._throughput
        if self._multi_attach:
            request["MultiAttachEnabled"] = True
        if spec.source_snapshot:
            request["SnapshotId"] = spec.source_snapshot
        if self._encrypted:
            request["Encrypted"] = True
        if self._kms_key:
            request["KmsKeyId"] = self._kms_key
        return request

    def refuse_other(self, item: VolumeTypeDef) -> None:
        """``AlreadyExists`` says in what the volume of that name is not what was asked for."""
        spec = self._spec
        pairs: dict[str, tuple[object, object]] = {
            "size in GiB": (item["Size"], self._size),
            "type": (item.get("VolumeType"), spec.type),
            "iops": (item.get("Iops"), spec.iops),
            "throughput": (item.get("Throughput"), self._throughput),
            "zone": (item.get("AvailabilityZone"), spec.zone),
            "encrypted": (item.get("Encrypted", False), self._encrypted),
            "snapshot": (item.get("SnapshotId"), spec.source_snapshot),
            "source": (tag_of(item, SOURCE), spec.source_volume),
            "multi-attach": (item.get("MultiAttachEnabled", False), self._multi_attach),
        }
        key = spec.encryption_key
        if key and "alias/" not in key and not item.get("KmsKeyId", "").endswith(key.rpartition("/")[2]):
            raise AlreadyExists(f"volume {spec.name!r} ({item['VolumeId']}) exists with another encryption key")
        for what, (there, asked) in pairs.items():
            if asked and there != asked:
                raise AlreadyExists(
                    f"volume {spec.name!r} ({item['VolumeId']}) exists with {what} {there}, and was asked for with "
                    f"{asked}"
                )
        if spec.limit_bytes and item["Size"] * GIB > spec.limit_bytes:
            raise AlreadyExists(f"volume {spec.name!r} ({item['VolumeId']}) exists and is larger than was asked for")


def refuse_larger(size: int, kind: str, what: str) -> None:
    """``OutOfRange`` beyond what a type can be; what there are of types is EC2's to say."""
    largest = LARGEST_GIB.get(kind, size)
    if size > largest:
        raise OutOfRange(f"{what}: {size} GiB are more than the {largest} GiB that {kind} can have")


def whole_gib(size_bytes: int, limit_bytes: int, what: str) -> int:
    """The size in GiB that holds so many bytes; ``OutOfRange`` if that is beyond the limit, where one is set."""
    size = max(1, -(-size_bytes // GIB))
    if limit_bytes and size * GIB > limit_bytes:
        raise OutOfRange(
            f"{what}: EC2's sizes are whole GiB, and {size} GiB is more than the limit of {limit_bytes} bytes"
        )
    return size


def number(option: str, text: str) -> int:
    """A whole number from an option, 0 if it is empty."""
    if text and not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f"option {option}: {text!r} is not a whole number")
    return int(text or 0)


def flag(option: str, text: str) -> bool:
    """A truth value from an option."""
    if text.lower() not in ("", "0", "1", "false", "true", "no", "yes"):
        raise InvalidRequest(f"option {option}: {text!r} is not true or false")
    return text.lower() in ("1", "true", "yes")
