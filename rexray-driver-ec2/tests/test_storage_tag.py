"""A service with ``ec2.tag`` sees its own volumes and touches no others."""

from __future__ import annotations

import pytest

from ec2_driver import GIB, names_in, spec, storage
from ec2_parts import Cloud
from rexray.errors import Forbidden, InvalidRequest, NotFound
from rexray.types import InstanceId, Snapshot, Volume
from rexray_driver_ec2.storage import Ec2Storage


@pytest.fixture(scope="module")
def shared(running_cloud: Cloud) -> dict[str, Ec2Storage]:
    tags = {"mine": "te*m", "others": "team", "none": ""}
    return {who: storage(running_cloud.url, EC2_TAG=tag) for who, tag in tags.items()}


@pytest.fixture
def mine(shared: dict[str, Ec2Storage], cloud: Cloud) -> Ec2Storage:
    """The driver of a service whose tag would match the other one's if ``*`` were wild."""
    return shared["mine"]


@pytest.fixture
def others(shared: dict[str, Ec2Storage], cloud: Cloud) -> Ec2Storage:
    return shared["others"]


@pytest.fixture
def theirs(others: Ec2Storage) -> Volume:
    return others.create(spec("data", 2))


@pytest.fixture
def their_snapshot(others: Ec2Storage, theirs: Volume) -> Snapshot:
    return others.create_snapshot(theirs.id, "snap")


def test_names_are_without_the_tag_and_one_name_may_be_had_by_each(
    cloud: Cloud, mine: Ec2Storage, others: Ec2Storage, theirs: Volume
) -> None:
    made = mine.create(spec("data"))
    assert made.id != theirs.id
    assert (made.name, theirs.name) == ("data", "data")
    assert names_in(cloud) == ["te*m/data", "team/data"]
    assert [volume.id for volume in mine.volumes()] == [volume.id for volume in mine.volumes_named("data")] == [made.id]
    assert [volume.id for volume in others.volumes()] == [theirs.id]


def test_who_has_no_tag_sees_everything(shared: dict[str, Ec2Storage], mine: Ec2Storage, theirs: Volume) -> None:
    made = mine.create(spec("data"))
    assert {volume.name: volume.id for volume in shared["none"].volumes()} == {
        "te*m/data": made.id,
        "team/data": theirs.id,
    }


def test_what_others_have_does_not_exist(mine: Ec2Storage, theirs: Volume) -> None:
    with pytest.raises(NotFound, match=rf"volume '{theirs.id}' that is tagged 'te\*m' does not exist"):
        mine.volume(theirs.id)
    with pytest.raises(NotFound):
        mine.attachments(theirs.id)
    assert list(mine.volumes()) == []


def test_what_others_have_is_not_removed(cloud: Cloud, mine: Ec2Storage, theirs: Volume) -> None:
    with pytest.raises(Forbidden, match=rf"{theirs.id}' is not tagged 'te\*m' \(ec2\.tag\)"):
        mine.remove(theirs.id, force=True)
    assert names_in(cloud) == ["team/data"]


def test_what_others_have_is_not_attached_or_detached(
    cloud: Cloud, mine: Ec2Storage, others: Ec2Storage, theirs: Volume
) -> None:
    web = InstanceId(cloud.run_instance())
    for force in (False, True):
        with pytest.raises(Forbidden, match=theirs.id):
            mine.attach(theirs.id, web, force=force)
    assert others.attachments(theirs.id) == ()
    held = others.attach(theirs.id, web)
    for holder in (None, web):
        with pytest.raises(Forbidden, match=theirs.id):
            mine.detach(theirs.id, holder, force=True)
    assert others.attachments(theirs.id) == (held,)
    assert list(mine.attached(web)) == []
    assert [volume.id for volume in others.attached(web)] == [theirs.id]


def test_the_device_names_that_others_took_are_seen_all_the_same(
    cloud: Cloud, mine: Ec2Storage, others: Ec2Storage, theirs: Volume
) -> None:
    web = InstanceId(cloud.run_instance())
    assert others.attach(theirs.id, web).token == "/dev/xvdf"
    assert mine.attach(mine.create(spec("data")).id, web).token == "/dev/xvdg"


def test_what_others_have_is_not_changed(mine: Ec2Storage, others: Ec2Storage, theirs: Volume) -> None:
    with pytest.raises(NotFound, match=theirs.id):
        mine.expand(theirs.id, 5 * GIB)
    with pytest.raises(NotFound, match=theirs.id):
        mine.modify(theirs.id, {"type": "gp2"})
    assert others.volume(theirs.id) == theirs


def test_of_what_others_have_no_snapshot_or_clone_is_made(cloud: Cloud, mine: Ec2Storage, theirs: Volume) -> None:
    with pytest.raises(NotFound, match=theirs.id):
        mine.create_snapshot(theirs.id, "snap")
    with pytest.raises(NotFound, match=theirs.id):
        mine.create(spec("clone", 0, source_volume=theirs.id))
    assert cloud.state()["snapshots"] == {}
    assert names_in(cloud) == ["team/data"]


def test_the_snapshots_of_others_are_not_seen_or_removed(
    mine: Ec2Storage, others: Ec2Storage, theirs: Volume, their_snapshot: Snapshot
) -> None:
    own = mine.create_snapshot(mine.create(spec("data")).id, "snap")
    assert own.name == their_snapshot.name == "snap"
    assert [found.id for found in mine.snapshots()] == [own.id]
    assert list(mine.snapshots(snapshot_id=their_snapshot.id)) == []
    assert list(mine.snapshots(volume_id=theirs.id)) == []
    with pytest.raises(Forbidden, match=their_snapshot.id):
        mine.remove_snapshot(their_snapshot.id)
    with pytest.raises(NotFound, match=their_snapshot.id):
        mine.create(spec("copy", 0, source_snapshot=their_snapshot.id))
    with pytest.raises(NotFound, match=their_snapshot.id):
        mine.copy_snapshot(their_snapshot.id, "copy", "us-east-1")
    assert [found.id for found in others.snapshots()] == [their_snapshot.id]


def test_what_others_have_is_not_rolled_back(
    cloud: Cloud, mine: Ec2Storage, theirs: Volume, their_snapshot: Snapshot
) -> None:
    own = mine.create(spec("own", 2))
    taken = mine.create_snapshot(own.id, "snap")
    for volume_id, snapshot_id in ((theirs.id, their_snapshot.id), (own.id, their_snapshot.id), (theirs.id, taken.id)):
        with pytest.raises(NotFound):
            mine.rollback(volume_id, snapshot_id)
    assert names_in(cloud) == ["te*m/own", "team/data"]


def test_a_rollback_and_a_clone_stay_with_the_service(cloud: Cloud, mine: Ec2Storage) -> None:
    own = mine.create(spec("own"))
    back = mine.rollback(own.id, mine.create_snapshot(own.id, "snap").id)
    mine.create(spec("clone", 0, source_volume=back.id))
    assert names_in(cloud) == ["te*m/clone", "te*m/own"]
    assert {volume.name for volume in mine.volumes()} == {"clone", "own"}


def test_a_copy_in_another_region_stays_with_the_service(cloud: Cloud, mine: Ec2Storage) -> None:
    taken = mine.create_snapshot(mine.create(spec("data")).id, "snap")
    copy = mine.copy_snapshot(taken.id, "snap", "us-east-1")
    assert copy.name == "snap"
    assert [found.id for found in storage(cloud.url, "us-east-1", EC2_TAG="te*m").snapshots()] == [copy.id]
    assert list(storage(cloud.url, "us-east-1", EC2_TAG="team").snapshots()) == []


def test_a_name_may_be_as_long_as_the_tag_leaves_room(mine: Ec2Storage) -> None:
    assert mine.create(spec("x" * 250)).name == "x" * 250
    with pytest.raises(InvalidRequest, match="keeps 1 to 251"):
        mine.create(spec("x" * 252))
