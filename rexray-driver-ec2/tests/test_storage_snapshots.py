"""Snapshots, copies of them, clones and rollbacks of the driver ``ec2``, through HTTP to a simulated EC2."""

from __future__ import annotations

import time

import pytest

from ec2_driver import GIB, NO_VOLUME, names_in, spec, storage, together
from ec2_parts import Cloud, Proxy
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.types import InstanceId, SnapshotId, Volume
from rexray_driver_ec2.storage import Ec2Storage

NO_SNAPSHOT = SnapshotId("snap-0123456789abcdef0")
EAST = "us-east-1"


@pytest.fixture(scope="module")
def shared(running_cloud: Cloud) -> Ec2Storage:
    return storage(running_cloud.url)


@pytest.fixture
def driver(shared: Ec2Storage, cloud: Cloud) -> Ec2Storage:
    return shared


@pytest.fixture
def volume(driver: Ec2Storage) -> Volume:
    return driver.create(spec("data", 5))


def test_a_snapshot_is_described_and_is_ready_in_time(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(snapshot=0.4)
    taken = driver.create_snapshot(volume.id, "snap*1", "before the upgrade")
    assert (taken.name, taken.volume_id, taken.size_bytes) == ("snap*1", volume.id, 5 * GIB)
    assert (taken.description, taken.ready, taken.status) == ("before the upgrade", False, "pending")
    assert taken.fields["region"] == "us-west-1"
    time.sleep(0.5)
    assert [(found.id, found.ready) for found in driver.snapshots()] == [(taken.id, True)]


def test_a_snapshots_size_is_that_of_its_moment(driver: Ec2Storage, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "snap")
    driver.expand(volume.id, 6 * GIB)
    assert next(driver.snapshots(snapshot_id=taken.id)).size_bytes == 5 * GIB


def test_taking_a_snapshot_twice_is_taking_it_once(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "snap")
    assert driver.create_snapshot(volume.id, "snap").id == taken.id
    assert storage(cloud.url).create_snapshot(volume.id, "snap").id == taken.id
    assert len(cloud.state()["snapshots"]) == 1


def test_a_snapshot_of_another_volume_is_refused_with_both(driver: Ec2Storage, volume: Volume) -> None:
    taken, other = driver.create_snapshot(volume.id, "snap"), driver.create(spec("other"))
    with pytest.raises(AlreadyExists, match=f"{taken.id}.* is of volume '{volume.id}', not of '{other.id}'"):
        driver.create_snapshot(other.id, "snap")


def test_two_snapshots_of_a_name_are_an_error_that_lists_them(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    taken, other = driver.create_snapshot(volume.id, "snap"), driver.create_snapshot(volume.id, "other")
    cloud.client().create_tags(Resources=[other.id], Tags=[{"Key": "Name", "Value": "snap"}])
    with pytest.raises(AlreadyExists, match=f"several snapshots are called 'snap': .*({taken.id}|{other.id})"):
        driver.create_snapshot(volume.id, "snap")


def test_snapshots_are_listed_by_volume_and_by_id(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    other = driver.create(spec("other"))
    first, second, third = (
        driver.create_snapshot(of, name).id for of, name in ((volume.id, "a"), (volume.id, "b"), (other.id, "c"))
    )
    assert {found.id for found in driver.snapshots()} == {first, second, third}
    assert {found.id for found in driver.snapshots(volume_id=volume.id)} == {first, second}
    assert [found.id for found in driver.snapshots(snapshot_id=third)] == [third]
    assert list(driver.snapshots(snapshot_id=third, volume_id=volume.id)) == []
    assert list(driver.snapshots(volume_id=NO_VOLUME)) == []
    for word in (NO_SNAPSHOT, SnapshotId("snap-1"), SnapshotId("a")):
        assert list(driver.snapshots(snapshot_id=word)) == []


def test_removing_a_snapshot_twice_is_removing_it_once(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "snap")
    for word in (taken.id, taken.id, NO_SNAPSHOT, SnapshotId("snap-1"), SnapshotId("nonsense")):
        driver.remove_snapshot(word)
    assert cloud.state()["snapshots"] == {}


def test_a_snapshot_of_a_machine_image_is_in_use(driver: Ec2Storage, cloud: Cloud) -> None:
    cloud.run_instance()
    public = cloud.client().describe_snapshots(OwnerIds=["amazon"])["Snapshots"]
    if not public:
        pytest.skip("the cloud has no images of its own")
    with pytest.raises(InUse, match=rf"{public[0]['SnapshotId']}' is in use by a machine image \(AMI\)"):
        driver.remove_snapshot(SnapshotId(public[0]["SnapshotId"]))
    assert list(driver.snapshots()) == []


def test_no_snapshot_is_taken_of_an_unknown_volume(driver: Ec2Storage) -> None:
    with pytest.raises(NotFound, match=NO_VOLUME):
        driver.create_snapshot(NO_VOLUME, "snap")


def test_a_volume_of_a_pending_snapshot_waits_for_it(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(snapshot=0.4)
    taken = driver.create_snapshot(volume.id, "snap")
    made = driver.create(spec("copy", 0, source_snapshot=taken.id))
    assert (made.size_bytes, made.fields["snapshotId"]) == (5 * GIB, taken.id)
    assert driver.create(spec("copy", 0, source_snapshot=taken.id)).id == made.id
    assert driver.create(spec("large", 7, source_snapshot=taken.id)).size_bytes == 7 * GIB


def test_a_volume_is_not_made_of_a_larger_or_an_unknown_snapshot(
    driver: Ec2Storage, cloud: Cloud, volume: Volume
) -> None:
    taken = driver.create_snapshot(volume.id, "snap")
    with pytest.raises(OutOfRange, match=f"'small': 4 GiB are less than the 5 GiB of snapshot '{taken.id}'"):
        driver.create(spec("small", 4, source_snapshot=taken.id))
    with pytest.raises(OutOfRange, match=r"the 5 GiB of snapshot .* are more than the limit"):
        driver.create(spec("small", 0, source_snapshot=taken.id, limit_bytes=4 * GIB))
    with pytest.raises(NotFound, match=NO_SNAPSHOT):
        driver.create(spec("small", source_snapshot=NO_SNAPSHOT))
    assert names_in(cloud) == ["data"]


def test_a_snapshot_is_copied_to_another_region_once(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(snapshot=0.2)
    taken = driver.create_snapshot(volume.id, "snap", "before")
    copy = driver.copy_snapshot(taken.id, "snap", EAST)
    assert (copy.name, copy.volume_id, copy.size_bytes) == ("snap", volume.id, 5 * GIB)
    assert (copy.description, copy.fields["region"]) == ("before", EAST)
    assert driver.copy_snapshot(taken.id, "snap", EAST).id == copy.id
    assert storage(cloud.url).copy_snapshot(taken.id, "snap", EAST).id == copy.id
    assert list(cloud.state(EAST)["snapshots"]) == [copy.id]
    there = storage(cloud.url, EAST)
    assert [(found.id, found.volume_id) for found in there.snapshots()] == [(copy.id, volume.id)]
    made = there.create(spec("data", 0, zone="us-east-1a", source_snapshot=copy.id))
    assert made.size_bytes == 5 * GIB


def test_a_copy_within_the_region_has_another_name(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "snap")
    copy = driver.copy_snapshot(taken.id, "copy", "us-west-1")
    assert {found.id for found in driver.snapshots()} == {taken.id, copy.id}
    again = driver.copy_snapshot(copy.id, "again", "us-west-1")
    assert again.volume_id == volume.id
    with pytest.raises(AlreadyExists, match=f"{taken.id}.* is no copy"):
        driver.copy_snapshot(copy.id, "snap", "us-west-1")


def test_an_encrypted_snapshots_copy_is_encrypted(driver: Ec2Storage) -> None:
    volume = driver.create(spec("data", encrypted=True))
    copy = driver.copy_snapshot(driver.create_snapshot(volume.id, "snap").id, "snap", EAST)
    assert copy.fields["encrypted"] == "true"


def test_a_copy_of_another_snapshot_is_refused(driver: Ec2Storage, volume: Volume) -> None:
    first, second = driver.create_snapshot(volume.id, "a"), driver.create_snapshot(volume.id, "b")
    copy = driver.copy_snapshot(first.id, "copy", EAST)
    with pytest.raises(AlreadyExists, match=f"'copy'.*{copy.id}.* in {EAST} is no copy of '{second.id}'"):
        driver.copy_snapshot(second.id, "copy", EAST)


def test_nothing_is_copied_from_nowhere_or_to_nowhere(driver: Ec2Storage, volume: Volume) -> None:
    with pytest.raises(NotFound, match=NO_SNAPSHOT):
        driver.copy_snapshot(NO_SNAPSHOT, "copy", EAST)
    with pytest.raises(InvalidRequest, match=r"region .* is missing"):
        driver.copy_snapshot(driver.create_snapshot(volume.id, "snap").id, "copy", "")


def test_a_clone_is_like_its_source_and_leaves_no_snapshot(driver: Ec2Storage, cloud: Cloud) -> None:
    source = driver.create(spec("data", 5, type="io2", iops=500))
    clone = driver.create(spec("clone", 0, source_volume=source.id))
    assert (clone.size_bytes, clone.type, clone.iops) == (5 * GIB, "io2", 500)
    assert clone.fields["source"] == source.id
    assert cloud.state()["snapshots"] == {}
    assert driver.create(spec("clone", 0, source_volume=source.id)).id == clone.id
    assert cloud.state()["snapshots"] == {}
    assert names_in(cloud) == ["clone", "data"]


def test_a_clone_may_be_larger_of_another_type_and_in_another_zone(driver: Ec2Storage, volume: Volume) -> None:
    clone = driver.create(spec("clone", 6, zone="us-west-1b", type="gp2", source_volume=volume.id))
    assert (clone.size_bytes, clone.type, clone.zone) == (6 * GIB, "gp2", "us-west-1b")
    assert driver.create(spec("near", 0, zone="", source_volume=volume.id)).zone == volume.zone


def test_a_clone_that_cannot_be_leaves_nothing_behind(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    with pytest.raises(OutOfRange, match=f"4 GiB are less than the 5 GiB of volume '{volume.id}'"):
        driver.create(spec("clone", 4, source_volume=volume.id))
    with pytest.raises(NotFound, match=NO_VOLUME):
        driver.create(spec("clone", source_volume=NO_VOLUME))
    assert names_in(cloud) == ["data"]
    assert cloud.state()["snapshots"] == {}


def test_the_snapshot_of_a_clone_is_not_listed(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(snapshot=1.0)
    seen: list[int] = []

    def look() -> None:
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            seen.append(len(list(driver.snapshots())))
            time.sleep(0.1)

    def clone() -> None:
        driver.create(spec("clone", 0, source_volume=volume.id))

    together(2, lambda number: (look, clone)[number](), range(2))
    assert set(seen) == {0}


def test_a_rollback_has_the_snapshots_data_the_name_and_the_tags(
    driver: Ec2Storage, cloud: Cloud, volume: Volume
) -> None:
    cloud.client().create_tags(Resources=[volume.id], Tags=[{"Key": "owner", "Value": "me"}])
    taken = driver.create_snapshot(volume.id, "snap")
    driver.expand(volume.id, 6 * GIB)
    back = driver.rollback(volume.id, taken.id)
    assert back.id != volume.id
    assert (back.name, back.size_bytes, back.type, back.zone) == ("data", 6 * GIB, "gp3", volume.zone)
    assert back.fields["snapshotId"] == taken.id
    assert cloud.state()["volumes"][back.id]["tags"]["owner"] == "me"
    assert [found.id for found in driver.volumes_named("data")] == [back.id]
    assert driver.rollback(volume.id, taken.id).id == back.id
    assert names_in(cloud) == ["data"]


def test_a_rolled_back_volume_goes_back_to_the_snapshots_of_the_one_before(driver: Ec2Storage, volume: Volume) -> None:
    first = driver.create_snapshot(volume.id, "first")
    now = driver.rollback(volume.id, first.id)
    second = driver.create_snapshot(now.id, "second")
    for taken in (first, second, first):
        now = driver.rollback(now.id, taken.id)
        assert now.fields["snapshotId"] == taken.id
    assert now.name == "data"


def test_an_encrypted_fast_shared_volume_stays_so_when_it_is_rolled_back(driver: Ec2Storage) -> None:
    options = {"multiattach": "true"}
    volume = driver.create(spec("data", 4, type="io2", iops=300, encrypted=True, options=options))
    back = driver.rollback(volume.id, driver.create_snapshot(volume.id, "snap").id)
    assert (back.type, back.iops, back.encrypted) == ("io2", 300, True)
    assert (back.fields["multiAttach"], back.fields["kmsKeyId"]) == ("true", volume.fields["kmsKeyId"])


def test_an_attached_volume_is_not_rolled_back(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    taken, web = driver.create_snapshot(volume.id, "snap"), InstanceId(cloud.run_instance())
    driver.attach(volume.id, web)
    with pytest.raises(InUse, match=f"{volume.id}' is attached to {web}"):
        driver.rollback(volume.id, taken.id)
    assert names_in(cloud) == ["data"]


def test_a_volume_is_not_put_back_to_what_is_not_its_own(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    other = driver.create(spec("other"))
    theirs = driver.create_snapshot(other.id, "theirs")
    with pytest.raises(InvalidRequest, match=f"{theirs.id}' is of volume '{other.id}', not of '{volume.id}'"):
        driver.rollback(volume.id, theirs.id)
    with pytest.raises(NotFound, match=NO_SNAPSHOT):
        driver.rollback(volume.id, NO_SNAPSHOT)
    with pytest.raises(NotFound, match=NO_VOLUME):
        driver.rollback(NO_VOLUME, theirs.id)
    assert names_in(cloud) == ["data", "other"]


def test_many_snapshots_are_listed_by_pages(driver: Ec2Storage, proxy: Proxy, cloud: Cloud, volume: Volume) -> None:
    plain = cloud.client()
    together(8, lambda _: plain.create_snapshot(VolumeId=volume.id), range(505))
    assert len(list(storage(proxy.url).snapshots())) == 505
    assert proxy.counts == {"DescribeSnapshots": 2}
    assert all(form["Owner.1"] == "self" for _, form in proxy.calls)
