"""The simulated XMS enforces what an XMS does with snapshots, their sets, and consistency groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from xms_client import Plain
from xms_parts import Xms

V1, V2 = "/types", "/v2/types"


@pytest.fixture
def xms() -> Iterator[Xms]:
    with Xms() as xms:
        yield xms


@pytest.fixture
def client(xms: Xms) -> Iterator[Plain]:
    with Plain(xms) as client:
        for name in ("a", "b"):
            client.post(f"{V2}/volumes", vol_name=name, vol_size="8m")
        yield client


def write(xms: Xms, name: str, content: bytes) -> None:
    with xms.contents(name).open("r+b") as stream:
        stream.write(content)


def read(xms: Xms, name: str, length: int = 3) -> bytes:
    with xms.contents(name).open("rb") as stream:
        return stream.read(length)


def volume(xms: Xms, name: str) -> dict[str, Any]:
    found = xms.volume(name)
    assert found is not None, name
    return found


def test_v1_makes_one_or_several_with_the_names_that_are_asked_for(xms: Xms, client: Plain) -> None:
    client.post(f"{V1}/snapshots", ancestor_vol_id="a", snap_vol_name="s1")
    both = [{"ancestor-vol-id": 1, "snap-vol-name": "s2"}, {"ancestor-vol-id": "b", "snap-vol-name": "s3"}]
    client.post(f"{V1}/snapshots", snap_list=both, folder_id="/")
    assert [volume(xms, name)["ancestor-vol-id"][1] for name in ("s1", "s2", "s3")] == ["a", "a", "b"]
    listed = [entry["name"] for entry in client.call("GET", f"{V1}/snapshots")["snapshots"]]
    assert listed == ["s1", "s2", "s3"]
    assert len(client.call("GET", f"{V1}/volumes")["volumes"]) == 5
    several = {"snap-list": [{"ancestor-vol-id": "a", "snap-vol-name": name} for name in ("new", "s1")]}
    assert client.refused("POST", f"{V1}/snapshots", several) == "vol_obj_name_not_unique"
    assert xms.volume("new") is None
    xms.switches.v1_post_by_index_ok = False
    by_index = {"ancestor-vol-id": 1, "snap-vol-name": "s4"}
    assert "reference" in client.refused("POST", f"{V1}/snapshots", by_index)


def test_v2_names_snapshots_itself_and_puts_them_into_a_set(xms: Xms, client: Plain) -> None:
    body = {"volume-list": ["a", 2], "snap-suffix": "x1", "snapshot-set-name": "set1", "snapshot-type": "readonly"}
    links = client.call("POST", f"{V2}/snapshots", body)["links"]
    assert [link["href"].rsplit("/", 2)[1:] for link in links] == [["snapshots", "3"], ["snapshots", "4"]]
    found = client.get(f"{V2}/snapshot-sets?name=set1")
    assert [entry[1:] for entry in found["vol-list"]] == [["a.x1", 3], ["b.x1", 4]]
    assert volume(xms, "a.x1")["snapshot-type"] == "readonly"
    assert volume(xms, "a.x1")["snapset-list"][0][1] == "set1"
    assert "not_unique" in client.refused("POST", f"{V2}/snapshots", {**body, "snap-suffix": "x2"})
    client.call("PUT", f"{V2}/snapshots/3", {"name": "mine"})
    assert volume(xms, "mine")["index"] == 3
    xms.switches.snapshot_names = "opaque"
    xms.switches.snapshot_link = "snapshot-sets"
    index = client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="x3")
    assert re.fullmatch(r"a\.\d{13}", client.get(f"{V2}/snapshot-sets/{index}")["vol-list"][0][1])


def test_a_snapshot_has_the_contents_of_its_moment_and_is_counted(xms: Xms, client: Plain) -> None:
    write(xms, "a", b"one")
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s")
    write(xms, "a", b"two")
    assert (read(xms, "a"), read(xms, "a.s")) == (b"two", b"one")
    source = volume(xms, "a")
    assert source["num-of-dest-snaps"] == 1
    assert [entry[1] for entry in source["dest-snap-list"]] == ["a.s"]
    assert volume(xms, "a.s")["snapgrp-id"] == source["snapgrp-id"]
    client.post(f"{V2}/snapshots", volume_list=["a.s"], snap_suffix="t")
    assert volume(xms, "a.s.t")["ancestor-vol-id"][1] == "a.s"
    client.call("DELETE", f"{V2}/snapshots?name=a.s.t")
    client.call("DELETE", f"{V2}/volumes?name=a.s")
    assert volume(xms, "a")["num-of-dest-snaps"] == 0
    assert client.call("GET", f"{V2}/snapshot-sets")["snapshot-sets"] == []


def test_a_source_may_go_before_its_snapshot(xms: Xms, client: Plain) -> None:
    write(xms, "a", b"one")
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s")
    xms.switches.delete_with_snapshots = False
    assert client.refused("DELETE", f"{V2}/volumes?name=a") == "vol_has_snapshots"
    xms.switches.delete_with_snapshots = True
    client.call("DELETE", f"{V2}/volumes?name=a")
    assert volume(xms, "a.s")["ancestor-vol-id"] == []
    assert read(xms, "a.s") == b"one"
    assert [entry["name"] for entry in client.call("GET", f"{V2}/snapshots")["snapshots"]] == ["a.s"]


def test_a_set_goes_with_its_snapshots(xms: Xms, client: Plain) -> None:
    client.post(f"{V2}/snapshots", volume_list=["a", "b"], snap_suffix="s", snapshot_set_name="set1")
    group = xms.add_initiator_group("g")
    mapping = client.post(f"{V2}/lun-maps", vol_id="b.s", ig_id=group)
    assert client.refused("DELETE", f"{V2}/snapshot-sets?name=set1") == "vol_is_mapped"
    assert xms.volume("a.s") is not None
    client.call("DELETE", f"{V2}/lun-maps/{mapping}")
    client.call("DELETE", f"{V2}/snapshot-sets?name=set1")
    assert [entry["name"] for entry in xms.volumes()] == ["a", "b"]


def test_a_consistency_group_is_snapshotted_as_one(xms: Xms, client: Plain) -> None:
    group = client.post(f"{V2}/consistency-groups", consistency_group_name="cg", vol_list=["a"])
    client.call("POST", f"{V2}/consistency-group-volumes", {"vol-id": "b", "cg-id": "cg"})
    assert client.get(f"{V2}/consistency-groups/{group}")["num-of-vols"] == 2
    client.post(f"{V2}/snapshots", consistency_group_id="cg", snapshot_set_name="set1")
    members = client.get(f"{V2}/snapshot-sets?name=set1")["vol-list"]
    assert [volume(xms, name)["ancestor-vol-id"][1] for _, name, _ in members] == ["a", "b"]
    client.call("DELETE", f"{V2}/consistency-group-volumes?name=cg", {"vol-id": "b"})
    assert volume(xms, "b")["related-consistency-groups"] == []
    client.call("DELETE", f"{V2}/consistency-groups?name=cg")
    assert volume(xms, "a")["related-consistency-groups"] == []


@pytest.mark.parametrize("identity", ["kept", "moved"])
def test_a_restore_brings_the_contents_back_under_the_same_name_naa_and_mapping(
    xms: Xms, client: Plain, identity: Any
) -> None:
    xms.switches.restore_identity = identity
    group = xms.add_initiator_group("g")
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=group)
    write(xms, "a", b"one")
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s", snapshot_type="readonly")
    write(xms, "a", b"two")
    before, inode = volume(xms, "a"), xms.contents("a").stat().st_ino
    restore = {"from-volume-id": "a.s", "to-volume-id": "a", "no-backup": "true"}
    client.call("POST", f"{V2}/snapshots", restore)
    after = volume(xms, "a")
    assert (read(xms, "a"), xms.contents("a").stat().st_ino) == (b"one", inode)
    same = ["naa-name", "lun-mapping-list", "vol-size", "snapgrp-id"]
    assert [after[name] for name in same] == [before[name] for name in same]
    assert (after["guid"] == before["guid"]) == (identity == "kept")
    assert volume(xms, "a.s")["ancestor-vol-id"] == after["vol-id"]
    assert len(xms.volumes()) == 3
    mapped = client.call("GET", f"{V2}/lun-maps?full=1")["lun-maps"]
    assert [(entry["vol-index"], entry["name"]) for entry in mapped] == [
        (after["index"], f"{after['index']}_{group}_1")
    ]


def test_a_restore_keeps_a_backup_unless_told_not_to(xms: Xms, client: Plain) -> None:
    write(xms, "a", b"one")
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s")
    write(xms, "a", b"two")
    restore = {"from-volume-id": "a.s", "to-volume-id": "a", "backup-snap-suffix": "old"}
    client.call("POST", f"{V2}/snapshots", restore)
    assert (read(xms, "a"), read(xms, "a.old")) == (b"one", b"two")


def test_a_restore_is_refused_where_it_would_harm(xms: Xms, client: Plain) -> None:
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s", snapshot_type="readonly")

    def restore(source: str, target: str) -> str:
        body = {"from-volume-id": source, "to-volume-id": target, "no-backup": True}
        return client.refused("POST", f"{V2}/snapshots", body)

    assert restore("a.s", "b") == "vols_not_in_same_vsg"
    assert restore("a", "a.s") == "vol_is_readonly"
    assert restore("none", "a") == "vol_obj_not_found"
    client.call("PUT", f"{V2}/volumes?name=a", {"vol-size": "16m"})
    assert restore("a.s", "a") == "vol_size_mismatch"
    xms.switches.restore_other_size = "take"
    client.post(f"{V2}/snapshots", from_volume_id="a.s", to_volume_id="a", no_backup="true")
    assert volume(xms, "a")["vol-size"] == "8192"
