"""What reviewers found in the storage driver, once each: what was lost, or done to what was not meant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ceph_parts import CephCluster
from rbd_parts import READERS, WATCH_SECONDS, Client, Host, hidden, outcome, read, run_script, write
from rexray.child import Ended
from rexray.errors import Forbidden, InUse, InvalidRequest, NotFound, NotReady, RexrayError, SettingsError, Unavailable
from rexray.types import SnapshotId, VolumeId, VolumeSpec
from rexray_driver_ceph import claims
from rexray_driver_ceph.building import Plan, hidden_prefix
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.names import Pool, Spec
from rexray_driver_ceph.refusals import refusal
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.storage import RbdStorage

pytestmark = pytest.mark.needs("ceph")

ROLLBACK = "import sys; from pathlib import Path; from rbd_parts import Host; Host(Path(sys.argv[1])).rollback()"
OLD_CAPS = {"mon": "profile rbd", "osd": "profile rbd pool=rbd", "mgr": "profile rbd pool=rbd"}
"""Those of a user who may not ask which clients are the manager's."""


def listed(cluster: CephCluster, name: str) -> bool:
    return name in cluster.rados("--pool", "rbd", "ls").split()


def test_a_rename_under_way_is_not_taken_for_one_that_was_cut_short(cluster: CephCluster, each: Host) -> None:
    """Somebody who looked while it was under way comes late, and takes nothing away."""
    each.create("data", 1)
    write(cluster, "rbd/data", b"kept")
    spec = Spec(Pool("rbd"), "data")
    image = each.storage._image(VolumeId("rbd/data"))
    late = Spec(Pool("rbd"), hidden_prefix(spec) + "0")
    each.storage._sweep(image, {late: image.id}, None)
    assert listed(cluster, "rbd_id.data")
    assert each.ids() == ["rbd/data"]
    assert read(cluster, "rbd/data", 4) == b"kept"


def test_an_image_with_two_names_is_kept_by_who_failed_to_rename_it(
    cluster: CephCluster, host: Host, tmp_path: Path
) -> None:
    host.create("data", 1)
    plan = Plan(spec=Spec(Pool("rbd"), "data"), size_bytes=1, facts={})
    cluster.rados("--pool", "rbd", "get", "rbd_id.data", str(tmp_path / "id"))
    cluster.rados("--pool", "rbd", "put", f"rbd_id.{plan.hidden.image}", str(tmp_path / "id"))
    host.storage._give_up(plan)
    assert not listed(cluster, f"rbd_id.{plan.hidden.image}")
    write(cluster, "rbd/data", b"kept")
    assert host.ids() == ["rbd/data"]


def test_half_a_rollback_is_not_copied_and_can_be_finished(cluster: CephCluster, host: Host) -> None:
    host.create()
    host.snap()
    [ended] = run_script(ROLLBACK, cluster.conf, fault="rbd-rollback-noted")
    assert ended.status == -9, ended.errors
    for call in (
        lambda: host.clone("w", "rbd/v"),
        lambda: host.snap("t"),
        lambda: host.storage.create_snapshot_group("g", [VolumeId("rbd/v")]),
    ):
        with pytest.raises(NotReady):
            call()
    with pytest.raises(InUse, match="being rolled back"):
        host.remove_snap()
    assert host.restore("w", "rbd/v@s").id == "rbd/w"
    assert host.snap().id == "rbd/v@s"
    host.rollback()
    host.remove_snap()
    assert (host.ids(), host.snaps()) == (["rbd/v", "rbd/w"], [])


def test_half_a_rollback_to_a_group_keeps_the_group(cluster: CephCluster, host: Host) -> None:
    host.create()
    [member] = host.storage.create_snapshot_group("g", [VolumeId("rbd/v")]).snapshots
    script = ROLLBACK.replace("rollback()", f"rollback('rbd/v', {str(member.id)!r})")
    [ended] = run_script(script, cluster.conf, fault="rbd-rollback-noted")
    assert ended.status == -9, ended.errors
    with pytest.raises(InUse, match="being rolled back"):
        host.storage.remove_snapshot_group(SnapshotId("g"))
    assert len(host.storage.snapshot_group(SnapshotId("g")).snapshots) == 1


@pytest.mark.parametrize("features", [("layering",), ("layering", "exclusive-lock")])
def test_a_client_that_froze_without_librbds_lock_is_shut_out(cluster: CephCluster, features: tuple[str, ...]) -> None:
    host = Host(cluster.conf, watcher_timeout=3.0 * WATCH_SECONDS, image_features=features)
    host.create()
    host.attach()
    with Client(cluster, "rbd/v") as client:
        [address] = cluster.watchers("rbd/v")
        client.freeze()
        host.detach()
        assert (address in cluster.blocklist()) == (len(features) == 1)
        client.thaw()


def test_force_without_knowing_the_manager_shuts_nobody_out(cluster: CephCluster, host: Host) -> None:
    host.create()
    host.attach()
    cluster.user("joe", OLD_CAPS)
    joe = Host(cluster.conf, user="joe", register=False)
    with Client(cluster, "rbd/v") as client:
        with pytest.raises(Forbidden, match="rexray policy rbd"):
            joe.detach(force=True)
        assert client.write("mine") == "written"
        with pytest.raises(InUse):
            joe.detach()
    assert cluster.blocklist() == ()
    assert host.holders() == ["h1"]


def test_a_new_pool_does_not_take_the_name_of_a_volume(cluster: CephCluster, host: Host) -> None:
    assert host.create("fast.data", 1).id == "rbd/fast.data"
    host.snap("s", "fast.data")
    cluster.create_pool("fast")
    assert host.create("fast.data", 1).id == "rbd/fast.data"
    assert host.get("fast.data").id == "rbd/fast.data"
    assert host.restore("copy", "fast.data@s").id == "rbd/copy"
    assert host.create("fast.other", 1).id == "fast/other"
    assert host.get("fast.other").id == "fast/other"


@pytest.mark.parametrize("name", ["-h", "--help", "--version", "-x", "\ud800"])
def test_a_group_is_not_called_like_an_option(cluster: CephCluster, host: Host, name: str) -> None:
    host.create()
    with pytest.raises(InvalidRequest):
        host.storage.create_snapshot_group(name, [VolumeId("rbd/v")])
    assert cluster.rbd("snap", "ls", "rbd/v") == ""


def test_a_group_that_cannot_be_noted_leaves_no_snapshots(cluster: CephCluster, host: Host, monkeypatch: Any) -> None:
    host.create()
    noted = RbdStorage._note

    def fail(self: RbdStorage, name: str, verb: str, *value: str) -> None:
        if verb == "setomapval":
            raise Unavailable("no")
        noted(self, name, verb, *value)

    monkeypatch.setattr(RbdStorage, "_note", fail)
    with pytest.raises(Unavailable):
        host.storage.create_snapshot_group("g", [VolumeId("rbd/v")])
    assert cluster.rbd("snap", "ls", "rbd/v") == ""


def test_a_claim_of_any_name_is_taken_and_dropped(cluster: CephCluster, host: Host) -> None:
    host.create()
    asked = Cluster(host.settings)
    for name in ("-h", "--version", "a=b"):
        image = host.storage._image(VolumeId("rbd/v"))
        assert claims.take(asked, image, name, read_only=False)
        claimed = host.storage._image(VolumeId("rbd/v"))
        assert claimed.claim is not None
        assert claimed.claim.instance == name
        host.detach()
        assert host.holders() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"instance_id": "-h"},
        {"user": "-h"},
        {"ceph_args": "--keyring -v"},
        {"monitors": "1.2.3"},
        {"monitors": "::not one"},
        {"image_features": ("-h",)},
        *({"ceph_args": word} for word in ("--version", "--help", "-h", "-v", "--id joe --", "--")),
    ],
)
def test_settings_that_would_make_nothing_happen_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"rbd\."):
        assert Cluster(RbdSettings(**settings)).identity.client


def test_monitors_that_are_none_are_one_error(cluster: CephCluster, each: Host) -> None:
    host = Host(cluster.conf, monitors="garbage", register=False, timeout=5.0, reader=each.storage._make_reader)
    with pytest.raises(RexrayError) as caught:
        host.ids()
    assert "Traceback" not in str(caught.value)


def test_what_rbd_does_not_understand_is_no_matter_of_rights() -> None:
    ended = Ended(program="rbd", status=1, stdout="", stderr="rbd: unrecognised option '--foo'")
    assert type(refusal(ended, "try")) is InvalidRequest
    ended = Ended(program="rbd", status=1, stdout="", stderr="rbd: create error: (1) Operation not permitted")
    assert type(refusal(ended, "try")) is Forbidden


def test_a_volume_that_was_not_made_is_not_reported(host: Host, monkeypatch: Any) -> None:
    monkeypatch.setattr(RbdStorage, "_make", lambda *_: None)
    with pytest.raises(RexrayError, match="not there after"):
        host.create("v", 1)


def test_what_was_in_a_pool_that_is_gone_is_gone(cluster: CephCluster, each: Host) -> None:
    for place in ("none", "rbd/none"):
        each.remove(f"{place}/v")
        each.detach(f"{place}/v")
        each.remove_snap(f"{place}/v@s")
        assert each.snaps(f"{place}/v") == []
        for call in (each.get, each.attach):
            with pytest.raises(NotFound):
                call(f"{place}/v")


@pytest.mark.parametrize("place", ["none", "rbd/none"])
def test_a_pool_of_the_settings_that_is_missing_is_a_wrong_setting(
    cluster: CephCluster, reader: str, place: str
) -> None:
    hosts = [
        Host(cluster.conf, default_pool=place, register=False, reader=READERS[reader]),
        Host(cluster.conf, pools=(place,), register=False, reader=READERS[reader]),
    ]
    for host in hosts:
        calls: list[Callable[[], object]] = [
            partial(host.remove, f"{place}/v"),
            partial(host.detach, f"{place}/v"),
            partial(host.remove_snap, f"{place}/v@s"),
            partial(host.create, "v", 1, type=place),
        ]
        for call in calls:
            with pytest.raises(SettingsError, match=r"rbd\.defaultPool"):
                call()


def test_a_pool_of_which_the_cluster_says_nothing_is_not_gone(cluster: CephCluster, tmp_path: Path) -> None:
    host = Host(cluster.conf, keyring=str(tmp_path / "none"), register=False)
    for call in (host.remove, host.detach):
        assert outcome(partial(call, "none/v")) == "Unauthorized"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path / "nowhere", register=False)  # no cluster is asked
    for call in (host.get, host.remove, lambda name: host.storage.create(VolumeSpec(name=name)), host.named):
        with pytest.raises(InvalidRequest):
            call("a\ud800")


def test_hidden_parts_are_none_at_the_end(cluster: CephCluster, each: Host) -> None:
    each.create("v", 1)
    each.create("v", 1)
    assert hidden(cluster) == []


def test_of_two_rollbacks_the_first_does_not_take_back_the_others_note(
    cluster: CephCluster, host: Host, monkeypatch: Any
) -> None:
    host.create()
    host.snap("s")
    host.snap("t")
    run = Cluster.run

    def overtaken(self: Cluster, program: str, *words: str, **more: Any) -> str:
        if "rollback" in words:
            script = ROLLBACK.replace("rollback()", "rollback('rbd/v', 'rbd/v@t')")
            [ended] = run_script(script, cluster.conf, fault="rbd-rollback-noted")
            assert ended.status == -9, ended.errors
        return run(self, program, *words, **more)

    monkeypatch.setattr(Cluster, "run", overtaken)
    with pytest.raises(InUse, match="somebody else"):
        host.rollback()
    monkeypatch.undo()
    assert host.get().status == "rolling back to t"
    with pytest.raises(NotReady):
        host.attach()
    host.rollback("rbd/v", "rbd/v@t")
    assert host.attach().instance_id == "h1"
