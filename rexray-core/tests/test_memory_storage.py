"""The storage driver of the platform memory keeps every sentence of its contract, in a process and in a file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_memory_parts import ELSEWHERE, HERE, MIB, THERE, Host, fresh_name

from rexray import mixins
from rexray.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    OutOfRange,
    SettingsError,
    Unauthorized,
)
from rexray.settings import Secret, Sources
from rexray.testing.memory.model import LARGEST, REGIONS
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import AttachmentState, Capacity, Health, InstanceId, SnapshotId, Volume, VolumeId, VolumeSpec


@pytest.fixture(params=["process", "file"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    file = str(tmp_path / "platform.json") if request.param == "file" else ""
    return Host(MemorySettings(name=fresh_name(), file=file, capacity=64 * MIB, max_volumes=3, page_size=2))


MISSING, NO_SNAPSHOT = VolumeId("vol-none"), SnapshotId("snap-none")


def test_it_has_every_capability() -> None:
    every = [
        value for value in vars(mixins).values() if isinstance(value, type) and value.__module__ == mixins.__name__
    ]
    assert [kind.__name__ for kind in every if not issubclass(MemoryStorage, kind)] == []
    assert len(every) >= 13


# Creating


def test_a_new_volume_is_as_asked_and_creating_it_again_makes_no_other(host: Host) -> None:
    spec = VolumeSpec(name="data", size_bytes=MIB + 1, type="fast", iops=300, zone="zone-2", encrypted=True)
    made = host.storage.create(spec)
    assert made.id != made.name
    assert (made.size_bytes, made.type, made.iops, made.zone, made.encrypted) == (2 * MIB, "fast", 300, "zone-2", True)
    assert (made.state, made.attachments, made.status) == (AttachmentState.AVAILABLE, (), "available")
    assert made.created is not None
    assert made.created.tzinfo is not None
    for _ in range(10):
        assert host.storage.create(spec) == made
    assert list(host.storage.volumes()) == [made] == list(host.storage.volumes_named("data"))
    assert host.storage.volume(made.id) == made


def test_what_a_spec_leaves_open_may_be_anything(host: Host) -> None:
    made = host.create(type="fast", iops=5, zone="zone-2", options={"multiattach": "true"})
    assert host.storage.create(VolumeSpec(name="data")) == made


DIFFERENCES: list[tuple[dict[str, Any], str]] = [
    ({"size_bytes": 5 * MIB}, "size 2097152 and was asked for with 5242880"),
    ({"type": "fast"}, "type standard and was asked for with fast"),
    ({"iops": 7}, "iops none and was asked for with 7"),
    ({"zone": "zone-2"}, "zone zone-1 and was asked for with zone-2"),
    ({"encrypted": True}, "encryption none and was asked for with True"),
    ({"options": {"multiattach": "true"}}, "multiattach none and was asked for with True"),
]


@pytest.mark.parametrize(("other", "words"), DIFFERENCES)
def test_a_volume_that_differs_from_the_spec_exists_already(host: Host, other: dict[str, Any], words: str) -> None:
    spec = VolumeSpec(name="data", size_bytes=2 * MIB)
    made = host.storage.create(spec)
    with pytest.raises(AlreadyExists, match=f"volume 'data' .* exists with {words}$"):
        host.storage.create(replace(spec, **other))
    assert host.storage.volume(made.id) == made


def test_a_volume_of_another_source_or_key_exists_already(host: Host) -> None:
    source = host.create("source", encrypted=True, encryption_key="canary-a")
    snapshot = host.storage.create_snapshot(source.id, "snap")
    for wishes in ({"source_volume": source.id}, {"source_snapshot": snapshot.id}):
        with pytest.raises(AlreadyExists, match=r"source (volume|snapshot) none and was asked for with"):
            host.create("source", **wishes)
    with pytest.raises(AlreadyExists, match="encryption key") as told:
        host.create("source", encrypted=True, encryption_key="canary-b")
    assert "canary" not in str(told.value)
    copy = host.create("copy", source_volume=source.id)
    with pytest.raises(AlreadyExists, match=r"source volume vol-.* and was asked for with none"):
        host.create("copy")
    assert host.create("copy", source_volume=source.id) == copy
    assert copy.encrypted


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": ""}, InvalidRequest, "is empty"),
    ({"name": "a/b"}, InvalidRequest, "contains '/'"),
    ({"name": ".."}, InvalidRequest, "is not a name"),
    ({"name": "x" * 256}, InvalidRequest, "at most 255"),
    ({"options": {"colour": "red"}}, InvalidRequest, "option 'colour' is unknown: there is multiattach"),
    ({"options": {"multiattach": "maybe"}}, InvalidRequest, "neither true nor false"),
    ({"type": "slow"}, InvalidRequest, "there are standard, fast"),
    ({"iops": 64_001}, InvalidRequest, "it can be 0 to 64000"),
    ({"iops": -1}, InvalidRequest, "it can be 0 to 64000"),
    ({"zone": "zone-9"}, InvalidRequest, "there are zone-1, zone-2"),
    ({"size_bytes": -1}, InvalidRequest, "is negative"),
    ({"encryption_key": "k"}, InvalidRequest, "no encryption was asked for"),
    ({"source_volume": MISSING, "source_snapshot": NO_SNAPSHOT}, InvalidRequest, "cannot be a copy of"),
    ({"source_volume": MISSING}, NotFound, "volume 'vol-none' does not exist"),
    ({"source_snapshot": NO_SNAPSHOT}, NotFound, "snapshot 'snap-none' does not exist"),
    ({"size_bytes": LARGEST + 1}, OutOfRange, "cannot be had"),
    ({"size_bytes": 65 * MIB}, OutOfCapacity, "zone 'zone-1' has 67108864 bytes left"),
    ({"size_bytes": MIB + 1, "limit_bytes": MIB + 9}, OutOfRange, "more than the limit of 1048585"),
]


@pytest.mark.parametrize(("wishes", "error", "words"), REFUSED)
def test_what_no_volume_can_be_is_refused_and_nothing_is_made(
    host: Host, wishes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        host.storage.create(VolumeSpec(**{"name": "data", "size_bytes": MIB, **wishes}))
    assert list(host.storage.volumes()) == []


@pytest.mark.parametrize("name", ["x" * 128, "数" * 255, "-rf", "a b", "100%", "{x}", "ü\u0301"])
def test_a_name_may_be_long_strange_or_of_any_script(host: Host, name: str) -> None:
    made = host.create(name)
    assert list(host.storage.volumes_named(name)) == [made]
    assert made.name == name


def test_a_volume_without_a_zone_is_made_where_this_host_is(host: Host) -> None:
    assert Host(replace(host.settings, instance="host-3")).create("there").zone == "zone-2"
    assert Host(replace(host.settings, instance="stranger")).create("somewhere").zone == "zone-1"


def test_of_many_who_create_one_volume_each_gets_the_same(host: Host) -> None:
    start = threading.Barrier(8)

    def create(_: int) -> Volume:
        start.wait()
        return host.create()

    with ThreadPoolExecutor(8) as pool:
        made = {item.id for item in pool.map(create, range(8))}
    assert len(made) == 1
    assert len(list(host.storage.volumes())) == 1


# Listing


def test_lists_page_and_each_page_is_one_call(host: Host) -> None:
    made = [host.create(f"v{number}") for number in range(5)]
    for volume in made[:3]:
        host.attach(volume)
        host.storage.create_snapshot(volume.id, f"s-{volume.name}")
    before = len(host.platform.calls)
    assert {found.id for found in host.storage.volumes()} == {volume.id for volume in made}
    assert host.platform.calls[before:] == ["volumes"] * 3
    assert {found.id for found in host.storage.attached(HERE)} == {volume.id for volume in made[:3]}
    assert len(list(host.storage.snapshots())) == 3
    assert host.platform.calls[before + 3 :] == ["attached"] * 2 + ["snapshots"] * 2
    assert list(host.storage.volumes_named("v")) == []


def test_a_volume_that_goes_between_two_pages_takes_no_other_with_it(host: Host) -> None:
    made = [host.create(f"v{number}") for number in range(5)]
    found = host.storage.volumes()
    assert next(found).id == made[0].id
    host.storage.remove(made[0].id)
    assert [volume.id for volume in found] == [volume.id for volume in made[1:]]


# Removing


def test_removing_is_done_once_and_a_missing_volume_is_success(host: Host) -> None:
    made = host.create()
    for _ in range(3):
        host.storage.remove(made.id)
    host.storage.remove(MISSING, force=True)
    with pytest.raises(NotFound, match=made.id):
        host.storage.volume(made.id)
    assert host.create().id != made.id


@pytest.mark.parametrize("force", [False, True])
def test_an_attached_volume_is_not_removed(host: Host, force: bool) -> None:
    made = host.create()
    host.attach(made)
    with pytest.raises(InUse, match="is attached to 'host-1': detach it first"):
        host.storage.remove(made.id, force=force)
    assert host.storage.volume(made.id).attachments


# Attaching


def test_attaching_again_is_success_and_gives_the_same_attachment(host: Host) -> None:
    made = host.create()
    first = host.storage.attach(made.id, HERE, device="/dev/wish")
    assert (first.volume_id, first.instance_id, first.device, first.read_only) == (made.id, HERE, "/dev/wish", False)
    assert host.storage.attach(made.id, HERE, device="/dev/other") == first
    assert host.storage.attach(made.id, HERE, force=True) == first
    assert host.storage.attachments(made.id) == (first,) == host.storage.volume(made.id).attachments
    assert host.storage.attachments(made.id, THERE) == ()
    assert host.storage.volume(made.id).state == AttachmentState.ATTACHED
    other = Host(replace(host.settings, instance=THERE))
    assert other.storage.volume(made.id).state == AttachmentState.UNAVAILABLE


def test_a_holder_is_named_and_loses_the_volume_only_to_force(host: Host) -> None:
    made = host.create()
    first = host.attach(made)
    with pytest.raises(InUse, match="is attached to 'host-1', not to 'host-2'"):
        host.storage.attach(made.id, THERE)
    taken = host.storage.attach(made.id, THERE, force=True)
    assert host.storage.attachments(made.id) == (taken,)
    assert taken.token != first.token


def test_where_force_cannot_attach_the_holder_keeps_the_volume(host: Host) -> None:
    made = host.create()
    first = host.attach(made)
    with pytest.raises(InvalidRequest, match="in zone 'zone-1', instance 'host-3' in zone 'zone-2'"):
        host.storage.attach(made.id, ELSEWHERE, force=True)
    assert host.storage.attachments(made.id) == (first,)


def test_another_access_mode_is_refused_and_tells_both(host: Host) -> None:
    first, second = host.create("a"), host.create("b")
    assert host.attach(first, read_only=True).read_only
    assert host.attach(first, read_only=True).read_only
    with pytest.raises(AlreadyExists, match="to 'host-1' read-only, and was asked for writable"):
        host.attach(first)
    host.attach(second)
    with pytest.raises(AlreadyExists, match="to 'host-1' writable, and was asked for read-only"):
        host.attach(second, read_only=True)


def test_what_is_unknown_is_said_and_an_instance_has_a_limit(host: Host) -> None:
    made = [host.create(f"v{number}") for number in range(4)]
    with pytest.raises(NotFound, match="volume 'vol-none'"):
        host.storage.attach(MISSING, HERE)
    with pytest.raises(NotFound, match="instance 'nobody'"):
        host.storage.attach(made[0].id, InstanceId("nobody"))
    with pytest.raises(NotFound, match="volume 'vol-none'"):
        host.storage.attachments(MISSING)
    assert len({host.attach(volume).device for volume in made[:3]}) == 3
    with pytest.raises(OutOfCapacity, match="has 3 volumes attached"):
        host.attach(made[3])
    assert [item.max_volumes for item in host.storage.instances()] == [3, 3, 3]


def test_two_volumes_that_ask_for_one_device_name_get_two(host: Host) -> None:
    device = host.node.next_device()
    names = {host.attach(host.create(name), device=device).device for name in "ab"}
    assert len(names) == 2
    assert device in names
    assert host.node.next_device() not in names


def test_only_a_volume_that_several_may_have_is_attached_twice(host: Host) -> None:
    made = host.create(options={"multiattach": "true"})
    tokens = {host.storage.attach(made.id, name).token for name in (HERE, THERE)}
    assert len(tokens) == 2
    host.storage.detach(made.id, HERE)
    assert [item.instance_id for item in host.storage.attachments(made.id)] == [THERE]
    host.storage.attach(made.id, HERE)
    host.storage.detach(made.id)
    assert host.storage.attachments(made.id) == ()


def test_detaching_is_done_once_and_from_whom_it_was_asked(host: Host) -> None:
    made = host.create()
    host.attach(made)
    host.storage.detach(made.id, THERE)
    assert len(host.storage.attachments(made.id)) == 1
    for _ in range(3):
        host.storage.detach(made.id, HERE)
    assert host.storage.attachments(made.id) == ()
    host.storage.detach(made.id)
    host.storage.detach(MISSING, HERE, force=True)


# Snapshots


def test_a_snapshot_is_a_moment_and_taken_once(host: Host) -> None:
    made = host.create()
    host.platform.write(made.id, 5000, b"before")
    taken = host.storage.create_snapshot(made.id, "snap", "why")
    host.platform.write(made.id, 5000, b"after!")
    assert host.storage.create_snapshot(made.id, "snap") == taken
    assert (taken.volume_id, taken.size_bytes, taken.description, taken.ready) == (made.id, MIB, "why", True)
    restored = host.create("restored", source_snapshot=taken.id)
    assert host.platform.read(restored.id, 5000, 6) == b"before"
    assert host.platform.read(made.id, 4998, 10) == b"\0\0after!\0\0"
    host.storage.remove_snapshot(taken.id)
    host.storage.remove_snapshot(taken.id)
    assert host.platform.read(restored.id, 5000, 6) == b"before"


def test_snapshots_are_listed_by_volume_or_id(host: Host) -> None:
    first, second = host.create("a"), host.create("b")
    taken = [host.storage.create_snapshot(first.id, "s1"), host.storage.create_snapshot(second.id, "s2")]
    assert list(host.storage.snapshots()) == taken
    assert list(host.storage.snapshots(volume_id=second.id)) == taken[1:]
    assert list(host.storage.snapshots(snapshot_id=taken[0].id)) == taken[:1]
    assert list(host.storage.snapshots(snapshot_id=NO_SNAPSHOT)) == []
    assert list(host.storage.snapshots(volume_id=second.id, snapshot_id=taken[0].id)) == []


def test_a_snapshot_of_another_volume_exists_already(host: Host) -> None:
    first, second = host.create("a"), host.create("b")
    host.storage.create_snapshot(first.id, "snap")
    with pytest.raises(AlreadyExists, match=f"is of volume '{first.id}', and was asked for of volume '{second.id}'"):
        host.storage.create_snapshot(second.id, "snap")
    with pytest.raises(NotFound, match="volume 'vol-none'"):
        host.storage.create_snapshot(MISSING, "other")


def test_snapshots_outlive_their_volume(host: Host) -> None:
    made = host.create()
    host.platform.write(made.id, 0, b"x")
    taken = host.storage.create_snapshot(made.id, "snap")
    host.storage.remove(made.id)
    assert host.platform.read(host.create("again", source_snapshot=taken.id).id, 0, 1) == b"x"


def test_a_copy_in_another_region_is_made_once(host: Host) -> None:
    first, second = (host.storage.create_snapshot(host.create(name).id, f"s-{name}") for name in "ab")
    copy = host.storage.copy_snapshot(first.id, "copy", REGIONS[1])
    assert host.storage.copy_snapshot(first.id, "copy", REGIONS[1]) == copy
    assert (copy.zone, copy.volume_id, copy.name) == (REGIONS[1], first.volume_id, "copy")
    assert copy in list(host.storage.snapshots())
    with pytest.raises(AlreadyExists, match=f"is a copy of '{first.id}', and was asked for of '{second.id}'"):
        host.storage.copy_snapshot(second.id, "copy", REGIONS[1])
    with pytest.raises(AlreadyExists, match="is no copy"):
        host.storage.copy_snapshot(first.id, "s-b", REGIONS[0])
    with pytest.raises(InvalidRequest, match="region 'moon' is unknown"):
        host.storage.copy_snapshot(first.id, "copy", "moon")
    with pytest.raises(NotFound):
        host.storage.copy_snapshot(NO_SNAPSHOT, "other", REGIONS[1])
    with pytest.raises(InvalidRequest, match="is in region-2, not in region-1"):
        host.create("far", source_snapshot=copy.id)


def test_a_group_is_of_one_moment_and_all_or_nothing(host: Host) -> None:
    volumes = [host.create(name).id for name in "ab"]
    group = host.storage.create_snapshot_group("group", volumes)
    assert host.storage.create_snapshot_group("group", reversed(volumes)) == group  # type: ignore[arg-type]
    assert host.storage.snapshot_group(group.id) == group
    assert {item.volume_id for item in group.snapshots} == set(volumes)
    assert {item.group for item in group.snapshots} == {group.id}
    with pytest.raises(AlreadyExists, match="and was asked for of"):
        host.storage.create_snapshot_group("group", volumes[:1])
    with pytest.raises(InvalidRequest, match=f"belongs to group '{group.id}'"):
        host.storage.remove_snapshot(group.snapshots[0].id)
    with pytest.raises(InvalidRequest, match="no volumes are named"):
        host.storage.create_snapshot_group("none", [])
    with pytest.raises(NotFound):
        host.storage.create_snapshot_group("half", [*volumes, MISSING])
    assert len(list(host.storage.snapshots())) == 2
    for _ in range(2):
        host.storage.remove_snapshot_group(group.id)
    assert list(host.storage.snapshots()) == []
    with pytest.raises(NotFound, match="group snapshot"):
        host.storage.snapshot_group(group.id)


def test_a_rollback_puts_data_back_and_keeps_the_size(host: Host) -> None:
    made, other = host.create(), host.create("other")
    host.platform.write(made.id, 0, b"old")
    taken = host.storage.create_snapshot(made.id, "snap")
    host.platform.write(made.id, 0, b"new")
    host.storage.expand(made.id, 3 * MIB)
    host.attach(made)
    with pytest.raises(InUse, match="is attached to 'host-1'"):
        host.storage.rollback(made.id, taken.id)
    host.storage.detach(made.id)
    for _ in range(2):
        assert host.storage.rollback(made.id, taken.id).size_bytes == 3 * MIB
    assert host.platform.read(made.id, 0, 3) == b"old"
    with pytest.raises(InvalidRequest, match=f"is of volume '{made.id}', not of '{other.id}'"):
        host.storage.rollback(other.id, taken.id)
    for volume, snapshot in ((MISSING, taken.id), (made.id, NO_SNAPSHOT)):
        with pytest.raises(NotFound):
            host.storage.rollback(volume, snapshot)


# Changing, and how things are


def test_a_clone_has_its_sources_data_and_goes_its_own_way(host: Host) -> None:
    made = host.create()
    host.platform.write(made.id, 0, b"one")
    clone = host.create("clone", 2 * MIB, source_volume=made.id)
    host.platform.write(clone.id, 0, b"two")
    assert (host.platform.read(made.id, 0, 3), clone.size_bytes) == (b"one", 2 * MIB)
    assert host.storage.create(VolumeSpec(name="same", source_volume=clone.id)).size_bytes == 2 * MIB
    with pytest.raises(OutOfRange, match="less than its source's"):
        host.create("small", MIB, source_volume=clone.id)
    with pytest.raises(InvalidRequest, match="a copy is encrypted as its source is"):
        host.create("secret", source_volume=made.id, encrypted=True)


def test_a_volume_grows_and_never_shrinks(host: Host) -> None:
    made = host.create()
    assert host.storage.expand(made.id, MIB + 1).size_bytes == 2 * MIB
    assert host.storage.expand(made.id, MIB).size_bytes == 2 * MIB
    assert host.storage.expand(made.id, 2 * MIB, limit_bytes=2 * MIB).size_bytes == 2 * MIB
    with pytest.raises(OutOfRange, match="more than the limit"):
        host.storage.expand(made.id, 2 * MIB + 1, limit_bytes=2 * MIB + 5)
    with pytest.raises(OutOfCapacity):
        host.storage.expand(made.id, 65 * MIB)
    with pytest.raises(OutOfRange):
        host.storage.expand(made.id, LARGEST + 1)
    with pytest.raises(NotFound):
        host.storage.expand(MISSING, MIB)
    assert host.storage.volume(made.id).size_bytes == 2 * MIB


def test_modify_changes_what_it_knows_and_nothing_if_it_does_not(host: Host) -> None:
    made = host.create()
    for _ in range(2):
        found = host.storage.modify(made.id, {"type": "fast", "iops": "100"})
        assert (found.type, found.iops) == ("fast", 100)
    for wrong in ({"type": "standard", "colour": "red"}, {"type": "standard", "iops": "many"}, {"iops": "64001"}):
        with pytest.raises(InvalidRequest):
            host.storage.modify(made.id, wrong)
    assert host.storage.volume(made.id) == found
    assert host.storage.modify(made.id, {}) == found
    with pytest.raises(NotFound):
        host.storage.modify(MISSING, {"iops": "1"})


def test_capacity_is_what_can_be_made(host: Host) -> None:
    assert host.storage.zones() == ("zone-1", "zone-2")
    host.create(size_bytes=60 * MIB)
    assert host.storage.capacity() == Capacity(available_bytes=4 * MIB, largest_volume_bytes=4 * MIB)
    assert host.storage.capacity("zone-2").available_bytes == 64 * MIB
    with pytest.raises(InvalidRequest, match="zone 'moon'"):
        host.storage.capacity("moon")
    host.create("rest", 4 * MIB)
    assert host.storage.capacity().available_bytes == 0


def test_health_is_told_for_one_or_for_many_by_one_call(host: Host) -> None:
    made = [host.create(name).id for name in "ab"]
    host.platform.set_health(made[0], "a disk is gone")
    assert host.storage.health(made[0]) == Health(abnormal=True, message="a disk is gone")
    before = len(host.platform.calls)
    found = host.storage.healths([*made, MISSING])
    assert found == {made[0]: host.storage.health(made[0]), made[1]: Health(abnormal=False)}
    assert host.platform.calls[before:] == ["healths", "health"]
    with pytest.raises(NotFound):
        host.storage.health(MISSING)


def test_the_policy_asks_for_what_is_not_switched_off() -> None:
    assert MemoryStorage.policy(Sources(environ={})) == {"allow": ["create", "remove", "attach"]}
    less = MemoryStorage.policy(Sources(environ={"REXRAY_VOLUME_CREATE_DISABLE": "true"}))
    assert less == {"allow": ["remove", "attach"]}


# The platform and its settings


def test_drivers_of_the_same_settings_see_one_platform_and_others_do_not(host: Host) -> None:
    host.create()
    assert len(list(MemoryStorage(replace(host.settings, instance=THERE)).volumes())) == 1
    other = replace(host.settings, name=fresh_name(), file="")
    assert list(MemoryStorage(other).volumes()) == []
    assert MemoryStorage(host.settings).platform is host.platform


def test_a_wrong_password_is_refused_and_shown_nowhere(host: Host) -> None:
    host.platform.set_password("canary-right")
    wrong = MemoryStorage(replace(host.settings, password=Secret("canary-wrong")))
    with pytest.raises(Unauthorized) as told:
        wrong.create(VolumeSpec(name="data"))
    right = MemoryStorage(replace(host.settings, password=Secret("canary-right")))
    assert list(right.volumes()) == []
    assert "canary" not in f"{told.value!r} {wrong._settings} {host.platform.state()} {vars(wrong)}"
    assert Host(host.settings).node.instance().id == HERE


def test_reading_and_writing_end_with_the_volume(host: Host) -> None:
    made = host.create()
    host.platform.write(made.id, MIB - 3, b"end")
    assert host.platform.read(made.id, MIB - 4, 4) == b"\0end"
    for step in (lambda: host.platform.write(made.id, MIB - 2, b"end"), lambda: host.platform.read(made.id, MIB, 1)):
        with pytest.raises(InvalidRequest, match=f"are not in volume '{made.id}'"):
            step()
    host.platform.write(made.id, 0, bytes(MIB))
    assert host.platform.state().volumes[made.id].content == {}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"zones": ()}, "memory.zones"),
    ({"instances": ("host-1@moon",)}, "memory.instances: 'host-1@moon'"),
    ({"instances": ("@zone-1",)}, "memory.instances"),
    ({"instance": ""}, "memory.instance is empty"),
    ({"capacity": -1}, "memory.capacity: -1 is negative"),
    ({"max_volumes": -1}, "memory.maxVolumes"),
    ({"page_size": 0}, "memory.pageSize"),
    ({"timeout": 0.0}, "memory.timeout"),
]


@pytest.mark.parametrize(("values", "words"), WRONG)
def test_a_setting_that_cannot_be_honoured_is_refused(values: dict[str, Any], words: str) -> None:
    make: Callable[[], object] = lambda: MemoryStorage(MemorySettings(**values))  # noqa: E731
    with pytest.raises(SettingsError, match=words):
        make()


def test_a_file_that_holds_no_platform_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_text("Dear Sir")
    with pytest.raises(SettingsError, match=f"memory.file: {file} does not hold a platform"):
        list(MemoryStorage(MemorySettings(file=str(file))).volumes())
    with pytest.raises(SettingsError):
        Host(MemorySettings(file=str(file))).create()
    assert file.read_text() == "Dear Sir"
