"""Volumes come and go, as files and as the contract says it."""

from __future__ import annotations

import errno
import gc
import json
import os
import stat
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loop_parts import GIB, MIB, Host, room, run_script, tmpfs
from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    Unavailable,
)
from rexray.types import AttachmentState, VolumeId
from rexray_driver_loop.base import round_up
from rexray_driver_loop.files import told

LONGEST = "ä" * 64
NAMES = ["v", "Ünï-cödé", LONGEST, ".hidden", "a b", "-rf", "volume.json", "データ", "v.json.new"]
BAD_NAMES = ["", ".", "..", "a/b", "../../etc", "/etc", "a\0b", "a\nb", LONGEST + "x"]


def test_a_new_volume_is_what_was_asked_for(host: Host) -> None:
    before = datetime.now(UTC)
    volume = host.create("data", 5 * MIB)
    assert (volume.id, volume.name, volume.size_bytes, volume.type) == ("data", "data", 5 * MIB, "thin")
    assert (volume.state, volume.attachments, volume.fields) == (AttachmentState.AVAILABLE, (), {})
    assert not volume.encrypted
    assert volume.created is not None
    assert before <= volume.created <= datetime.now(UTC)
    assert host.get("data") == volume
    assert list(host.storage.volumes()) == [volume]
    assert list(host.storage.volumes_named("data")) == [volume]
    assert list(host.storage.volumes_named("dat")) == []
    assert host.data("data").stat().st_size == 5 * MIB
    assert room(host.data("data")) == 0


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_can_be_a_files(host: Host, name: str) -> None:
    volume = host.create(name)
    assert volume.id == name
    assert host.names() == [name]
    assert host.snap(name, name).id == name
    host.attach(name)
    host.detach(name)
    host.remove(name)
    host.remove_snap(name)
    assert host.names() == host.snaps() == []


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_leads_anywhere_else(host: Host, name: str) -> None:
    host.create("v")
    for call in (
        lambda: host.create(name),
        lambda: host.get(name),
        lambda: host.remove(name),
        lambda: host.attach(name),
        lambda: host.attach("v", name or "/"),
        lambda: host.detach(name),
        lambda: host.snap(name),
        lambda: host.snap("s", name),
        lambda: host.remove_snap(name),
        lambda: host.snaps(snapshot=name),
        lambda: host.expand(name, GIB),
        lambda: host.modify(name, type="thick"),
        lambda: host.rollback("v", name),
        lambda: host.disconnect(name),
        lambda: host.connect(name),
        lambda: list(host.storage.volumes_named(name)),
    ):
        with pytest.raises(InvalidRequest):
            call()
    assert host.names() == ["v"]
    assert sorted(path.name for path in host.root.parent.iterdir()) == ["root"]


@pytest.mark.parametrize(
    ("asked", "made"),
    [(0, 16 * GIB), (1, MIB), (MIB, MIB), (MIB + 1, 2 * MIB), (3 * GIB // 2, 3 * GIB // 2), (5 << 40, 5 << 40)],
)
def test_sizes_are_rounded_up_to_whole_mib(host: Host, asked: int, made: int) -> None:
    assert host.create("v", asked).size_bytes == made
    assert host.create("v", asked).size_bytes == made
    assert host.data().stat().st_size == made


@settings(deadline=None)
@given(st.integers(0, 1 << 50))
def test_rounding_gives_no_less_and_hardly_more(size: int) -> None:
    assert round_up(size) % MIB == 0
    assert max(size, MIB) <= round_up(size) < max(size, 1) + MIB


@pytest.mark.parametrize(
    ("error", "word", "asked"),
    [
        (InvalidRequest, "'fat'", {"type": "fat"}),
        (InvalidRequest, "iops 100", {"iops": 100}),
        (InvalidRequest, "'b'", {"zone": "b"}),
        (InvalidRequest, "'color'", {"options": {"color": "red"}}),
        (InvalidRequest, "below 0", {"size": -1}),
        (InvalidRequest, "a key was named", {"encryption_key": "k"}),
        (InvalidRequest, "copy of a volume and of a snapshot", {"source_volume": "a", "source_snapshot": "b"}),
        (NotFound, "volume 'none'", {"source_volume": "none"}),
        (NotFound, "snapshot 'none'", {"source_snapshot": "none"}),
        (OutOfRange, "bytes", {"size": 1 << 63}),
        (OutOfRange, "bytes", {"size": 1 << 70}),
    ],
)
def test_what_cannot_be_had_is_refused_and_leaves_nothing(
    host: Host, error: type[RexrayError], word: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(error, match=word):
        host.create("v", **asked)
    assert host.names() == []
    assert host.leftovers() == []
    assert not (host.root / "volumes/v").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"size": MIB}, {"size": 2 * MIB}),
        ({"type": "thin"}, {"type": "thick"}),
        ({}, {"source_volume": "old"}),
        ({}, {"source_snapshot": "snap"}),
        ({"source_volume": "old"}, {}),
        ({"source_volume": "old"}, {"source_snapshot": "snap"}),
        ({}, {"encrypted": True}),
    ],
)
def test_a_volume_that_differs_is_named_with_both_states(
    host: Host, before: dict[str, Any], after: dict[str, Any]
) -> None:
    host.create("old")
    host.snap("snap", "old")
    made = host.create("v", **before)
    with pytest.raises(AlreadyExists, match=r"volume 'v' exists with .* bytes.*, and was asked for with .* bytes"):
        host.create("v", **after)
    assert host.get() == made
    assert host.create("v", **before) == made


def test_what_is_left_open_may_be_anything(host: Host) -> None:
    made = host.create("v", 3 * MIB, type="thick")
    assert host.create("v", 0) == made
    host.attach()
    assert host.create("v", 3 * MIB).state is AttachmentState.ATTACHED


def test_a_thick_volume_has_its_room(host: Host) -> None:
    volume = host.create("v", 8 * MIB, type="thick")
    assert volume.type == "thick"
    assert room(host.data()) >= 8 * MIB


@pytest.mark.needs("root")
def test_a_thick_volume_without_room_leaves_nothing(root: Path, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 16 * MIB) as small:
        host = Host(small / "root")
        host.create("old", 4 * MIB, type="thick")
        before = os.statvfs(small).f_bfree
        with pytest.raises(OutOfCapacity, match="are left"):
            host.create("v", 64 * MIB, type="thick")
        assert os.statvfs(small).f_bfree == before
        with pytest.raises(OutOfCapacity):
            host.modify(host.create("thin", 64 * MIB).id, type="thick")
        with pytest.raises(OutOfCapacity):
            host.expand("old", 64 * MIB)
        assert host.get("old").size_bytes == host.data("old").stat().st_size == 4 * MIB
        assert host.get("thin").type == "thin"
        host.write("thin", b"x" * (8 * MIB))
        with pytest.raises(OutOfCapacity):
            host.snap("s", "thin")
        with pytest.raises(OutOfCapacity):
            host.clone("c", "thin")
        assert (host.names(), host.snaps(), host.leftovers()) == (["old", "thin"], [], [])


def test_removing_is_idempotent_and_leaves_nothing(host: Host) -> None:
    host.create("v")
    host.create("w")
    host.snap("s", "v")
    host.remove("v")
    host.remove("v")
    assert host.names() == ["w"]
    assert host.snaps() == ["s"]
    assert not (host.root / "volumes/v").exists()
    assert host.leftovers() == []
    with pytest.raises(NotFound, match="volume 'v' does not exist"):
        host.get("v")


def test_everything_is_the_owners_only(root: Path) -> None:
    old = os.umask(0)
    try:
        host = Host(root, "öther")
        host.create("v")
        host.snap("s")
        host.attach("v")
    finally:
        os.umask(old)
    for path in (host.root, *host.root.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_what_somebody_else_put_there_is_no_volume(host: Host, tmp_path: Path) -> None:
    host.create("v")
    folder = host.root / "volumes"
    (folder / "empty").mkdir()
    (folder / "file").touch()
    (folder / "link").symlink_to(folder / "v")
    (folder / "damaged").mkdir()
    (folder / "damaged/volume.json").write_text('{"uid": "x"')
    (folder / "newer").mkdir()
    (folder / "newer/volume.json").write_text('{"uid": "x", "size_bytes": 1, "colour": "red"}')
    assert host.names() == ["v"]
    for name in ("empty", "file", "link"):
        with pytest.raises(NotFound):
            host.get(name)
        host.remove(name)
        with pytest.raises(AlreadyExists, match="is no volume"):
            host.create(name)
        assert os.path.lexists(folder / name)
    for name in ("damaged", "newer"):
        with pytest.raises(RexrayError, match=r"volume\.json is damaged"):
            host.get(name)
    assert (folder / "v/data").stat().st_size == MIB
    assert host.leftovers() == []


def test_a_data_file_that_became_a_link_is_not_followed(host: Host, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_bytes(b"secret" * MIB)
    host.create("v")
    host.data().unlink()
    host.data().symlink_to(treasure)
    for call in (
        lambda: host.snap(),
        lambda: host.clone("c", "v"),
        lambda: host.expand("v", GIB),
        lambda: host.modify(type="thick"),
        lambda: host.connect(),
    ):
        with pytest.raises(RexrayError):
            call()
    assert treasure.stat().st_size == 6 * MIB
    host.detach()
    host.remove()
    assert treasure.exists()


@pytest.mark.parametrize("root_is_link", [False, True])
def test_a_root_behind_a_link_is_shown_as_the_kernel_shows_it(tmp_path: Path, root_is_link: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    host = Host(tmp_path / ("link" if root_is_link else "real"))
    host.create()
    assert host.attach().token == str((tmp_path / "real").resolve() / "volumes/v/data")


def test_ten_thousand_volumes_are_listed_in_no_time_and_little_memory(host: Host) -> None:
    host.create("v000000")
    content = (host.root / "volumes/v000000/volume.json").read_text()
    for number in range(1, 10_000):
        folder = host.root / "volumes" / f"v{number:06}"
        folder.mkdir()
        (folder / "volume.json").write_text(content)
    start = time.perf_counter()
    names = host.names()
    seconds = time.perf_counter() - start
    assert len(names) == 10_000
    assert names == sorted(names)
    assert seconds < 2.0, f"{seconds:.2f} s, and 0.5 s on a quiet machine"
    gc.collect()
    tracemalloc.start()
    for _ in host.storage.volumes():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_listing_opens_no_data_and_survives_what_vanishes(host: Host) -> None:
    for name in "abc":
        host.create(name)
        host.data(name).unlink()
    found = host.storage.volumes()
    assert next(found).id == "a"
    host.remove("b")
    assert [volume.id for volume in found] == ["c"]


def test_another_process_sees_the_same(host: Host) -> None:
    script = (
        "import sys; from pathlib import Path; from loop_parts import Host; Host(Path(sys.argv[1]), 'x').create('v')"
    )
    assert run_script(script, host.root).status == 0
    assert host.names() == ["v"]
    assert [instance.id for instance in host.storage.instances()] == ["here", "x"]


def test_a_root_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RexrayError, match=r"using .*file"):
        Host(tmp_path / "file")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, OutOfCapacity),
        (errno.EDQUOT, OutOfCapacity),
        (errno.EFBIG, OutOfRange),
        (errno.EPERM, Forbidden),
        (errno.EIO, Unavailable),
        (errno.ENOTCONN, Unavailable),
        (errno.ETIMEDOUT, Unavailable),
        (errno.EHOSTDOWN, Unavailable),
        (errno.ELOOP, RexrayError),
    ],
)
def test_what_the_kernel_refuses_is_one_of_our_errors(code: int, error: type[RexrayError]) -> None:
    with pytest.raises(error, match="trying: /file: ") as caught, told("trying"):
        raise OSError(code, os.strerror(code), "/file")
    assert type(caught.value) is error


def test_metadata_holds_what_the_contract_shows(host: Host) -> None:
    host.create("v")
    kept = json.loads((host.root / "volumes/v/volume.json").read_text())
    assert (kept["size_bytes"], kept["type"], kept["attached_to"]) == (MIB, "thin", "")
    assert host.storage.volume(VolumeId("v")).size_bytes == MIB
