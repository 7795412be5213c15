"""What clouds do to callers, put between the driver ``ec2`` and a simulated EC2 by a proxy: operations end right."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from ec2_driver import GIB, NO_VOLUME, names_in, spec, storage, together
from ec2_parts import ZONE, Cloud, Proxy
from rexray.errors import InUse, NotFound, OutOfCapacity, TimedOut
from rexray.types import InstanceId, SnapshotId, Volume, VolumeId
from rexray_driver_ec2.storage import Ec2Storage


@pytest.fixture
def driver(proxy: Proxy) -> Ec2Storage:
    return storage(proxy.url)


@pytest.fixture
def volume(driver: Ec2Storage) -> Volume:
    return driver.create(spec("data"))


@pytest.fixture
def web(cloud: Cloud) -> InstanceId:
    return InstanceId(cloud.run_instance())


def devices(cloud: Cloud, volume_id: VolumeId) -> list[str]:
    """The device names by which a volume is attached, as the cloud itself knows it."""
    held = cloud.state()["volumes"][volume_id]["attachments"]
    return [device for device, _ in held.values()]


# Answers that are lost, or are errors although the call took effect.


@pytest.mark.parametrize("fault", ["fail_after", "drop_after"])
def test_every_call_that_took_effect_and_failed_is_not_made_twice(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, web: InstanceId, fault: str
) -> None:
    make_fail = getattr(proxy, fault)
    for action in ("CreateVolume", "AttachVolume", "ModifyVolume", "CreateSnapshot", "CopySnapshot", "DetachVolume"):
        make_fail(action, times=1)
    make_fail("DeleteSnapshot", times=1)
    make_fail("DeleteVolume", times=1)
    made = driver.create(spec("data"))
    assert driver.attach(made.id, web).status == "attached"
    assert driver.expand(made.id, 2 * GIB).size_bytes == 2 * GIB
    taken = driver.create_snapshot(made.id, "snap")
    copy = driver.copy_snapshot(taken.id, "snap", "us-east-1")
    driver.detach(made.id, web)
    assert names_in(cloud) == ["data"]
    assert list(cloud.state()["snapshots"]) == [taken.id]
    assert list(cloud.state("us-east-1")["snapshots"]) == [copy.id]
    driver.remove_snapshot(taken.id)
    driver.remove(made.id)
    assert names_in(cloud) == []
    assert cloud.state()["snapshots"] == {}


def test_a_clone_and_a_rollback_whose_answers_are_lost_leave_one_volume_of_each_name(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, volume: Volume
) -> None:
    for action in ("CreateVolume", "CreateSnapshot"):
        proxy.drop_after(action, times=1)
    driver.create(spec("clone", 0, source_volume=volume.id))
    assert cloud.state()["snapshots"] == {}
    taken = driver.create_snapshot(volume.id, "snap")
    for action in ("CreateVolume", "CreateTags", "DeleteVolume"):
        proxy.drop_after(action, times=1)
    back = driver.rollback(volume.id, taken.id)
    assert names_in(cloud) == ["clone", "data"]
    assert [found.id for found in driver.volumes_named("data")] == [back.id]


def test_a_mixed_load_ends_right_while_calls_are_throttled_and_answers_lost(cloud: Cloud, proxy: Proxy) -> None:
    driver, count = storage(proxy.url), 20
    instances = [InstanceId(word) for word in cloud.instances(4)]
    throttled = proxy.throttle(0.2)
    failed, dropped = proxy.fail_after("*", 0.05), proxy.drop_after("*", 0.02)
    snapshots: dict[str, tuple[SnapshotId, SnapshotId | None]] = {}

    def live(number: int) -> None:
        name, here = f"v{number}", instances[number % 4]
        made = driver.create(spec(name))
        assert driver.attach(made.id, here).instance_id == here
        taken = driver.create_snapshot(made.id, f"s{number}")
        copy = driver.copy_snapshot(taken.id, f"s{number}", "us-east-1").id if number % 4 == 0 else None
        snapshots[f"s{number}"] = taken.id, copy
        assert driver.expand(made.id, 2 * GIB).size_bytes == 2 * GIB
        driver.detach(made.id, here)
        assert driver.create(spec(name, 2)).id == made.id
        if number % 2:
            driver.remove(made.id)

    together(20, live, range(count))
    assert min(throttled.met, failed.met, dropped.met) > 0
    assert names_in(cloud) == sorted(f"v{number}" for number in range(0, count, 2))
    assert not any(item["attachments"] for item in cloud.state()["volumes"].values() if item["tags"])
    assert sorted(cloud.state()["snapshots"]) == sorted(taken for taken, _ in snapshots.values())
    assert sorted(cloud.state("us-east-1")["snapshots"]) == sorted(copy for _, copy in snapshots.values() if copy)


# What EC2 does not know everywhere yet.


@pytest.mark.parametrize("everywhere", [False, True])
def test_what_is_new_is_waited_for_until_it_is_known(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, web: InstanceId, everywhere: bool
) -> None:
    proxy.hide_new(0.5, everywhere=everywhere)
    made = driver.create(spec("data"))
    assert driver.create(spec("data")).id == made.id
    driver.attach(made.id, web)
    driver.create(spec("copy", 0, source_volume=made.id))
    assert names_in(cloud) == ["copy", "data"]
    assert cloud.state()["snapshots"] == {}


def test_a_snapshot_whose_answer_is_lost_is_found_before_another_is_taken(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, volume: Volume
) -> None:
    proxy.hide_new(1.5)
    proxy.drop_after("CreateSnapshot", times=1)
    taken = driver.create_snapshot(volume.id, "snap")
    assert list(cloud.state()["snapshots"]) == [taken.id]
    assert proxy.counts["CreateSnapshot"] == 1


def test_other_processes_that_do_not_see_the_volume_yet_get_it_all_the_same(cloud: Cloud, proxy: Proxy) -> None:
    drivers = [storage(proxy.url) for _ in range(4)]
    for driver in drivers:
        assert list(driver.volumes_named("data")) == []  # each has its client by now
    proxy.hide_new(0.8)
    made = threading.Event()
    proxy.after(lambda action, params: made.set() if action == "CreateVolume" else None)

    def create(number: int) -> VolumeId:
        assert number == 0 or made.wait(10)
        return drivers[number].create(spec("data")).id

    assert len(set(together(4, create, range(4)))) == 1
    assert names_in(cloud) == ["data"]
    assert proxy.counts["CreateVolume"] == 4


# Attaching.


def test_a_volume_that_is_stuck_attaching_is_attached_by_another_name(
    cloud: Cloud, proxy: Proxy, volume: Volume, web: InstanceId
) -> None:
    cloud.control(stuck=["/dev/xvdf"])
    driver = storage(proxy.url, EC2_STUCKATTACHTIMEOUT="300ms")
    assert driver.attach(volume.id, web).token == "/dev/xvdg"
    assert devices(cloud, volume.id) == ["/dev/xvdg"]
    assert proxy.counts["DetachVolume"] == 1
    other = driver.create(spec("other"))
    proxy.forget()
    assert driver.attach(other.id, web).token == "/dev/xvdh"  # the bad name is not tried again
    assert proxy.counts["AttachVolume"] == 1


def test_a_name_that_ec2_refuses_is_not_tried_again(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, volume: Volume, web: InstanceId
) -> None:
    said = "Invalid value '/dev/xvdf' for unixDevice. Attachment point /dev/xvdf is already in use"
    rule = proxy.refuse("AttachVolume", "InvalidParameterValue", said)
    assert driver.attach(volume.id, web).token == "/dev/xvdg"
    driver.detach(volume.id, web)
    assert driver.attach(volume.id, web).token == "/dev/xvdg"
    assert rule.met == 1


def test_a_volume_that_is_on_its_way_from_another_instance_is_taken_by_force_only(
    cloud: Cloud, driver: Ec2Storage, volume: Volume, web: InstanceId
) -> None:
    cloud.delays(detach=0.6)
    other, plain = cloud.run_instance(), cloud.client()
    driver.attach(volume.id, InstanceId(other))
    plain.detach_volume(VolumeId=volume.id, InstanceId=other)
    with pytest.raises(InUse, match=other):
        driver.attach(volume.id, web)
    assert driver.attach(volume.id, web, force=True).instance_id == web


def test_a_refusal_that_is_over_when_the_volume_is_looked_at_is_tried_again(
    proxy: Proxy, driver: Ec2Storage, volume: Volume, web: InstanceId
) -> None:
    rule = proxy.refuse("AttachVolume", "VolumeInUse")
    assert driver.attach(volume.id, web).status == "attached"
    assert rule.met == 1


def test_a_volume_that_is_still_being_made_is_attached_once_it_is(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, web: InstanceId
) -> None:
    cloud.delays(create=2)
    made = cloud.client().create_volume(AvailabilityZone=ZONE, Size=1, VolumeType="gp3")["VolumeId"]
    assert driver.attach(VolumeId(made), web).status == "attached"
    assert proxy.counts["AttachVolume"] == 2


@pytest.mark.parametrize("code", ["IncorrectState", "InvalidAttachment.NotFound", "InvalidVolume.NotFound"])
def test_a_refused_detach_of_what_is_not_attached_is_success(
    proxy: Proxy, driver: Ec2Storage, volume: Volume, web: InstanceId, code: str
) -> None:
    rule = proxy.refuse("DetachVolume", code)
    driver.detach(volume.id, web)
    assert rule.met == 1


def test_a_volume_that_is_detached_meanwhile_is_detached(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, volume: Volume, web: InstanceId
) -> None:
    driver.attach(volume.id, web)

    def detach_first(action: str, params: Mapping[str, str]) -> None:
        if action == "DetachVolume":
            cloud.client().detach_volume(VolumeId=volume.id, InstanceId=web)
            time.sleep(0.1)
            cloud.state()

    proxy.before(detach_first)
    driver.detach(volume.id, web)
    assert devices(cloud, volume.id) == []


def test_an_attach_that_takes_long_is_waited_for(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, volume: Volume, web: InstanceId
) -> None:
    cloud.delays(attach=1.2, detach=1.2)
    assert driver.attach(volume.id, web).status == "attached"
    driver.detach(volume.id, web)
    assert (proxy.counts["AttachVolume"], proxy.counts["DetachVolume"]) == (1, 1)


# Waiting, quotas, latency.


def test_a_volume_that_is_made_too_slowly_times_out_and_is_had_by_asking_again(cloud: Cloud, proxy: Proxy) -> None:
    cloud.delays(create=0.8)
    with pytest.raises(TimedOut, match=r"still being made .*ec2\.statusTimeout"):
        storage(proxy.url, EC2_STATUSTIMEOUT="200ms").create(spec("data"))
    made = storage(proxy.url).create(spec("data"))
    assert made.status == "available"
    assert names_in(cloud) == ["data"]


def test_at_the_edge_of_the_quota_the_last_volume_is_had_though_its_answer_was_lost(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage
) -> None:
    cloud.control(volume_quota=1)
    proxy.drop_after("CreateVolume", times=1)
    made = driver.create(spec("data"))
    assert names_in(cloud) == ["data"]
    with pytest.raises(OutOfCapacity):
        driver.create(spec("more"))
    driver.remove(made.id)


def test_slow_calls_make_nothing_go_wrong(cloud: Cloud, proxy: Proxy, driver: Ec2Storage, web: InstanceId) -> None:
    proxy.latency(0.15)
    made = together(8, lambda number: driver.create(spec(f"v{number % 4}")).id, range(8))
    assert len(set(made)) == 4
    together(4, lambda volume_id: driver.attach(volume_id, web), sorted(set(made)))
    together(4, driver.detach, sorted(set(made)))
    assert names_in(cloud) == ["v0", "v1", "v2", "v3"]


# How few calls there are.


def test_an_unknown_id_does_not_spoil_the_answers_to_others(cloud: Cloud, proxy: Proxy) -> None:
    driver = storage(proxy.url)
    known = together(8, lambda number: driver.create(spec(f"v{number}")).id, range(8))
    unknown = [VolumeId(f"vol-{number:017x}") for number in range(8)]
    proxy.forget()

    def ask(volume_id: VolumeId) -> bool:
        try:
            return driver.volume(volume_id).id == volume_id
        except NotFound:
            return False

    assert together(16, ask, known + unknown) == [True] * 8 + [False] * 8
    assert proxy.counts["DescribeVolumes"] <= 6


def test_questions_of_sixty_four_threads_are_one_call(cloud: Cloud, proxy: Proxy) -> None:
    plain = cloud.client()
    ids = [
        VolumeId(plain.create_volume(AvailabilityZone=ZONE, Size=1, VolumeType="gp3")["VolumeId"]) for _ in range(64)
    ]
    driver = storage(proxy.url)
    gate = threading.Event()

    def hold(action: str, params: Mapping[str, str]) -> None:
        gate.wait(10)

    proxy.before(hold)
    first = threading.Thread(target=driver.volume, args=(ids[0],))
    first.start()
    while not proxy.calls:
        time.sleep(0.005)
    gate.set()
    first.join()
    proxy.forget()
    assert together(64, lambda volume_id: driver.volume(volume_id).id, ids) == ids
    assert proxy.counts["DescribeVolumes"] <= 2
    assert sum(name.startswith("VolumeId.") for _, form in proxy.calls for name in form) == 64


def test_no_call_describes_all_volumes_when_one_is_meant(
    cloud: Cloud, proxy: Proxy, driver: Ec2Storage, web: InstanceId
) -> None:
    made = driver.create(spec("data"))
    driver.attach(made.id, web)
    driver.expand(made.id, 2 * GIB)
    driver.modify(made.id, {"type": "gp2"})
    driver.attachments(made.id)
    list(driver.attached(web))
    driver.detach(made.id)
    taken = driver.create_snapshot(made.id, "snap")
    driver.create(spec("clone", 0, source_volume=made.id))
    driver.rollback(made.id, taken.id)
    with pytest.raises(NotFound):
        driver.volume(NO_VOLUME)
    asked = [form for action, form in proxy.calls if action in ("DescribeVolumes", "DescribeInstances")]
    assert asked
    assert all({"VolumeId.1", "InstanceId.1", "Filter.1.Name"} & set(form) for form in asked)


def test_a_load_of_sixty_four_threads_needs_few_calls(cloud: Cloud, proxy: Proxy) -> None:
    count = 64
    driver = storage(proxy.url)
    instances = [InstanceId(word) for word in cloud.instances(8)]
    made: dict[int, VolumeId] = {}

    def live(number: int) -> None:
        volume_id = made[number] = driver.create(spec(f"v{number}")).id
        driver.attach(volume_id, instances[number % 8])
        driver.expand(volume_id, 2 * GIB)
        driver.create_snapshot(volume_id, f"s{number}")
        driver.detach(volume_id, instances[number % 8])
        driver.remove(volume_id)

    together(64, live, range(count))
    calls = Counter(proxy.counts)
    looks = sum(number for action, number in calls.items() if action.startswith("Describe"))
    for action in ("CreateVolume", "AttachVolume", "ModifyVolume", "CreateSnapshot", "DetachVolume", "DeleteVolume"):
        assert count <= calls[action] <= 1.1 * count, calls
    assert looks <= 0.1 * 6 * count, calls
