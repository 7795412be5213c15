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
CREATES = ("CopySnapshot", "CreateSnapshot", "CreateVolume")
"""Calls that make something, and tag it as they make it."""
CHANGES = ("AttachVolume", "DetachVolume", "ModifyVolume")
"""Calls that change a volume, which stays."""
REMOVES = ("DeleteSnapshot", "DeleteVolume")
"""Calls that delete something."""
TAGS = "CreateTags"
KMS = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*")


def document(sources: Sources) -> Mapping[str, object]:
    """The policy for what is configured: no creating or removing where that is switched off, one tag's volumes only."""
    settings, volumes = sources.load(Ec2Settings), sources.load(VolumeSettings)
    statements = [_statement("Look", READS, ["*"]), *_changes(settings)]
    if not volumes.create_disable:
        statements += _creates(settings)
    if not volumes.remove_disable:
        statements.append(_statement("Remove", REMOVES, _arns("volume", "snapshot"), _tagged(settings)))
    elif not volumes.create_disable:  # the snapshot that a clone is made through goes again
        condition = {"StringLike": {f"aws:ResourceTag/{CLONE}": "*"}}
        statements.append(_statement("RemoveMeanwhile", ["DeleteSnapshot"], _arns("snapshot"), condition))
    return {"Version": "2012-10-17", "Statement": statements}


def _changes(settings: Ec2Settings) -> list[Mapping[str, object]]:
    """Instances bear tags of their own: a condition on the volume's must not cover them."""
    attach = [name for name in CHANGES if name != "ModifyVolume"]
    return [
        _statement("Change", CHANGES, _arns("volume"), _tagged(settings)),
        _statement("Attach", attach, _arns("instance")),
    ]


def _creates(settings: Ec2Settings) -> list[Mapping[str, object]]:
    while_made = {"StringEquals": {"ec2:CreateAction": list(CREATES)}}
    replaced = {"StringLike": {f"aws:ResourceTag/{REPLACES}": "*"}}
    statements = [
        _statement("Create", CREATES, _arns("volume", "snapshot")),
        _statement("TagWhileMade", [TAGS], _arns("volume", "snapshot"), while_made),
        _statement("NameReplacement", [TAGS], _arns("volume"), replaced),
    ]
    if settings.kms_key_id:
        statements.append({"Sid": "Encrypt", "Effect": "Allow", "Action": list(KMS), "Resource": [_key(settings)]})
    return statements


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


def _tagged(settings: Ec2Settings) -> Mapping[str, object] | None:
    return {"StringLike": {f"aws:ResourceTag/{NAME}": f"{settings.tag}/*"}} if settings.tag else None


def _key(settings: Ec2Settings) -> str:
    key = settings.kms_key_id
    return key if key.startswith("arn:") else f"arn:*:kms:*:*:key/{key}"
