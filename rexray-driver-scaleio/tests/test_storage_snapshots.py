"""Snapshots of the driver ``scaleio``: of one volume, of several at one moment, and volumes that are made of them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import pytest

from gateway_parts import Gateway, Switches
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfCapacity, OutOfRange
from rexray.types import SnapshotId, Volume, VolumeId, VolumeSpec
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import (
    GIB,
    NO_VOLUME,
    WEB,
    done,
    names_in,
    read,
    refused,
    spec,
    storage,
    timeless,
    together,
    write,
)

NO_SNAPSHOT = SnapshotId(NO_VOLUME)


@pytest.fixture
def volume(driver: ScaleIoStorage, gateway: Gateway) -> Volume:
    made = driver.create(spec("data"))
    write(gateway, made.id, b"first")
    return made


def test_a_snapshot_is_told_as_the_array_has_it(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "kept", "why")
    assert (taken.name, taken.volume_id, taken.size_bytes, taken.group) == ("kept", volume.id, 8 * GIB, "")
    assert taken.ready
    [seen] = driver.snapshots()
    assert timeless(seen) == timeless(taken)
    assert list(driver.snapshots(volume_id=volume.id)) == [seen]
    assert list(driver.snapshots(snapshot_id=taken.id)) == [seen]
    assert list(driver.snapshots(volume_id=NO_VOLUME)) == list(driver.snapshots(snapshot_id=NO_SNAPSHOT)) == []
    assert [other.id for other in driver.volumes()] == [volume.id]
    write(gateway, volume.id, b"later")
    assert read(gateway, taken.id, 5) == b"first"


@pytest.mark.parametrize("name", ["kept", "data", "x" * 26, "y" * 60, "ends.snap", "two words", "a-0000000b"])
def test_a_snapshot_of_any_name_is_taken_once(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, name: str
) -> None:
    taken = driver.create_snapshot(volume.id, name)
    assert taken.name == name
    assert timeless(driver.create_snapshot(volume.id, name)) == timeless(taken)
    assert timeless(storage(gateway).create_snapshot(volume.id, name)) == timeless(taken)
    assert done(gateway, "snapshotVolumes") == 1
    assert list(driver.volumes_named("data")) == [driver.volume(volume.id)]


def test_a_name_of_another_volumes_snapshot_is_refused(driver: ScaleIoStorage, gateway: Gateway) -> None:
    one, two = (driver.create(spec(name)) for name in ("one", "two"))
    taken = driver.create_snapshot(one.id, "kept")
    said = f"'kept' \\({taken.id}\\) is of volume '{one.id}', not of '{two.id}'"
    refused(AlreadyExists, said, lambda: driver.create_snapshot(two.id, "kept"))
    refused(NotFound, NO_VOLUME, lambda: driver.create_snapshot(NO_VOLUME, "more"))
    assert len(list(driver.snapshots())) == 1


def test_a_removed_snapshot_is_gone_and_its_volume_and_clone_stay(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    taken = driver.create_snapshot(volume.id, "kept")
    clone = driver.create(spec("clone", 0, source_snapshot=taken.id))
    driver.remove_snapshot(taken.id)
    driver.remove_snapshot(taken.id)
    driver.remove_snapshot(NO_SNAPSHOT)
    driver.remove_snapshot(SnapshotId("kept"))
    assert names_in(gateway) == ["clone", "data"]
    assert read(gateway, volume.id, 5) == read(gateway, clone.id, 5) == b"first"
    assert list(driver.snapshots(snapshot_id=taken.id)) == []


@pytest.mark.parametrize("orphans", ["adopted", "dangling"])
def test_what_was_made_of_a_removed_volume_stays(orphans: str) -> None:
    with Gateway(switches=Switches(orphans=orphans)) as gateway:  # type: ignore[arg-type]
        driver = storage(gateway)
        made = driver.create(spec("data"))
        write(gateway, made.id, b"first")
        taken = driver.create_snapshot(made.id, "kept")
        clone = driver.create(spec("clone", 0, source_volume=made.id))
        driver.remove(made.id)
        assert [seen.id for seen in driver.snapshots()] == [taken.id]
        assert [seen.id for seen in driver.volumes()] == [clone.id]
        again = driver.create(spec("again", 0, source_snapshot=taken.id))
        assert read(gateway, clone.id, 5) == read(gateway, again.id, 5) == read(gateway, taken.id, 5) == b"first"
        refused(NotFound, made.id, lambda: driver.create(spec("clone", 0, source_volume=made.id)))
        refused(AlreadyExists, "'kept'", lambda: driver.create_snapshot(clone.id, "kept"))
        driver.remove_snapshot(taken.id)
        driver.remove(clone.id)
        assert read(gateway, again.id, 5) == b"first"


@pytest.mark.parametrize("of_snapshot", [True, False])
def test_a_clone_has_the_data_and_a_life_of_its_own(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, of_snapshot: bool, caplog: pytest.LogCaptureFixture
) -> None:
    taken = driver.create_snapshot(volume.id, "kept")
    source = {"source_snapshot": taken.id} if of_snapshot else {"source_volume": volume.id}
    with caplog.at_level(logging.WARNING):
        clone = driver.create(spec("clone", 0, **source))
    assert caplog.text == ""
    assert (clone.name, clone.size_bytes, clone.type) == ("clone", 8 * GIB, "pool-1")
    assert timeless(driver.create(spec("clone", 0, **source))) == timeless(clone)
    assert timeless(driver.create(spec("clone", 8, **source))) == timeless(clone)
    assert read(gateway, clone.id, 5) == b"first"
    write(gateway, clone.id, b"other")
    assert read(gateway, volume.id, 5) == read(gateway, taken.id, 5) == b"first"
    assert {seen.id for seen in driver.volumes()} == {volume.id, clone.id}
    assert [seen.id for seen in driver.snapshots()] == [taken.id]


def test_a_clone_can_be_larger_and_cached(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    wish = spec("clone", 20, source_volume=volume.id, options={"rmcache": "true"})
    clone = driver.create(wish)
    assert (clone.size_bytes, clone.fields["useRmcache"]) == (24 * GIB, "true")
    assert read(gateway, clone.id, 5) == b"first"
    assert timeless(driver.create(spec("clone", 20, source_volume=volume.id, options={"rmcache": "true"}))) == timeless(
        clone
    )
    refused(AlreadyExists, "size in GiB 24", lambda: driver.create(spec("clone", 8, source_volume=volume.id)))


def test_a_clone_that_cannot_be_as_asked_is_not_made(driver: ScaleIoStorage, gateway: Gateway) -> None:
    large = driver.create(spec("large", 16))
    gateway.add_pool("pool-2", gateway.domain_id)
    for kind, said, more in (
        (OutOfRange, "8 GiB are less than the 16", {"size_bytes": 8 * GIB}),
        (OutOfRange, "limit", {"limit_bytes": 8 * GIB}),
        (InvalidRequest, "storage pool 'pool-1'", {"type": "pool-2"}),
        (InvalidRequest, "provisioning", {"options": {"provisioning": "thick"}}),
        (InvalidRequest, "protectiondomain", {"options": {"protectiondomain": "domain-1"}}),
    ):
        wish = replace(VolumeSpec(name="clone", source_volume=large.id), **more)
        refused(kind, said, partial(driver.create, wish))
    refused(NotFound, NO_VOLUME, partial(driver.create, VolumeSpec(name="clone", source_volume=NO_VOLUME)))
    refused(NotFound, NO_VOLUME, partial(driver.create, VolumeSpec(name="clone", source_snapshot=NO_SNAPSHOT)))
    assert names_in(gateway) == ["large"]


def test_a_volume_of_that_name_of_another_source_is_not_the_clone(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    blank, stranger = driver.create(spec("blank")), driver.create(spec("stranger"))
    driver.create(spec("clone", 0, source_volume=stranger.id))
    for name in ("blank", "clone"):
        said = f"'{name}'.* exists and is made of .*asked for as made of '{volume.id}'"
        refused(AlreadyExists, said, partial(driver.create, spec(name, 64, source_volume=volume.id)))
    refused(AlreadyExists, "made of", lambda: driver.create(spec("data", 64, source_volume=volume.id)))
    assert all(seen.size_bytes == 8 * GIB for seen in driver.volumes())
    assert timeless(driver.volume(blank.id)) == timeless(blank)


def test_a_clone_that_was_left_small_grows_with_the_next_try(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    small = driver.create(spec("clone", 0, source_volume=volume.id))
    driver.attach(small.id, WEB)
    assert driver.create(spec("clone", 16, source_volume=volume.id)).size_bytes == 16 * GIB
    assert driver.volume(small.id).size_bytes == 16 * GIB


def test_a_snapshot_that_others_made_is_a_volume_unless_it_can_only_be_read(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    system = f"/api/instances/System::{gateway.system_id}/action/snapshotVolumes"
    for name, mode in (("writable", "ReadWrite"), ("readable", "ReadOnly")):
        body = {"snapshotDefs": [{"volumeId": volume.id, "snapshotName": name}], "accessModeLimit": mode}
        driver._gateway.post(system, "a snapshot of others", body)
    assert {seen.name for seen in driver.volumes()} == {"data", "writable"}
    assert [seen.name for seen in driver.snapshots()] == ["readable"]


def test_a_snapshot_that_a_host_has_is_not_removed(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    taken = driver.create_snapshot(volume.id, "kept")
    sdc = driver._array.sdc(WEB).id
    driver._gateway.post(f"/api/instances/Volume::{taken.id}/action/addMappedSdc", "by others", {"sdcId": sdc})
    refused(InUse, "attached to web", lambda: driver.remove_snapshot(taken.id))
    for whom in (None, WEB):
        refused(InvalidRequest, "not detached", partial(driver.detach, VolumeId(taken.id), whom))
    assert gateway.visible(sdc) == [taken.id]


def test_too_many_snapshots_are_said_to_be_so(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    gateway.switches.snapshots_per_vtree = 1
    driver.create_snapshot(volume.id, "kept")
    refused(OutOfCapacity, r"\(code 182\): remove snapshots", lambda: driver.create_snapshot(volume.id, "more"))


def test_sixteen_snapshots_of_one_name_are_one(gateway: Gateway, driver: ScaleIoStorage, volume: Volume) -> None:
    taken = together(16, lambda _: storage(gateway).create_snapshot(volume.id, "kept").id, range(16))
    assert len(set(taken)) == 1
    assert names_in(gateway) == ["data", "kept.snap"]


# Groups.


@pytest.fixture
def pair(driver: ScaleIoStorage, gateway: Gateway) -> list[VolumeId]:
    made = [driver.create(spec(name)).id for name in ("one", "two")]
    for volume_id in made:
        write(gateway, volume_id, b"first")
    return made


@pytest.mark.parametrize("name", ["group", "g" * 17, "long-" * 20, "two words", "a-0000000b"])
def test_a_group_is_taken_once_and_told_as_a_whole(
    driver: ScaleIoStorage, gateway: Gateway, pair: list[VolumeId], name: str
) -> None:
    group = driver.create_snapshot_group(name, pair)
    assert group.name == name
    assert [snapshot.volume_id for snapshot in group.snapshots] == pair
    assert {snapshot.group for snapshot in group.snapshots} == {group.id}
    assert timeless(driver.create_snapshot_group(name, list(reversed(pair)))) == timeless(group)
    assert [it.id for it in driver.snapshot_group(group.id).snapshots] == [it.id for it in group.snapshots]
    assert {snapshot.id for snapshot in driver.snapshots()} == {snapshot.id for snapshot in group.snapshots}
    assert done(gateway, "snapshotVolumes") == 1
    driver.remove_snapshot_group(group.id)
    driver.remove_snapshot_group(group.id)
    refused(NotFound, group.id, lambda: driver.snapshot_group(group.id))
    assert names_in(gateway) == ["one", "two"]


def test_a_group_of_other_volumes_is_refused(driver: ScaleIoStorage, gateway: Gateway, pair: list[VolumeId]) -> None:
    group = driver.create_snapshot_group("group", pair)
    more = driver.create(spec("more")).id
    for others in ([pair[0]], [*pair, more], [more]):
        said = "'group' exists and is of other volumes"
        refused(AlreadyExists, said, partial(driver.create_snapshot_group, "group", others))
    driver.remove_snapshot(group.snapshots[0].id)
    refused(AlreadyExists, "other volumes", lambda: driver.create_snapshot_group("group", pair))
    refused(NotFound, NO_VOLUME, lambda: driver.create_snapshot_group("new", [*pair, NO_VOLUME]))
    assert len(list(driver.snapshots())) == 1


def test_groups_and_snapshots_whose_names_begin_alike_are_apart(
    driver: ScaleIoStorage, gateway: Gateway, pair: list[VolumeId]
) -> None:
    for name in ("g-snapshot", "g-abcdefgh", "g-0000000b", "g"):
        driver.create_snapshot(pair[0], name)
    names = ["g", "g-", "g-g", "g-0000000b", "gg"]
    groups = [driver.create_snapshot_group(name, pair) for name in names]
    assert len({group.id for group in groups}) == len(names)
    again = [driver.create_snapshot_group(name, pair) for name in names]
    assert list(map(timeless, again)) == list(map(timeless, groups))
    groups = again
    driver.remove_snapshot_group(groups[0].id)
    assert [driver.snapshot_group(group.id).snapshots for group in groups[1:]] == [
        group.snapshots for group in groups[1:]
    ]
    assert len([snapshot for snapshot in driver.snapshots() if not snapshot.group]) == 4


def test_a_group_is_never_put_together_of_two_moments(
    driver: ScaleIoStorage, gateway: Gateway, pair: list[VolumeId]
) -> None:
    for volume_id in pair:
        name = f"g-{volume_id[-8:]}.snap"
        body = {"snapshotDefs": [{"volumeId": volume_id, "snapshotName": name}]}
        driver._gateway.post(f"/api/instances/System::{gateway.system_id}/action/snapshotVolumes", "", body)
    refused(AlreadyExists, "not taken at one moment", lambda: driver.create_snapshot_group("g", pair))


def test_a_group_id_is_no_snapshot_or_volume(driver: ScaleIoStorage, gateway: Gateway, pair: list[VolumeId]) -> None:
    group = driver.create_snapshot_group("group", pair)
    single = driver.create_snapshot(pair[0], "single")
    for word in (pair[0], group.snapshots[0].id, single.id, "group", ""):
        driver.remove_snapshot_group(SnapshotId(word))
        refused(NotFound, "snapshot group", partial(driver.snapshot_group, SnapshotId(word)))
    raw = gateway.volume("single.snap")
    assert raw is not None
    driver.remove_snapshot_group(SnapshotId(raw["consistencyGroupId"]))
    assert len(list(driver.snapshots())) == 3


def test_sixteen_groups_of_one_name_are_one(gateway: Gateway, driver: ScaleIoStorage, pair: list[VolumeId]) -> None:
    taken = together(16, lambda _: storage(gateway).create_snapshot_group("group", pair).id, range(16))
    assert len(set(taken)) == 1
    assert len(list(driver.snapshots())) == 2
