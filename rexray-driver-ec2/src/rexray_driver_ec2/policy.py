"""The least IAM policy of this driver's credentials, from the calls that its operations make.

Facts: the service authorization reference of Amazon EC2 (which actions take resources and which only ``*``), and
EBS's requirements for KMS keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rexray.settings import Sources
from rexray.volumes.settings import VolumeSettings
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.words import CLONE, NAME, REPLACES

READS = (
    "DescribeAvailabilityZones",
    "DescribeInstances",
    "DescribeSnapshots",
    "DescribeVolumes",
    "DescribeVolumesModifications",
)
"""Calls that change nothing; EC2 knows no resources for them."""
CHANGES = ("AttachVolume", "DetachVolume", "ModifyVolume")
"""Calls that change a volume, which stays."""
_KINDS = ("volume", "snapshot")
KMS = ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*")


def document(sources: Sources) -> Mapping[str, object]:
    """The policy for what is configured: no making or removing of volumes where that is switched off, one tag's only.

    Rolling back makes a volume and removes one: it needs both.
    """
    settings, volumes = sources.load(Ec2Settings), sources.load(VolumeSettings)
    tagged = _tagged(settings, NAME)
    statements = [
        _statement("Look", READS, ["*"]),
        _statement("Change", CHANGES, _arns("volume"), tagged),
        _statement("Attach", ["AttachVolume", "DetachVolume"], _arns("instance")),  # which have tags of their own
        _statement("SnapshotOf", ["CreateSnapshot"], _arns("volume"), tagged),
        _statement("Snapshot", ["CopySnapshot", "CreateSnapshot"], _arns("snapshot")),
    ]
    makes = ["CopySnapshot", "CreateSnapshot"]
    replacement = {"StringLike": {f"aws:ResourceTag/{REPLACES}": "*"}}
    if not volumes.create_disable:
        makes.append("CreateVolume")
        statements.append(_statement("Create", ["CreateVolume"], _arns("volume", "snapshot")))
        statements.append(_statement("NameReplacement", ["CreateTags"], _arns("volume"), replacement))
    statements.append(
        _statement("TagWhileMade", ["CreateTags"], _arns(*_KINDS), {"StringEquals": {"ec2:CreateAction": makes}})
    )
    if not volumes.remove_disable:
        statements.append(_statement("Remove", ["DeleteVolume"], _arns("volume"), tagged))
    statements.append(_statement("RemoveSnapshot", ["DeleteSnapshot"], _arns("snapshot"), tagged))
    if settings.tag and not volumes.create_disable:  # what a clone is made through has no name
        statements.append(
            _statement("RemoveMeanwhile", ["DeleteSnapshot"], _arns("snapshot"), _tagged(settings, CLONE))
        )
    if settings.tag and not (volumes.create_disable or volumes.remove_disable):  # nor has what could replace nothing
        statements.append(_statement("RemoveReplacement", ["DeleteVolume"], _arns("volume"), replacement))
    return {"Version": "2012-10-17", "Statement": statements + _encryption(settings)}


def _encryption(settings: Ec2Settings) -> list[Mapping[str, object]]:
    """What making, attaching and copying encrypted volumes needs of a key that is the account's own."""
    key = settings.kms_key_id
    if not key:
        return []
    alias = key.rpartition(":")[2] if ":alias/" in key else key
    by_name = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}} if alias.startswith("alias/") else {}
    resource = "*" if by_name else key if key.startswith("arn:") else f"arn:*:kms:*:*:key/{key}"
    for_ec2 = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [
        {"Sid": "RexRayEncrypt", "Effect": "Allow", "Action": list(KMS), "Resource": [resource]}
        | ({"Condition": by_name} if by_name else {}),
        {
            "Sid": "RexRayGrant",
            "Effect": "Allow",
            "Action": ["kms:CreateGrant"],
            "Resource": [resource],
            "Condition": for_ec2 | by_name,
        },
    ]


def _statement(
    sid: str, calls: Sequence[str], resources: Sequence[str], condition: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    found: dict[str, object] = {
        "Sid": f"RexRay{sid}",
        "Effect": "Allow",
        "Action": [f"ec2:{call}" for call in calls],
        "Resource": list(resources),
    }
    return found | ({"Condition": condition} if condition else {})


def _arns(*kinds: str) -> list[str]:
    return [f"arn:*:ec2:*:*:{kind}/*" for kind in kinds]


def _tagged(settings: Ec2Settings, key: str) -> Mapping[str, object] | None:
    """The condition that something is this service's; what is special in a pattern is written as IAM wants it."""
    escaped = "".join(f"${{{char}}}" if char in "*?$" else char for char in settings.tag)
    return {"StringLike": {f"aws:ResourceTag/{key}": f"{escaped}/*"}} if settings.tag else None
