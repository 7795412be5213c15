"""Snapshots: taken once, found, restored, deleted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfRange
from vfs_parts import GIB, Vfs, from_snapshot


@pytest.fixture
def data(vfs: Vfs) -> Path:
    """The directory of a volume with a file in it."""
    vfs.create("data", size=2 * GIB)
    (vfs.volume("data") / "file").write_text("then")
    return vfs.volume("data")


def test_a_snapshot_is_what_the_volume_was(vfs: Vfs, data: Path) -> None:
    before = time.time_ns()
    snapshot = vfs.snap("s", "data")
    assert (snapshot.snapshot_id, snapshot.source_volume_id, snapshot.size_bytes) == ("s", "data", 2 * GIB)
    assert snapshot.ready_to_use
    assert before <= snapshot.creation_time.ToNanoseconds() <= time.time_ns()
    (data / "file").write_text("now")
    assert (vfs.snapshot("s") / "file").read_text() == "then"


def test_taking_it_twice_is_taking_it_once(vfs: Vfs, data: Path) -> None:
    first = vfs.snap("s", "data")
    (data / "file").write_text("now")
    assert vfs.snap("s", "data") == first
    assert (vfs.snapshot("s") / "file").read_text() == "then"
    vfs.create("other")
    with pytest.raises(AlreadyExists, match=r"of 'data'.*of 'other'"):
        vfs.snap("s", "other")


def test_a_snapshot_outlives_its_volume_and_restores_it(vfs: Vfs, data: Path) -> None:
    vfs.snap("s", "data")
    vfs.delete("data")
    restored = vfs.create("again", source=from_snapshot("s"))
    assert restored.capacity_bytes == 2 * GIB
    assert restored.content_source.snapshot.snapshot_id == "s"
    assert (vfs.volume("again") / "file").read_text() == "then"
    assert vfs.create("again", source=from_snapshot("s")) == restored
    with pytest.raises(OutOfRange, match="source"):
        vfs.create("small", limit=GIB, source=from_snapshot("s"))


def test_what_does_not_exist_is_told(vfs: Vfs) -> None:
    with pytest.raises(NotFound, match="volume 'data'"):
        vfs.snap("s", "data")
    with pytest.raises(NotFound, match="snapshot 's'"):
        vfs.create("data", source=from_snapshot("s"))
    with pytest.raises(NotFound, match="snapshot 's'"):
        vfs.call(rpc.GET_SNAPSHOT, pb.GetSnapshotRequest(snapshot_id="s"))
    vfs.delete_snap("s")
    assert vfs.snaps(name="s").entries == []
    assert vfs.snaps(source="data").entries == []
    assert not vfs.leftovers()


def test_deleting_takes_the_copy(vfs: Vfs, data: Path) -> None:
    vfs.snap("s", "data")
    vfs.delete_snap("s")
    assert not vfs.snapshot("s").exists()
    assert vfs.snaps().entries == []
    assert (data / "file").exists()
    assert not vfs.leftovers()


def test_one_is_found_by_its_id_or_its_volume(vfs: Vfs, data: Path) -> None:
    vfs.create("other")
    for name, source in (("a", "data"), ("b", "other"), ("c", "data")):
        vfs.snap(name, source)

    def names(*, source: str = "", name: str = "") -> list[str]:
        return [entry.snapshot.snapshot_id for entry in vfs.snaps(source=source, name=name).entries]

    assert names() == ["a", "b", "c"]
    assert names(source="data") == ["a", "c"]
    assert names(name="b") == ["b"]
    assert names(name="b", source="data") == []
    assert vfs.call(rpc.GET_SNAPSHOT, pb.GetSnapshotRequest(snapshot_id="a")).snapshot == vfs.snap("a", "data")


def test_a_parameter_of_a_snapshot_is_named(vfs: Vfs, data: Path) -> None:
    request = pb.CreateSnapshotRequest(name="s", source_volume_id="data", parameters={"colour": "red"})
    with pytest.raises(InvalidRequest, match="'colour'"):
        vfs.call(rpc.CREATE_SNAPSHOT, request)
    request = pb.CreateSnapshotRequest(
        name="s", source_volume_id="data", parameters={"csi.storage.k8s.io/volumesnapshot/name": "x"}
    )
    vfs.call(rpc.CREATE_SNAPSHOT, request)
