"""The simulator enforces what EC2 enforces of EBS: each test proves one of its rules by plain boto3."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ec2_parts import Cloud, code_of

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

A, B = "us-west-1a", "us-west-1b"


@pytest.fixture
def ec2(cloud: Cloud) -> EC2Client:
    cloud.delays(**dict.fromkeys(("create", "attach", "detach", "snapshot", "copy", "modify", "optimize"), 0.0))
    return cloud.client()


@pytest.fixture
def instance(cloud: Cloud, ec2: EC2Client) -> str:
    return cloud.run_instance(A)


def refused(call: Any, **params: Any) -> str:
    """The code of the error that a call answers."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    return code_of(caught.value)


def make(ec2: EC2Client, size: int = 1, zone: str = A, name: str = "", **more: Any) -> str:
    if name:
        more["TagSpecifications"] = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}]}]
    return ec2.create_volume(AvailabilityZone=zone, Size=size, **{"VolumeType": "gp3", **more})["VolumeId"]


def get(ec2: EC2Client, volume: str) -> Any:
    return ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]


def named(ec2: EC2Client, name: str, *values: str) -> list[str]:
    return [it["VolumeId"] for it in ec2.describe_volumes(Filters=[{"Name": name, "Values": list(values)}])["Volumes"]]


def until(check: Any, wanted: Any, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while (found := check()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.002)


def attach(ec2: EC2Client, volume: str, instance: str, device: str = "/dev/sdf") -> Any:
    return ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)


def test_a_token_that_is_used_again_is_answered_with_the_same_volume_even_after_it_is_deleted(ec2: EC2Client) -> None:
    params: Any = {"AvailabilityZone": A, "Size": 1, "VolumeType": "gp3", "ClientToken": "t"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ec2.create_volume(**params), range(8)))
    assert len({(answer["VolumeId"], answer["CreateTime"]) for answer in answers}) == 1
    assert refused(ec2.create_volume, **{**params, "Size": 2}) == "IdempotentParameterMismatch"
    ec2.delete_volume(VolumeId=answers[0]["VolumeId"])
    assert ec2.create_volume(**params)["VolumeId"] == answers[0]["VolumeId"]


def test_a_volume_is_creating_for_a_while_and_then_available_or_in_error(cloud: Cloud, ec2: EC2Client) -> None:
    cloud.delays(create=0.1)
    cloud.control(fail_creates=1)
    bad, good = make(ec2), make(ec2)
    assert get(ec2, good)["State"] == "creating"
    until(lambda: (get(ec2, bad)["State"], get(ec2, good)["State"]), ("error", "available"))


@pytest.mark.parametrize(
    ("code", "params"),
    [
        ("InvalidParameterValue", {"AvailabilityZone": "us-west-1z"}),
        ("InvalidParameterValue", {"Size": 0}),
        ("InvalidParameterValue", {"Size": 65537}),
        ("InvalidParameterValue", {"VolumeType": "gp2", "Size": 16385}),
        ("InvalidParameterValue", {"VolumeType": "st1", "Size": 124}),
        ("UnknownVolumeType", {"VolumeType": "gp9"}),
        ("InvalidParameterCombination", {"VolumeType": "gp2", "Iops": 300}),
        ("InvalidParameterCombination", {"VolumeType": "io2", "Size": 4, "Iops": 300, "Throughput": 200}),
        ("InvalidParameterCombination", {"MultiAttachEnabled": True}),
        ("MissingParameter", {"VolumeType": "io1", "Size": 4}),
        ("InvalidParameterValue", {"VolumeType": "io1", "Size": 4, "Iops": 201}),
        ("InvalidParameterValue", {"Iops": 2999}),
        ("InvalidParameterValue", {"Throughput": 2001}),
        ("InvalidParameterValue", {"Throughput": 1000}),
        ("InvalidParameterDependency", {"KmsKeyId": "k"}),
        ("InvalidSnapshot.NotFound", {"SnapshotId": "snap-00000000000000000"}),
        ("DryRunOperation", {"DryRun": True}),
    ],
)
def test_a_volume_that_ec2_does_not_make_is_refused(ec2: EC2Client, code: str, params: dict[str, Any]) -> None:
    wanted = {"AvailabilityZone": A, "Size": 1, "VolumeType": "gp3", **params}
    assert refused(ec2.create_volume, **wanted) == code
    assert ec2.describe_volumes()["Volumes"] == []


def test_what_a_volume_was_made_with_is_described(ec2: EC2Client) -> None:
    volume = get(ec2, make(ec2, 100, Iops=4000, Throughput=500, Encrypted=True, KmsKeyId="k"))
    assert (volume["Size"], volume["Iops"], volume["Throughput"]) == (100, 4000, 500)
    assert volume["KmsKeyId"].endswith(":key/k")
    shared = get(ec2, make(ec2, 10, VolumeType="io2", Iops=1000, MultiAttachEnabled=True))
    assert (shared["MultiAttachEnabled"], shared["Encrypted"], shared["Iops"]) == (True, False, 1000)


def test_the_quota_of_volumes_is_kept(cloud: Cloud, ec2: EC2Client) -> None:
    cloud.control(volume_quota=1)
    make(ec2)
    assert refused(make, ec2=ec2) == "VolumeLimitExceeded"


def test_volumes_are_listed_by_pages_of_five_to_a_thousand(ec2: EC2Client) -> None:
    made = [make(ec2) for _ in range(12)]
    pages = list(ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Volumes"]) for page in pages] == [5, 5, 2]
    assert [volume["VolumeId"] for page in pages for volume in page["Volumes"]] == made
    assert refused(ec2.describe_volumes, MaxResults=4) == "InvalidParameterValue"
    assert refused(ec2.describe_volumes, MaxResults=1001) == "InvalidParameterValue"
    assert refused(ec2.describe_volumes, NextToken="nonsense") == "InvalidParameterValue"
    for call in (ec2.describe_volumes, ec2.describe_volume_status):
        assert refused(call, VolumeIds=made[:1], MaxResults=5) == "InvalidParameterCombination"
    token = pages[0]["NextToken"]
    assert refused(ec2.describe_volumes, VolumeIds=made[:1], NextToken=token) == "InvalidParameterCombination"
    ec2.delete_volume(VolumeId=made[0])
    assert ec2.describe_volumes(NextToken=token, MaxResults=5)["Volumes"][0]["VolumeId"] == made[5]


def test_filters_match_whole_values_by_wildcards_that_backslashes_escape(ec2: EC2Client, instance: str) -> None:
    star, word, query = make(ec2, name="a*b"), make(ec2, name="a-b", zone=B), make(ec2, name="a?b")
    assert named(ec2, "tag:Name", "a*b") == [star, word, query]
    assert named(ec2, "tag:Name", r"a\*b") == [star]
    assert named(ec2, "tag:Name", r"a\?b") == [query]
    assert named(ec2, "tag:Name", "a") == named(ec2, "tag:Name", "A-b") == []
    assert named(ec2, "availability-zone", B) == [word]
    assert named(ec2, "volume-id", star, word) == [star, word]
    assert named(ec2, "tag-key", "Name") == [star, word, query]
    attach(ec2, star, instance)
    assert len(named(ec2, "attachment.instance-id", instance)) == 2
    assert named(ec2, "attachment.device", "/dev/sdf") == [star]
    assert named(ec2, "status", "available") == [word, query]
    assert refused(named, ec2=ec2, name="wrong") == "InvalidParameterValue"
    with pytest.raises(ClientError, match="filter 'wrong' is invalid"):
        named(ec2, "wrong", "x")


def test_tags_are_of_things_that_there_are(ec2: EC2Client) -> None:
    volume = make(ec2)
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "Name", "Value": "late"}])
    assert named(ec2, "tag:Name", "late") == [volume]
    ec2.delete_tags(Resources=[volume], Tags=[{"Key": "Name"}])
    assert named(ec2, "tag:Name", "late") == []
    wrong: Any = {"Resources": ["vol-00000000000000000"], "Tags": [{"Key": "a", "Value": "b"}]}
    assert refused(ec2.create_tags, **wrong) == "InvalidVolume.NotFound"


def test_attaching_and_detaching_take_their_time(cloud: Cloud, ec2: EC2Client, instance: str) -> None:
    volume = make(ec2)
    cloud.delays(attach=0.1, detach=0.1)
    assert attach(ec2, volume, instance)["State"] == "attaching"
    assert [it["State"] for it in get(ec2, volume)["Attachments"]] == ["attaching"]
    assert get(ec2, volume)["State"] == "in-use"
    until(lambda: get(ec2, volume)["Attachments"][0]["State"], "attached")
    described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    blocks = {block["DeviceName"]: block["Ebs"]["Status"] for block in described["BlockDeviceMappings"]}
    assert blocks == {"/dev/sda1": "attached", "/dev/sdf": "attached"}
    assert ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
    assert refused(ec2.detach_volume, VolumeId=volume) == "IncorrectState"
    assert get(ec2, volume)["State"] == "in-use"
    until(lambda: (get(ec2, volume)["State"], get(ec2, volume)["Attachments"]), ("available", []))


def test_an_attachment_to_a_stuck_name_ends_only_by_detaching(cloud: Cloud, ec2: EC2Client, instance: str) -> None:
    cloud.control(stuck=["sdf"])
    volume = make(ec2)
    attach(ec2, volume, instance, "/dev/xvdf")
    time.sleep(0.05)
    assert get(ec2, volume)["Attachments"][0]["State"] == "attaching"
    ec2.detach_volume(VolumeId=volume, InstanceId=instance)
    until(lambda: get(ec2, volume)["State"], "available")


@pytest.mark.parametrize("name", ["/tmp/foo", "/dev/sda1", "/dev/xvda", "/dev/sdz", "/dev/xvdea", "/dev/nvme1n1"])
def test_a_device_name_that_is_none_is_refused(ec2: EC2Client, instance: str, name: str) -> None:
    with pytest.raises(ClientError, match="is not a valid EBS device name") as caught:
        attach(ec2, make(ec2), instance, name)
    assert code_of(caught.value) == "InvalidParameterValue"


def test_a_device_name_is_taken_once_whether_it_is_sd_or_xvd(ec2: EC2Client, instance: str) -> None:
    attach(ec2, make(ec2), instance, "/dev/sdf")
    attach(ec2, make(ec2), instance, "/dev/xvdba")
    with pytest.raises(ClientError, match="is already in use"):
        attach(ec2, make(ec2), instance, "/dev/xvdf")


def test_attaching_needs_things_that_exist_in_one_zone_and_are_ready(
    cloud: Cloud, ec2: EC2Client, instance: str
) -> None:
    volume = make(ec2)
    params: Any = {"VolumeId": volume, "InstanceId": instance, "Device": "/dev/sdf"}
    for more, code in (
        ({"VolumeId": "vol-00000000000000000"}, "InvalidVolume.NotFound"),
        ({"VolumeId": "vol-x"}, "InvalidVolumeID.Malformed"),
        ({"InstanceId": "i-00000000000000000"}, "InvalidInstanceID.NotFound"),
        ({"VolumeId": make(ec2, zone=B)}, "InvalidVolume.ZoneMismatch"),
    ):
        assert refused(ec2.attach_volume, **{**params, **more}) == code
    cloud.control(instance_states={instance: "pending"})
    assert refused(ec2.attach_volume, **params) == "IncorrectState"
    cloud.control(instance_states={instance: "stopped"}, delays={"create": 9})
    assert refused(ec2.attach_volume, **{**params, "VolumeId": make(ec2)}) == "IncorrectState"
    ec2.attach_volume(**params)


def test_a_volume_has_one_instance_unless_it_is_multi_attached(cloud: Cloud, ec2: EC2Client, instance: str) -> None:
    volume, others = make(ec2), cloud.instances(16, A)
    attach(ec2, volume, instance)
    for other, device in ((instance, "/dev/sdg"), (others[0], "/dev/sdf")):
        assert refused(attach, ec2=ec2, volume=volume, instance=other, device=device) == "VolumeInUse"
    shared = make(ec2, 10, VolumeType="io2", Iops=500, MultiAttachEnabled=True)
    for other in others:
        attach(ec2, shared, other)
    assert refused(attach, ec2=ec2, volume=shared, instance=instance, device="/dev/sdg") == "VolumeInUse"
    assert refused(ec2.detach_volume, VolumeId=shared) == "MissingParameter"
    ec2.detach_volume(VolumeId=shared, InstanceId=others[0])
    until(lambda: len(get(ec2, shared)["Attachments"]), 15)


def test_an_instance_has_so_many_volumes(cloud: Cloud, ec2: EC2Client, instance: str) -> None:
    cloud.control(attach_limit=2)
    attach(ec2, make(ec2), instance)
    assert refused(attach, ec2=ec2, volume=make(ec2), instance=instance, device="/dev/sdg") == "AttachmentLimitExceeded"


def test_detaching_names_what_is_attached(cloud: Cloud, ec2: EC2Client, instance: str) -> None:
    volume, other = make(ec2), cloud.run_instance(A)
    assert refused(ec2.detach_volume, VolumeId=volume, InstanceId=instance) == "IncorrectState"
    attach(ec2, volume, instance)
    assert refused(ec2.detach_volume, VolumeId=volume, InstanceId=other) == "InvalidAttachment.NotFound"
    root = next(iter(named(ec2, "attachment.device", "/dev/sda1")))
    assert refused(ec2.detach_volume, VolumeId=root) == "OperationNotPermitted"


def test_a_volume_that_is_held_is_busy_until_it_is_let_go_or_forced(
    cloud: Cloud, ec2: EC2Client, instance: str
) -> None:
    first, second = make(ec2), make(ec2)
    cloud.control(busy=[first, second])
    for volume, device in ((first, "/dev/sdf"), (second, "/dev/sdg")):
        attach(ec2, volume, instance, device)
        until(lambda volume=volume: get(ec2, volume)["Attachments"][0]["State"], "attached")
        ec2.detach_volume(VolumeId=volume)
        until(lambda volume=volume: get(ec2, volume)["Attachments"][0]["State"], "busy")
    ec2.detach_volume(VolumeId=first, Force=True)
    until(lambda: (get(ec2, first)["State"], get(ec2, second)["State"]), ("available", "in-use"))
    cloud.control(busy=[])
    until(lambda: get(ec2, second)["State"], "available")


def test_a_volume_is_deleting_and_then_gone_and_never_while_it_is_attached(
    cloud: Cloud, ec2: EC2Client, instance: str
) -> None:
    volume, used = make(ec2), make(ec2)
    attach(ec2, used, instance)
    assert refused(ec2.delete_volume, VolumeId=used) == "VolumeInUse"
    cloud.delays(delete=0.1)
    ec2.delete_volume(VolumeId=volume)
    assert get(ec2, volume)["State"] == "deleting"
    until(lambda: named(ec2, "volume-id", volume), [])
    assert refused(ec2.describe_volumes, VolumeIds=[used, volume]) == "InvalidVolume.NotFound"
    assert refused(ec2.delete_volume, VolumeId=volume) == "InvalidVolume.NotFound"


def test_terminating_an_instance_ends_its_root_and_frees_the_others(ec2: EC2Client, instance: str) -> None:
    volume = make(ec2)
    attach(ec2, volume, instance)
    ec2.terminate_instances(InstanceIds=[instance])
    assert [it["VolumeId"] for it in ec2.describe_volumes()["Volumes"]] == [volume]
    assert get(ec2, volume)["State"] == "available"
    assert refused(attach, ec2=ec2, volume=volume, instance=instance) == "IncorrectState"


def test_a_modification_goes_by_its_states_and_shows_the_size_from_optimizing_on(cloud: Cloud, ec2: EC2Client) -> None:
    volume = make(ec2)
    cloud.delays(modify=0.1, optimize=0.1)
    assert ec2.modify_volume(VolumeId=volume, Size=2)["VolumeModification"]["ModificationState"] == "modifying"
    assert get(ec2, volume)["Size"] == 1
    assert refused(ec2.modify_volume, VolumeId=volume, Size=3) == "IncorrectModificationState"
    seen: list[tuple[str, int]] = []
    while not seen or seen[-1][0] != "completed":
        entry = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"][0]
        seen.append((entry["ModificationState"], get(ec2, volume)["Size"]))
    assert list(dict.fromkeys(state for state, _ in seen)) == ["modifying", "optimizing", "completed"]
    assert {size for state, size in seen if state == "optimizing"} == {2}


def test_a_volume_never_shrinks_and_is_modified_four_times_a_day(cloud: Cloud, ec2: EC2Client) -> None:
    volume = make(ec2, 5)
    nothing = refused(ec2.describe_volumes_modifications, VolumeIds=[volume])
    assert nothing == "InvalidVolumeModification.NotFound"
    assert refused(ec2.modify_volume, VolumeId=volume, Size=4) == "InvalidParameterValue"
    assert refused(ec2.modify_volume, VolumeId=volume, Iops=1) == "InvalidParameterValue"
    for size in (6, 7, 8, 9):
        ec2.modify_volume(VolumeId=volume, Size=size)
        until(lambda size=size: get(ec2, volume)["Size"], size)
        until(lambda: ec2.describe_volumes_modifications()["VolumesModifications"][0]["ModificationState"], "completed")
    assert refused(ec2.modify_volume, VolumeId=volume, Size=10) == "VolumeModificationRateExceeded"
    (latest,) = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
    assert (latest["OriginalSize"], latest["TargetSize"], latest["Progress"]) == (8, 9, 100)
    cloud.control(modification_window=0)
    ec2.modify_volume(VolumeId=volume, Size=10, VolumeType="io2", Iops=200)
    until(lambda: (get(ec2, volume)["VolumeType"], get(ec2, volume)["Iops"]), ("io2", 200))


def test_the_status_of_volumes_is_told(cloud: Cloud, ec2: EC2Client) -> None:
    good, bad = make(ec2), make(ec2)
    cloud.control(impaired=[bad])
    statuses = ec2.describe_volume_status()["VolumeStatuses"]
    assert [(it["VolumeId"], it["VolumeStatus"]["Status"]) for it in statuses] == [(good, "ok"), (bad, "impaired")]


def test_a_thousand_volumes_are_made_by_64_threads_in_seconds(ec2: EC2Client) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        made = list(pool.map(lambda number: make(ec2, name=f"v{number}"), range(1000)))
    assert time.monotonic() - began < 20
    assert named(ec2, "tag:Name", "v77") == [made[77]]
