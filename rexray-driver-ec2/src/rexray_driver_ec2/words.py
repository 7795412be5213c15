"""What EC2 says of volumes, snapshots and instances, in the words of the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rexray.errors import InvalidRequest
from rexray.types import Attachment, AttachmentState, Instance, InstanceId, Snapshot, SnapshotId, Volume, VolumeId

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        InstanceTypeDef,
        SnapshotTypeDef,
        TagSpecificationTypeDef,
        TagTypeDef,
        VolumeAttachmentTypeDef,
        VolumeTypeDef,
    )

PROVIDER = "ec2"
"""What the platform calls itself."""
NAME = "Name"
"""The tag that EC2's own console shows as the name."""
SOURCE = "rexray:source"
"""The tag that says of which volume or snapshot a copy was made, where EC2 does not."""
CLONE = "rexray:clone"
"""The tag of a snapshot that is there only until a volume is made of it; its value is that volume's Name."""
REPLACES = "rexray:replaces"
"""The tag of a volume that is to take another one's place: that one's id, and the snapshot that it is made of."""
LINEAGE = "rexray:lineage"
"""The tag with the ids of the volumes that one took the place of, the last ones if they are many."""
LONGEST_LINEAGE = 11
"""Ids that fit into a tag."""

GIB = 1 << 30
LONGEST_TAG = 256
"""Characters of a tag's value, EC2's limit."""
LONGEST_NAME = 255
_UNKEEPABLE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that EC2's answers, being XML 1.0 (sections 2.2 and 2.11), do not have, or have as others."""


def name_tag(name: str, tag: str) -> str:
    """The Name tag of a volume or snapshot; ``InvalidRequest`` if EC2 cannot keep it."""
    full = f"{tag}/{name}" if tag else name
    if not name or len(name) > LONGEST_NAME or len(full) > LONGEST_TAG:
        limit = min(LONGEST_NAME, LONGEST_TAG - len(full) + len(name))
        raise InvalidRequest(f"name {name[:40]!r} has {len(name)} characters: EC2 keeps 1 to {limit} of them")
    if bad := _UNKEEPABLE.search(name):
        raise InvalidRequest(f"name {name[:40]!r} has the character {bad.group()!r}, which EC2 cannot tell again")
    return full


def can_be_id(text: str) -> bool:
    """Whether EC2 can be asked about a thing of that id: it cannot even repeat other characters in its answer."""
    return text.isascii() and text.isprintable()


def name_pattern(text: str) -> str:
    """A filter's value that means just that text: ``*`` and ``?`` are wild there unless a backslash is before them."""
    return "".join("\\" + char if char in "\\*?" else char for char in text)


def tag_of(item: Mapping[str, Any], key: str) -> str:
    """The value of a tag, empty without it."""
    return next((str(tag["Value"]) for tag in item.get("Tags", []) if tag["Key"] == key), "")


def tags_for(kind: Any, tags: Mapping[str, str]) -> TagSpecificationTypeDef:
    """Tags that are there from the start of what is made; ``kind`` is ``volume`` or ``snapshot``."""
    listed: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"ResourceType": kind, "Tags": listed}


def is_visible(item: Mapping[str, Any], tag: str, *, own: str = NAME) -> bool:
    """Whether a service with that ``ec2.tag`` may see and touch it; ``own`` is a tag that says so beside the name."""
    return not tag or any(tag_of(item, key).startswith(f"{tag}/") for key in (NAME, own))


def own_name(item: Mapping[str, Any], tag: str) -> str:
    """The name without the service's tag."""
    name = tag_of(item, NAME)
    return name.removeprefix(f"{tag}/") if tag else name


ENDED = frozenset({"deleting", "deleted"})
"""States of a volume that is gone, or as good as gone."""
ROOT_DEVICES = frozenset({"/dev/sda", "/dev/sda1", "/dev/xvda", "sda", "sda1", "xvda"})
"""Device names by which EC2 attaches root volumes."""


def held(item: Mapping[str, Any]) -> list[VolumeAttachmentTypeDef]:
    """The attachments that a volume has, those that are coming and going too."""
    return [raw for raw in item.get("Attachments", []) if raw["State"] != "detached"]


def holders_of(item: Mapping[str, Any]) -> str:
    """Who has a volume, for a message."""
    return ", ".join(raw.get("InstanceId") or "another AWS service" for raw in held(item))


def is_root_of(item: Mapping[str, Any]) -> str:
    """The instance whose root volume that is, empty if it is none's."""
    return next((raw.get("InstanceId") or "?" for raw in held(item) if raw.get("Device") in ROOT_DEVICES), "")


def names_only(items: Sequence[VolumeTypeDef]) -> list[VolumeTypeDef]:
    """The volumes of a name, without one that is to take the place of another one of them and has not done so yet."""
    ids = {item["VolumeId"] for item in items}
    return [item for item in items if tag_of(item, REPLACES).partition(" ")[0] not in ids]


def describe_volume(item: VolumeTypeDef, *, tag: str, here: str) -> Volume:
    """A volume; ``here`` is this host's instance id, empty where there is none."""
    found = tuple(describe_attachment(item, raw) for raw in held(item))
    fields = {
        "throughput": str(item.get("Throughput") or ""),
        "kmsKeyId": item.get("KmsKeyId", ""),
        "snapshotId": item.get("SnapshotId", ""),
        "multiAttach": "true" if item.get("MultiAttachEnabled") else "",
        "source": tag_of(item, SOURCE),
    }
    return Volume(
        id=VolumeId(item["VolumeId"]),
        name=own_name(item, tag),
        size_bytes=item["Size"] * GIB,
        status=item["State"],
        state=_state(item, here),
        type=item.get("VolumeType", ""),
        iops=item.get("Iops", 0),
        zone=item.get("AvailabilityZone", ""),
        encrypted=item.get("Encrypted", False),
        network_name=found[0].token if found else "",
        created=item.get("CreateTime"),
        attachments=found,
        fields={key: value for key, value in fields.items() if value},
    )


def describe_attachment(item: VolumeTypeDef, raw: VolumeAttachmentTypeDef) -> Attachment:
    """One attachment of a volume. The token is the device name that EC2 was asked for."""
    return Attachment(
        volume_id=VolumeId(item["VolumeId"]),
        instance_id=InstanceId(raw.get("InstanceId", "")),
        token=raw.get("Device", ""),
        device=raw.get("Device", ""),
        status=raw["State"],
        fields={"sizeBytes": str(item["Size"] * GIB)},
    )


def _state(item: VolumeTypeDef, here: str) -> AttachmentState:
    holders = {raw.get("InstanceId", "") for raw in held(item)}
    if here and here in holders:
        return AttachmentState.ATTACHED
    if holders or item["State"] == "in-use":
        return AttachmentState.UNAVAILABLE
    return AttachmentState.AVAILABLE if item["State"] == "available" else AttachmentState.UNKNOWN


def describe_snapshot(item: SnapshotTypeDef, *, tag: str, region: str) -> Snapshot:
    """A snapshot; what EC2 says is the volume of a copied one is not, so that its tag is asked."""
    source = tag_of(item, SOURCE)
    return Snapshot(
        id=SnapshotId(item["SnapshotId"]),
        name=own_name(item, tag),
        volume_id=VolumeId(source.partition(" ")[0] or item.get("VolumeId", "")),
        size_bytes=item.get("VolumeSize", 0) * GIB,
        created=item.get("StartTime"),
        status=item["State"],
        description=item.get("Description", ""),
        ready=item["State"] == "completed",
        fields={
            "region": region,
            **({"progress": item["Progress"]} if item.get("Progress") else {}),
            **({"encrypted": "true"} if item.get("Encrypted") else {}),
        },
    )


def describe_instance(item: InstanceTypeDef, region: str) -> Instance:
    """An instance with its name, type and zone."""
    return Instance(
        id=InstanceId(item["InstanceId"]),
        provider=PROVIDER,
        name=tag_of(item, NAME),
        region=region,
        zone=item.get("Placement", {}).get("AvailabilityZone", ""),
        fields={"instanceType": item["InstanceType"], "state": item["State"]["Name"]},
    )
