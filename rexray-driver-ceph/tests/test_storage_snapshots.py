"""Snapshots of images: taken, listed, removed, put back; and chains of clones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ceph_parts import CephCluster, wait_until
from rbd_parts import MIB, Client, Host, hidden, outcome, read, together, write
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound

pytestmark = pytest.mark.needs("ceph")


def test_a_snapshot_is_what_was_asked_for(each: Host) -> None:
    each.create("v", 4)
    taken = each.snap("s", "v", "before the upgrade, ünd")
    assert (taken.id, taken.name, taken.volume_id) == ("rbd/v@s", "s", "rbd/v")
    assert (taken.size_bytes, taken.description, taken.ready) == (4 * MIB, "before the upgrade, ünd", True)
    assert taken.created is not None
    assert abs(taken.created.timestamp() - time.time()) < 60
    assert each.snap("s", "v") == taken
    assert list(each.storage.snapshots()) == [taken]
    assert each.snaps(volume="v") == each.snaps(volume="rbd/v") == each.snaps(snapshot="v@s") == ["rbd/v@s"]
    assert each.snaps(volume="rbd/v", snapshot="rbd/v@s") == ["rbd/v@s"]
    assert each.snaps(volume="rbd/other", snapshot="rbd/v@s") == each.snaps(volume="rbd/other") == []
    each.remove_snap("v@s")
    each.remove_snap("v@s")
    assert each.snaps() == []


def test_names_of_every_kind(host: Host) -> None:
    host.create("v", 1)
    for name in ("x" * 128, "Größe ☃", "me@home", "-rf", "a b", "rexray-making-x", ".dot"):
        taken = host.snap(name)
        assert taken.name == name
        assert host.snaps(snapshot=taken.id) == [taken.id]
        host.remove_snap(taken.id)
    assert host.snaps() == []
    for name in ("", "a/b", "a\nb", "..", "x" * 129):
        with pytest.raises(InvalidRequest):
            host.snap(name)


def test_what_is_not_there(host: Host) -> None:
    host.create("v", 1)
    for snapshot in ("rbd/v@none", "rbd/none@s", "rbd/v", "", "a/b/c/d@s"):
        host.remove_snap(snapshot)
        assert host.snaps(snapshot=snapshot) == []
    with pytest.raises(NotFound):
        host.snap("s", "rbd/none")
    with pytest.raises(NotFound):
        host.rollback("rbd/v", "rbd/v@none")
    with pytest.raises(InvalidRequest, match="is not of volume"):
        host.rollback("rbd/v", "rbd/w@s")


def test_one_name_is_of_one_volume(host: Host) -> None:
    for volume in ("v", "w"):
        host.create(volume, 1)
    host.snap("s", "v")
    with pytest.raises(AlreadyExists, match="is of volume 'rbd/v', and was asked for of 'rbd/w'"):
        host.snap("s", "w")
    assert host.snaps() == ["rbd/v@s"]


def test_snapshots_of_strangers_are_listed_and_stay(cluster: CephCluster, each: Host) -> None:
    each.create("v", 1)
    cluster.rbd("snap", "create", "--no-progress", "v@nightly")
    cluster.rbd("snap", "protect", "v@nightly")
    assert each.snaps() == ["rbd/v@nightly"]
    with pytest.raises(InUse, match=r"did not take snapshot 'rbd/v@nightly'.*rbd.removeForeign"):
        each.remove_snap("rbd/v@nightly")
    allowed = Host(cluster.conf, remove_foreign=True)
    with pytest.raises(InUse, match="unprotect"):
        allowed.remove_snap("rbd/v@nightly")
    cluster.rbd("snap", "unprotect", "v@nightly")
    allowed.remove_snap("rbd/v@nightly")
    assert each.snaps() == []


def test_a_stranger_s_snapshot_of_a_removed_ones_name_is_a_strangers(cluster: CephCluster, host: Host) -> None:
    host.create("v", 1)
    host.snap("s")
    host.clone("w", "v")
    cluster.rbd("snap", "create", "--no-progress", "w@s")
    with pytest.raises(InUse, match="did not take"):
        host.remove_snap("rbd/w@s")


def test_threads_that_take_one_snapshot_take_one(cluster: CephCluster, host: Host) -> None:
    host.create("v", 1)
    hosts = [Host(cluster.conf, register=False) for _ in range(3)]
    assert together(lambda one: one.snap().id, hosts) == ["rbd/v@s"] * 3
    assert host.snaps() == ["rbd/v@s"]
    assert together(lambda one: outcome(one.remove_snap), hosts) == ["ok"] * 3
    assert host.snaps() == []


def test_rolling_back_puts_data_and_size_back(cluster: CephCluster, host: Host) -> None:
    host.create("v", 4)
    write(cluster, "rbd/v", b"one")
    host.snap()
    write(cluster, "rbd/v", b"two")
    host.expand("rbd/v", 6)
    host.attach()
    with pytest.raises(InUse, match="attached to 'h1'"):
        host.rollback()
    host.detach()
    with Client(cluster, "rbd/v"), pytest.raises(InUse, match="open by a client"):
        host.rollback()
    assert read(cluster, "rbd/v", 6) == b"opened"
    for _ in range(2):
        back = host.rollback()
        assert (back.size_bytes, back.status) == (4 * MIB, "")
        assert read(cluster, "rbd/v", 3) == b"one"
    assert host.snaps() == ["rbd/v@s"]
    host.remove_snap()
    host.remove()


def test_rolling_back_a_strangers_image_does_not_make_it_ours(cluster: CephCluster, host: Host) -> None:
    cluster.rbd("create", "v", "--size", "1M")
    cluster.rbd("snap", "create", "--no-progress", "v@s")
    host.rollback()
    allowed = Host(cluster.conf, remove_foreign=True)
    allowed.remove_snap()
    assert host.get().name == "v"
    assert outcome(host.remove) == "Forbidden"


def test_long_chains_are_flattened_by_the_manager(cluster: CephCluster) -> None:
    cluster.wait_mgr()
    host = Host(cluster.conf, clone_depth=2)
    host.create("c0", 4)
    write(cluster, "rbd/c0", b"kept")
    for number in range(1, 4):
        host.clone(f"c{number}", f"c{number - 1}")
    wait_until(lambda: not host.get("c3").fields.get("parent"), "the third clone flattened", 30)
    assert [bool(host.get(f"c{number}").fields.get("parent")) for number in range(4)] == [False, True, True, False]
    assert read(cluster, "rbd/c3", 4) == b"kept"
    host.clone("c4", "c3")
    assert host.get("c4").fields["parent"]
    assert hidden(cluster) == []


def test_without_a_manager_long_chains_are_flattened_at_once(tmp_path: Path) -> None:
    with CephCluster(tmp_path / "c", osds=1, mgr=False) as cluster:
        host = Host(cluster.conf, clone_depth=1, timeout=5.0)
        host.create("c0", 4)
        write(cluster, "rbd/c0", b"kept")
        host.clone("c1", "c0")
        host.clone("c2", "c1")
        assert host.get("c1").fields["parent"]
        assert not host.get("c2").fields.get("parent")
        assert read(cluster, "rbd/c2", 4) == b"kept"
