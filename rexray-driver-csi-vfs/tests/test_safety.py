"""Whatever a caller says, nothing outside of what it may name is touched."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, Busy, InUse, InvalidRequest, NotFound, NotReady, RexrayError
from vfs_parts import (
    MIB,
    NODE,
    Vfs,
    capability,
    from_snapshot,
    from_volume,
    mounts_below,
    run_script,
    tree,
    unmount_below,
)

HOSTILE = [
    "..",
    ".",
    "../victim",
    "../../victim",
    "/etc",
    "a/b",
    "a/../../victim",
    "data/",
    "nul\0byte",
    "new\nline",
    "\x1b[31m",
    "\u2028",
    "x" * 129,
    "é" * 65,
    "x" * 5000,
    ".rexray",
]

IDS = ("name", "volume_id", "snapshot_id", "source_volume_id", "group_snapshot_id")


def fill(request: Message, value: str, paths: Path) -> Message:
    """A request whose ids all say that, and that has everything else that it needs."""
    chosen: dict[str, object] = {
        "staging_target_path": str(paths / "staging"),
        "target_path": str(paths / "target"),
        "volume_path": str(paths / "target"),
        "node_id": NODE,
    }
    for field in request.DESCRIPTOR.fields:
        if field.name in IDS:
            setattr(request, field.name, value)
        elif field.name == "source_volume_ids":
            getattr(request, field.name).append(value)
        elif field.name in chosen:
            setattr(request, field.name, chosen[field.name])
        elif field.name == "volume_capability":
            getattr(request, field.name).CopyFrom(capability())
        elif field.name == "volume_capabilities":
            getattr(request, field.name).append(capability())
        elif field.name == "capacity_range":
            getattr(request, field.name).CopyFrom(pb.CapacityRange(required_bytes=MIB))
    return request


WITH_IDS = [
    call
    for call in rpc.CALLS
    if call.service != "SnapshotMetadata" and any(field.name in IDS for field in call.request.DESCRIPTOR.fields)
]


@pytest.fixture
def guarded(home: Path) -> Vfs:
    """A plug-in with neighbours that nothing may touch."""
    for place in (home / "victim", home / "data" / "victim"):
        place.mkdir(parents=True)
        (place / "file").write_text("precious")
    (home / "data/victim.json").write_text("{}")
    (home / "victim.json").write_text("{}")
    return Vfs(home)


def neighbours(vfs: Vfs) -> object:
    return (
        tree(vfs.home / "victim"),
        tree(vfs.data / "victim"),
        sorted(os.listdir(vfs.home)),
        sorted(os.listdir(vfs.data)),
    )


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
@pytest.mark.parametrize("call", WITH_IDS, ids=lambda call: call.name)
def test_a_hostile_id_is_refused_by_every_call(guarded: Vfs, call: rpc.Call[Message, Message], value: str) -> None:
    before = neighbours(guarded)
    request = fill(call.request(), value, guarded.paths)
    if call is rpc.LIST_SNAPSHOTS:
        request.source_volume_id = ""  # type: ignore[attr-defined]
    own_name = value == ".rexray" and call.service == "GroupController" and call is not rpc.CREATE_VOLUME_GROUP_SNAPSHOT
    if own_name:
        return  # groups have a directory of their own, where that is a name like any other
    with pytest.raises(InvalidRequest):
        guarded.call(call, request)
    assert neighbours(guarded) == before
    assert not guarded.leftovers()


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_source_is_refused(guarded: Vfs, value: str) -> None:
    for source in (from_volume(value), from_snapshot(value)):
        with pytest.raises(InvalidRequest):
            guarded.create("data", source=source)
    assert guarded.names() == []


def test_every_field_that_is_required_is_missed(vfs: Vfs) -> None:
    for call in WITH_IDS:
        if call is not rpc.LIST_SNAPSHOTS:
            with pytest.raises(InvalidRequest, match="missing"):
                vfs.call(call, call.request())


texts = st.one_of(
    st.sampled_from([*HOSTILE, "data", "victim"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=140),
    st.lists(st.sampled_from(["..", ".", "victim", "data", "vol", "", "\0"]), max_size=6).map("/".join),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_no_call_touches_anything_outside(guarded: Vfs, data: st.DataObject) -> None:
    before = neighbours(guarded)
    call = data.draw(st.sampled_from(WITH_IDS))
    request = fill(call.request(), data.draw(texts), guarded.paths)
    for field in ("target_path", "staging_target_path", "volume_path", "node_id"):
        if field in call.request.DESCRIPTOR.fields_by_name:
            setattr(request, field, data.draw(st.sampled_from(["", f"{guarded.home}/"])) + data.draw(texts))
    with contextlib.suppress(RexrayError):
        guarded.call(call, request)
    assert neighbours(guarded) == before
    assert not guarded.leftovers()
    unmount_below(guarded.home)


@pytest.mark.parametrize(
    "path",
    ["relative/path", "", "/a/../b", "/nul\0byte", "/" + "x" * 300, "/" + "x/" * 3000, "."],
    ids=lambda path: ascii(path[:20]),
)
def test_a_path_that_is_none_is_refused(vfs: Vfs, path: str) -> None:
    vfs.create("data")
    steps = ("NodeStageVolume", "NodeUnstageVolume", "NodePublishVolume", "NodeUnpublishVolume")
    for call in (call for call in WITH_IDS if call.name in steps):
        request = fill(call.request(), "data", vfs.paths)
        field = "target_path" if "target_path" in call.request.DESCRIPTOR.fields_by_name else "staging_target_path"
        setattr(request, field, path)
        with pytest.raises(InvalidRequest, match=field):
            vfs.call(call, request)


@pytest.mark.needs("root")
def test_our_own_directories_are_no_place_to_mount_at(vfs: Vfs, home: Path) -> None:
    vfs.create("data")
    vfs.create("other")
    vfs.attach("data")
    (home / "alias").symlink_to(vfs.data)
    places = [
        *(vfs.data / place for place in ("vol/data", "vol/other", "dev/data", "mnt/data", "snap", "vol/.rexray")),
        vfs.data,
        home,
        Path("/"),
        home / "alias/vol/data",
        Path(f"{vfs.data}//vol/./data"),
    ]
    for place in places:
        with pytest.raises(InvalidRequest, match="overlaps"):
            vfs.stage("data", place)
        with pytest.raises(InvalidRequest, match="overlaps"):
            vfs.publish("data", staging=place)
        with pytest.raises(InvalidRequest, match="overlaps"):
            vfs.publish("data", place, staging="")
        with pytest.raises(InvalidRequest, match="overlaps"):
            vfs.unpublish("data", place)
    assert vfs.names() == ["data", "other"]
    assert [mount.target for mount in mounts_below(home)] == [str(vfs.device("data"))]


def test_a_symbolic_link_is_no_volume(guarded: Vfs) -> None:
    guarded.volume("link").symlink_to(guarded.home / "victim")
    before = neighbours(guarded)
    assert guarded.names() == []
    for use in (guarded.get, guarded.attach, lambda name: guarded.snap("s", name)):
        with pytest.raises(NotFound):
            use("link")
    guarded.delete("link")
    assert guarded.volume("link").is_symlink()
    with pytest.raises(AlreadyExists, match="not a directory"):
        guarded.create("link")
    assert neighbours(guarded) == before


def test_deleting_removes_links_and_not_what_they_lead_to(guarded: Vfs) -> None:
    guarded.create("data")
    before = neighbours(guarded)
    os.symlink(guarded.home / "victim", guarded.volume("data") / "link")
    os.symlink(guarded.home / "victim/file", guarded.volume("data") / "file")
    guarded.delete("data")
    assert neighbours(guarded) == before


@pytest.mark.needs("root")
@pytest.mark.parametrize("through_link", [False, True])
def test_a_mount_inside_a_volume_keeps_it_from_being_deleted(home: Path, through_link: bool) -> None:
    (home / "data").mkdir()
    (home / "alias").symlink_to(home / "data")
    vfs = Vfs(home, data=home / ("alias" if through_link else "data"))
    (home / "victim").mkdir()
    (home / "victim/file").write_text("precious")
    vfs.create("data")
    inside = vfs.volume("data") / "inside"
    inside.mkdir()
    mounts.bind(home / "victim", inside)
    with pytest.raises(InUse, match="inside"):
        vfs.delete("data")
    assert (inside / "file").read_text() == "precious"
    mounts.unmount(inside)
    vfs.delete("data")
    assert (home / "victim/file").read_text() == "precious"


needs_root = pytest.mark.needs("root")


@needs_root
def test_unpublishing_a_directory_with_something_in_it_deletes_nothing(vfs: Vfs) -> None:
    vfs.create("data")
    target = vfs.mount("data")
    (target / "in the volume").touch()
    mounts.unmount(target)
    (target / "below the mount").touch()
    with pytest.raises(InUse, match="cannot be removed"):
        vfs.unpublish("data")
    assert (target / "below the mount").exists()
    assert (vfs.volume("data") / "in the volume").exists()
    (target / "below the mount").unlink()
    vfs.unpublish("data")
    assert not target.exists()


def test_unpublishing_what_was_never_published_touches_nothing(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.target("data").mkdir()
    vfs.unpublish("data")
    vfs.unpublish("missing")
    assert vfs.target("data").is_dir()


def foreign_mount(vfs: Vfs, path: Path) -> None:
    (vfs.home / "foreign").mkdir(exist_ok=True)
    path.mkdir(exist_ok=True)
    mounts.bind(vfs.home / "foreign", path)


@needs_root
def test_a_mount_of_somebody_else_is_left_alone_by_every_step(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data")
    foreign_mount(vfs, vfs.staging("data"))
    foreign_mount(vfs, vfs.target("data"))
    before = [mount.id for mount in mounts_below(vfs.home)]
    steps: list[Callable[[], None]] = [
        lambda: vfs.stage("data"),
        lambda: vfs.unstage("data"),
        lambda: vfs.publish("data", staging=""),
        lambda: vfs.unpublish("data"),
        lambda: vfs.unpublish("missing", vfs.target("data")),
        lambda: vfs.unstage("missing", vfs.staging("data")),
    ]
    for step in steps:
        with pytest.raises(InUse, match="something else"):
            step()
    assert [mount.id for mount in mounts_below(vfs.home)] == before
    assert list((vfs.data / "mnt/.rexray/meta").iterdir()) == []
    with pytest.raises(NotReady):
        vfs.publish("data", vfs.target("second"))


@needs_root
def test_a_foreign_mount_on_top_of_ours_stays(vfs: Vfs) -> None:
    vfs.create("data")
    foreign_mount(vfs, vfs.mount("data"))
    for step in (vfs.publish, vfs.unpublish):
        with pytest.raises(InUse, match="something else"):
            step("data")
    mounts.unmount(vfs.target("data"))
    vfs.unmount("data")


@needs_root
def test_an_attach_over_a_foreign_mount_is_refused_and_not_noted(vfs: Vfs) -> None:
    vfs.create("data")
    foreign_mount(vfs, vfs.device("data"))
    with pytest.raises(InUse, match="something else"):
        vfs.attach("data")
    assert not vfs.get("data").status.published_node_ids


@needs_root
def test_another_volume_s_staging_path_is_not_taken_for_this_one_s(vfs: Vfs) -> None:
    for name in "ab":
        vfs.create(name)
        vfs.attach(name)
    vfs.stage("a")
    with pytest.raises(NotReady):
        vfs.publish("b", staging=vfs.staging("a"))
    with pytest.raises(InUse):
        vfs.unstage("b", vfs.staging("a"))
    assert not vfs.target("b").exists()


@needs_root
@pytest.mark.parametrize("obstacle", ["file", "link", "missing parent", "parent is a file"])
def test_what_is_in_the_way_is_named_and_the_state_is_as_before(vfs: Vfs, obstacle: str) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.stage("data")
    target = vfs.target("data")
    match obstacle:
        case "file":
            target.touch()
        case "link":
            (vfs.home / "elsewhere").mkdir()
            target.symlink_to(vfs.home / "elsewhere")
        case "missing parent":
            target = vfs.paths / "missing/target"
        case "parent is a file":
            target.touch()
            target = target / "target"
    before = tree(vfs.data / "mnt"), [mount.id for mount in mounts_below(vfs.home)], tree(vfs.paths)
    with pytest.raises(InvalidRequest, match="target"):
        vfs.publish("data", target)
    with pytest.raises(InvalidRequest, match="target"):
        vfs.stage("data", target)
    assert (tree(vfs.data / "mnt"), [mount.id for mount in mounts_below(vfs.home)], tree(vfs.paths)) == before


@needs_root
def test_what_is_used_can_be_neither_detached_nor_deleted(vfs: Vfs) -> None:
    vfs.create("data")
    target = vfs.mount("data")
    (target / "file").write_text("precious")
    for step in (vfs.detach, vfs.delete):
        with pytest.raises(InUse):
            step("data")
    assert (target / "file").read_text() == "precious"
    inside = os.open(target, os.O_RDONLY)
    with pytest.raises(InUse, match="busy"):
        vfs.unpublish("data")
    os.close(inside)
    vfs.unmount("data")
    vfs.delete("data")


def test_what_is_being_copied_is_not_deleted(vfs: Vfs) -> None:
    vfs.create("data")
    for folder in range(30):
        (vfs.volume("data") / str(folder)).mkdir()
        for number in range(200):
            (vfs.volume("data") / f"{folder}/{number}").touch()
    copy = threading.Thread(target=lambda: vfs.snap("s", "data"))
    copy.start()
    while not any((vfs.data / "snap/.rexray/tmp").glob("*/entry/*")):
        time.sleep(0.001)
    with pytest.raises(Busy, match="being copied"):
        vfs.delete("data")
    copy.join()
    assert len(list(vfs.snapshot("s").rglob("*"))) == 30 * 201
    vfs.delete("data")


AS_NOBODY = """
import sys
from pathlib import Path
from rexray.errors import Forbidden
from vfs_parts import Vfs, become_nobody
become_nobody()
vfs = Vfs(Path(sys.argv[1]))
vfs.create("data")
for _ in range(2):
    try:
        vfs.attach("data")
    except Forbidden as error:
        print("forbidden:", error)
assert not vfs.get("data").status.published_node_ids
assert not vfs.device("data").exists()
vfs.snap("s", "data")
vfs.detach("data")
vfs.delete("data")
"""

DROP = """
import sys
from pathlib import Path
from rexray.errors import Forbidden
from vfs_parts import Vfs, become_nobody, tree
become_nobody()
vfs = Vfs(Path(sys.argv[1]))
before = tree(vfs.data / "mnt"), tree(vfs.paths)
for step in (vfs.stage, lambda name: vfs.publish(name, staging=""), vfs.detach):
    try:
        step("data")
    except Forbidden as error:
        print("forbidden:", error)
assert (tree(vfs.data / "mnt"), tree(vfs.paths)) == before
assert vfs.get("data").status.published_node_ids
"""


@needs_root
def test_without_root_mounting_is_forbidden_and_the_state_is_as_before(nobodys_home: Path) -> None:
    ended = run_script(AS_NOBODY, nobodys_home)
    assert ended.status == 0, ended.errors
    assert ended.output.count("forbidden:") == 2


@needs_root
def test_losing_root_later_leaves_what_is_mounted(nobodys_home: Path) -> None:
    vfs = Vfs(nobodys_home)
    vfs.create("data")
    vfs.attach("data")
    for folder in (vfs.data, vfs.paths):
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 65534, 65534)
    ended = run_script(DROP, nobodys_home)
    assert ended.status == 0, ended.errors
    assert ended.output.count("forbidden:") == 3
    assert mounts.is_mount_point(vfs.device("data"))
