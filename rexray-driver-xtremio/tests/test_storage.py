"""Volumes of the array: made once, found by name and id, grown, removed; each call twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from rexray.drivers import StorageDriver
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange, RexrayError, Unsupported
from rexray.mixins import Clone, Expand, GroupSnapshots, HasCapacity, Rollback, Snapshots, Topology
from rexray.types import AttachmentState, VolumeId, VolumeSpec
from rexray_driver_xtremio.names import LONGEST, array_name
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_parts import GIB, HERE, NOWHERE, changes, driver, fails, maps, named, of, spec

MIB = 1 << 20
LONG = "a volume of the shop in Zürich, with a name that is rather long " * 2


def test_it_is_a_storage_driver_with_what_the_array_can() -> None:
    for kind in (StorageDriver, Snapshots, GroupSnapshots, Clone, Expand, HasCapacity, Rollback):
        assert issubclass(XtremIoStorage, kind)
    assert not issubclass(XtremIoStorage, Topology)


def test_a_volume_is_made_once_and_told_as_it_is(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 3))
    again = storage.create(spec("data", 3))
    content = each_xms.volume("data")
    assert content is not None
    assert made == again == storage.volume(made.id)
    assert (made.id, made.name, made.size_bytes) == (content["vol-id"][0], "data", 3 * GIB)
    assert (made.state, made.attachments) == (AttachmentState.AVAILABLE, ())
    assert made.created is not None
    assert named(each_xms) == ["data"]


def test_a_volume_without_a_size_has_16_gib(storage: XtremIoStorage) -> None:
    assert storage.create(spec("data")).size_bytes == 16 * GIB
    assert storage.create(spec("data")).size_bytes == 16 * GIB


def test_sizes_are_whole_mib(storage: XtremIoStorage) -> None:
    assert storage.create(VolumeSpec(name="small", size_bytes=1)).size_bytes == MIB
    assert storage.create(VolumeSpec(name="odd", size_bytes=5 * MIB + 1)).size_bytes == 6 * MIB


def test_a_size_beyond_the_limit_makes_nothing(xms: Xms, storage: XtremIoStorage) -> None:
    odd = VolumeSpec(name="odd", size_bytes=5 * MIB + 1, limit_bytes=5 * MIB + 2)
    for wish in (odd, spec("none", limit_bytes=GIB)):
        fails(OutOfRange, "limit", partial(storage.create, wish))
    assert changes(xms) == []


def test_another_size_is_told_with_both(each_xms: Xms) -> None:
    storage = driver(each_xms)
    storage.create(spec("data", 3))
    fails(AlreadyExists, f"{3 * GIB} bytes.*{4 * GIB} bytes", lambda: storage.create(spec("data", 4)))
    storage.create(spec("large", 20))
    fails(AlreadyExists, "more than was asked for", lambda: storage.create(spec("large", limit_bytes=17 * GIB)))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (InvalidRequest, {"type": "fast"}),
        (InvalidRequest, {"iops": 5}),
        (InvalidRequest, {"zone": "a"}),
        (InvalidRequest, {"options": {"colour": "red"}}),
        (InvalidRequest, {"size_bytes": -1}),
        (OutOfRange, {"size_bytes": 1 << 66}),
        (Unsupported, {"encrypted": True}),
    ],
)
def test_what_the_array_cannot_is_refused(
    xms: Xms, storage: XtremIoStorage, kind: type[RexrayError], more: dict[str, Any]
) -> None:
    fails(kind, "volume 'data'", lambda: storage.create(VolumeSpec(**{"name": "data", "size_bytes": GIB, **more})))
    assert changes(xms) == []


def test_a_volume_is_found_by_its_name(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    storage.create(spec("data2", 1))
    assert list(storage.volumes_named("data")) == [made]
    assert list(storage.volumes_named("dat")) == []
    assert {volume.name for volume in storage.volumes()} == {"data", "data2"}


@pytest.mark.parametrize("name", [LONG, "日本語", "123", "with blank", "x.snap", "x.group", "a/b", "-x", "v" * 200])
def test_any_name_works_and_comes_back_in_full(each_xms: Xms, name: str) -> None:
    storage = driver(each_xms)
    made = storage.create(spec(name, 1))
    assert made.name == name
    assert storage.create(spec(name, 1)) == made
    assert list(storage.volumes_named(name)) == [made]
    [on_array] = named(each_xms)
    assert on_array == array_name(name) != name
    assert len(on_array) <= LONGEST
    assert not on_array.isdigit()
    storage.remove(made.id)
    assert named(each_xms) == []


def test_names_on_the_array_are_stable_and_tell_names_apart() -> None:
    assert array_name("data") == "data"
    assert array_name("data", ".snap") == "data.snap"
    assert array_name("a b") == array_name("a b") != array_name("a-b")
    assert array_name("a b").startswith("a-b-")
    assert len({array_name("x" * count) for count in range(40, 90)}) == 50
    fails(InvalidRequest, "no text", lambda: array_name("\ud800"))


def test_a_name_that_is_no_text_is_nobodys(storage: XtremIoStorage) -> None:
    assert list(storage.volumes_named("\ud800")) == []


def test_a_strangers_volume_is_a_volume_too(xms: Xms, storage: XtremIoStorage) -> None:
    xms.fill(1, prefix="with blank ")
    assert [volume.name for volume in storage.volumes_named("with blank 00000")] == ["with blank 00000"]


@pytest.mark.parametrize("wrong", ["", "data", "../x", "0" * 31, "0" * 33, "G" * 32, "name=1"])
def test_what_is_no_id_is_not_found_without_a_call_about_it(xms: Xms, storage: XtremIoStorage, wrong: str) -> None:
    fails(NotFound, "does not exist", lambda: storage.volume(VolumeId(wrong)))
    storage.remove(VolumeId(wrong))
    assert not [call for call in xms.calls if "volumes" in call.path]


def test_a_missing_volume_is_not_found_and_removing_it_success(each_xms: Xms) -> None:
    storage = driver(each_xms)
    fails(NotFound, NOWHERE, lambda: storage.volume(NOWHERE))
    fails(NotFound, NOWHERE, lambda: storage.expand(NOWHERE, GIB))
    fails(NotFound, NOWHERE, lambda: storage.attachments(NOWHERE))
    storage.remove(NOWHERE)
    storage.detach(NOWHERE)
    assert changes(each_xms) == []


def test_removing_twice_is_removing_once(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    storage.remove(made.id)
    storage.remove(made.id)
    assert named(each_xms) == []
    fails(NotFound, made.id, lambda: storage.volume(made.id))


def test_an_id_is_never_the_next_volumes_that_got_the_index(each_xms: Xms) -> None:
    storage, other = driver(each_xms), driver(each_xms)
    old = storage.create(spec("old", 1))
    other.remove(old.id)
    new = other.create(spec("new", 1))
    assert new.fields["index"] == old.fields["index"]
    storage.remove(old.id)
    storage.detach(old.id)
    fails(NotFound, old.id, lambda: storage.expand(old.id, 2 * GIB))
    fails(NotFound, old.id, lambda: storage.attach(old.id, HERE))
    assert named(each_xms) == ["new"]
    assert storage.volume(new.id).size_bytes == GIB
    assert maps(each_xms) == []


@pytest.mark.parametrize("delete_mapped", ["refuse", "cascade"])
@pytest.mark.parametrize("force", [False, True])
def test_an_attached_volume_is_not_removed(xms: Xms, storage: XtremIoStorage, delete_mapped: str, force: bool) -> None:
    xms.switches.delete_mapped = delete_mapped  # type: ignore[assignment]
    made = storage.create(spec("data", 1))
    storage.attach(made.id, HERE)
    fails(InUse, f"attached to {HERE}", lambda: storage.remove(made.id, force=force))
    assert "DELETE volumes" not in changes(xms)
    storage.detach(made.id)
    storage.remove(made.id)
    assert named(xms) == []


def test_a_volume_with_clones_is_the_arrays_to_decide(xms: Xms, storage: XtremIoStorage) -> None:
    xms.switches.delete_with_snapshots = False
    made = storage.create(spec("data", 1))
    clone = storage.create(spec("clone", source_volume=made.id))
    fails(InUse, r"snapshots or clones \(clone\).*vol_has_snapshots", lambda: storage.remove(made.id))
    xms.switches.delete_with_snapshots = True
    storage.remove(made.id)
    assert storage.volume(clone.id).name == "clone"


def test_volumes_grow_and_never_shrink(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 2))
    assert storage.expand(made.id, 2 * GIB + 1).size_bytes == 2 * GIB + MIB
    assert storage.expand(made.id, 2 * GIB + 1).size_bytes == 2 * GIB + MIB
    assert storage.expand(made.id, GIB).size_bytes == 2 * GIB + MIB
    assert changes(each_xms) == ["POST volumes", "PUT volumes"]
    fails(OutOfRange, "limit", lambda: storage.expand(made.id, 3 * GIB + 1, limit_bytes=3 * GIB + 2))


def test_a_clone_is_a_volume_of_its_own(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 2))
    clone = storage.create(spec("copy", **of(made)))
    assert storage.create(spec("copy", **of(made))) == clone
    assert clone.fields["ancestor"] == made.id
    assert clone.size_bytes == 2 * GIB
    assert {volume.name for volume in storage.volumes()} == {"data", "copy"}
    assert list(storage.snapshots()) == []
    storage.remove(made.id)
    storage.remove(clone.id)
    assert named(each_xms) == []


def test_a_larger_clone_is_grown(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 2))
    clone = storage.create(spec("copy", 5, **of(made)))
    assert storage.create(spec("copy", 5, **of(made))) == clone
    assert (clone.size_bytes, storage.volume(made.id).size_bytes) == (5 * GIB, 2 * GIB)
    fails(AlreadyExists, f"{5 * GIB} bytes.*{6 * GIB}", lambda: storage.create(spec("copy", 6, **of(made))))
    assert named(each_xms) == ["copy", "data"]


def test_a_clone_cannot_be_smaller_nor_of_nothing(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 2))
    fails(OutOfRange, "less than", lambda: storage.create(spec("copy", 1, **of(made))))
    fails(OutOfRange, "limit", lambda: storage.create(spec("copy", limit_bytes=GIB, **of(made))))
    fails(NotFound, "its source", lambda: storage.create(spec("copy", source_volume=NOWHERE)))
    fails(NotFound, "its source", lambda: storage.create(spec("copy", source_snapshot=made.id)))
    assert named(each_xms) == ["data"]


def test_the_name_of_what_is_no_clone_of_that_is_told_with_both(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    storage.create(spec("clone", **of(other)))
    fails(AlreadyExists, f"no copy.*{made.id}", lambda: storage.create(spec("other", **of(made))))
    fails(AlreadyExists, f"copy of '{other.id}'.*{made.id}", lambda: storage.create(spec("clone", **of(made))))


@pytest.mark.parametrize("empty_sets", ["gone", "kept"])
@pytest.mark.parametrize("snapshot_names", ["suffix", "opaque"])
@pytest.mark.parametrize("snapshot_link", ["snapshots", "volumes", "snapshot-sets"])
@pytest.mark.parametrize("rename_key", ["both", "vol-name", "name"])
def test_a_clone_is_made_whatever_the_array_calls_it(
    xms: Xms, storage: XtremIoStorage, empty_sets: str, snapshot_names: str, snapshot_link: str, rename_key: str
) -> None:
    for key, value in {
        "empty_sets": empty_sets,
        "snapshot_names": snapshot_names,
        "snapshot_link": snapshot_link,
        "rename_key": rename_key,
    }.items():
        setattr(xms.switches, key, value)
    made = storage.create(spec("data", 1))
    for _ in range(3):
        clone = storage.create(spec("copy", 2, **of(made)))
        assert named(xms) == ["copy", "data"]
        storage.remove(clone.id)
    assert named(xms) == ["data"]


def test_a_clone_that_somebody_renamed_is_left_alone(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    first = storage.create(spec("copy", **of(made)))
    renamed = xms.cluster().volumes.named("copy")
    assert renamed is not None
    xms.cluster().volumes.rename(renamed, "kept")
    second = storage.create(spec("copy", **of(made)))
    assert first.id != second.id
    assert storage.volume(first.id).name == "kept"
    assert named(xms) == ["copy", "data", "kept"]


@pytest.mark.parametrize("digit_strings", ["index", "name"])
@pytest.mark.parametrize("missing", ["vol_obj_not_found", "obj_not_found"])
def test_a_strangers_volume_whose_name_is_digits_is_that_one(
    xms: Xms, storage: XtremIoStorage, digit_strings: str, missing: str
) -> None:
    """Its name is the other volume's index."""
    xms.switches.digit_strings, xms.switches.missing_volume = digit_strings, missing  # type: ignore[assignment]
    first = storage.create(spec("first", 1))
    xms.fill(1, prefix="x")
    strange = xms.cluster().volumes.named("x00000")
    assert strange is not None
    xms.cluster().volumes.rename(strange, first.fields["index"])
    volume = VolumeId(strange.guid)
    storage.attach(volume, HERE)
    assert maps(xms) == [(first.fields["index"], HERE)]
    storage.create(spec("clone", source_volume=volume))
    assert storage.expand(volume, 2 * GIB).size_bytes == 2 * GIB
    storage.detach(volume)
    storage.remove(volume)
    assert named(xms) == ["clone", "first"]


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("has_xms", [False, True])
def test_old_arrays_whatever_they_take(old_xms: Xms, by_index: bool, has_xms: bool) -> None:
    old_xms.switches.v1_post_by_index_ok, old_xms.switches.xms_below_4 = by_index, has_xms
    storage = driver(old_xms)
    made = storage.create(spec("data", 1))
    storage.attach(made.id, HERE)
    storage.create_snapshot(made.id, "kept")
    assert named(old_xms) == ["data", "kept.snap"]
    assert maps(old_xms) == [("data", HERE)]
