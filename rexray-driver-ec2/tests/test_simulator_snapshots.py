"""The simulator enforces what EC2 enforces of snapshots, keys and callers, and its devices are this host's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_simulator import attach, get, make, refused, until

from ec2_parts import ACCESS_KEY, SECRET_KEY, ZONE, Cloud, client

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client


@pytest.fixture
def ec2(cloud: Cloud) -> EC2Client:
    cloud.delays(create=0, snapshot=0, copy=0, modify=0, optimize=0)
    return cloud.client()


def snap(ec2: EC2Client, volume: str) -> str:
    return ec2.create_snapshot(VolumeId=volume)["SnapshotId"]


def look(ec2: EC2Client, snapshot: str) -> Any:
    return ec2.describe_snapshots(SnapshotIds=[snapshot], OwnerIds=["self"])["Snapshots"][0]


def test_a_snapshot_is_pending_for_a_while_and_makes_no_volume_meanwhile(cloud: Cloud, ec2: EC2Client) -> None:
    cloud.delays(snapshot=0.1)
    snapshot = snap(ec2, make(ec2))
    assert look(ec2, snapshot)["State"] == "pending"
    params: Any = {"AvailabilityZone": ZONE, "SnapshotId": snapshot}
    assert refused(ec2.create_volume, **params) == "IncorrectState"
    until(lambda: look(ec2, snapshot)["State"], "completed")
    volume = ec2.create_volume(**params)
    assert (volume["Size"], volume["SnapshotId"]) == (1, snapshot)


def test_a_snapshot_has_the_size_that_its_volume_had(ec2: EC2Client) -> None:
    volume = make(ec2, 4)
    snapshot = snap(ec2, volume)
    ec2.modify_volume(VolumeId=volume, Size=8)
    until(lambda: get(ec2, volume)["Size"], 8)
    assert look(ec2, snapshot)["VolumeSize"] == 4
    params: Any = {"AvailabilityZone": ZONE, "SnapshotId": snapshot}
    assert refused(ec2.create_volume, **params, Size=3) == "InvalidParameterValue"
    assert ec2.create_volume(**params, Size=5)["Size"] == 5


def test_what_is_encrypted_stays_encrypted(ec2: EC2Client) -> None:
    snapshot = snap(ec2, make(ec2, Encrypted=True, KmsKeyId="k"))
    assert look(ec2, snapshot)["Encrypted"]
    volume = get(ec2, ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot)["VolumeId"])
    assert volume["Encrypted"]
    assert volume["KmsKeyId"].endswith(":key/k")


def test_snapshots_of_ones_own_are_not_those_of_everybody(ec2: EC2Client) -> None:
    snapshots = [snap(ec2, make(ec2)) for _ in range(6)]
    own = list(ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5}))
    assert [len(page["Snapshots"]) for page in own] == [5, 1]
    assert len(ec2.describe_snapshots()["Snapshots"]) > len(snapshots)
    public = ec2.describe_snapshots(OwnerIds=["amazon"])["Snapshots"][0]["SnapshotId"]
    assert refused(ec2.delete_snapshot, SnapshotId=public) == "InvalidSnapshot.InUse"
    ec2.delete_snapshot(SnapshotId=snapshots[0])
    assert refused(look, ec2=ec2, snapshot=snapshots[0]) == "InvalidSnapshot.NotFound"
    assert refused(ec2.delete_snapshot, SnapshotId=snapshots[0]) == "InvalidSnapshot.NotFound"


def test_a_region_has_its_own_volumes_and_copies_of_others_snapshots(cloud: Cloud, ec2: EC2Client) -> None:
    there = cloud.client("eu-west-1")
    snapshot = snap(ec2, make(ec2, 3))
    assert there.describe_volumes()["Volumes"] == []
    until(lambda: look(ec2, snapshot)["State"], "completed")
    cloud.delays(copy=0.1)
    params: Any = {"SourceRegion": "us-west-1", "SourceSnapshotId": snapshot}
    copied = there.copy_snapshot(**params, Encrypted=True, Description="d")["SnapshotId"]
    found = look(there, copied)
    assert (found["State"], found["VolumeSize"], found["Encrypted"]) == ("pending", 3, True)
    until(lambda: look(there, copied)["State"], "completed")
    assert refused(look, ec2=ec2, snapshot=copied) == "InvalidSnapshot.NotFound"
    params["SourceSnapshotId"] = "snap-00000000000000000"
    assert refused(there.copy_snapshot, **params) == "InvalidSnapshot.NotFound"


def test_a_key_has_to_be_known_valid_and_allowed(cloud: Cloud) -> None:
    allowed, wrong, expired = ({"secret": SECRET_KEY}, {"secret": "other"}, {"expired": True})
    cloud.control(keys={ACCESS_KEY: allowed, "AKIDWRONG": wrong, "AKIDOLD": expired, "AKIDNO": {"denied": ["Nothing"]}})
    assert cloud.client().describe_volumes()["Volumes"] == []
    for key, code in (("AKIDNONE", "AuthFailure"), ("AKIDWRONG", "AuthFailure"), ("AKIDOLD", "RequestExpired")):
        assert refused(client(cloud.url, key=key).describe_volumes) == code
    cloud.control(keys={ACCESS_KEY: {"denied": ["DeleteVolume"]}})
    assert refused(cloud.client().delete_volume, VolumeId="vol-00000000000000000") == "UnauthorizedOperation"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud whose nodes are in a directory of its own."""
    folder = tmp_path / "dev"
    folder.mkdir()
    with Cloud(tmp_path / "cloud", devices=True, nodes=folder) as cloud:
        cloud.delays(create=0, attach=0, detach=0, snapshot=0, modify=0, optimize=0)
        yield cloud
    assert list(folder.iterdir()) == []


def state_of(ec2: EC2Client, volume: str) -> str:
    attachments = get(ec2, volume)["Attachments"]
    return str(attachments[0]["State"]) if attachments else "available"


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.needs("mkfs.ext4")
def test_an_attached_volume_is_a_device_that_grows_is_busy_and_has_its_snapshots_data(
    shown: Cloud, tmp_path: Path
) -> None:
    ec2, instance, node = shown.client(), shown.run_instance(), tmp_path / "dev/xvdf"
    shown.control(shown=[instance])
    volume = make(ec2)
    attach(ec2, volume, instance, "/dev/sdf")
    until(lambda: state_of(ec2, volume), "attached")
    with node.open("r+b", buffering=0) as device:
        device.write(b"before".ljust(512))
    snapshot = snap(ec2, volume)
    until(lambda: look(ec2, snapshot)["State"], "completed")
    ec2.modify_volume(VolumeId=volume, Size=2)
    with node.open("r+b", buffering=0) as device:
        device.write(b"later".ljust(512))
        until(lambda: device.seek(0, 2), 2 << 30)
        ec2.detach_volume(VolumeId=volume)
        until(lambda: state_of(ec2, volume), "busy")
        assert node.exists()
    until(lambda: state_of(ec2, volume), "available")
    assert not node.exists()
    copy = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot)["VolumeId"]
    until(lambda: get(ec2, copy)["State"], "available")
    attach(ec2, copy, instance, "/dev/xvdf")
    until(lambda: state_of(ec2, copy), "attached")
    assert _first(node) == b"before"
    _mounted_is_busy(ec2, copy, node, tmp_path / "mnt")
    assert shown.trouble() == []


def _first(node: Path) -> bytes:
    with node.open("rb", buffering=0) as device:
        return device.read(6)


def _mounted_is_busy(ec2: EC2Client, volume: str, node: Path, folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", str(node)], check=True, timeout=60)
    subprocess.run(["mount", str(node), str(folder)], check=True, timeout=30)
    try:
        ec2.detach_volume(VolumeId=volume)
        until(lambda: state_of(ec2, volume), "busy")
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)
    until(lambda: state_of(ec2, volume), "available")
