"""From attaching to publishing and back: what each step makes visible, and what it notes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, NotReady, OutOfCapacity
from vfs_parts import GIB, NODE, Mode, Vfs, capability, mounts_below

pytestmark = pytest.mark.needs("root")


def test_the_way_there_and_back(vfs: Vfs) -> None:
    vfs.create("data")
    assert vfs.attach("data") == str(vfs.device("data"))
    vfs.stage("data")
    vfs.publish("data")
    (vfs.target("data") / "file").write_text("x")
    assert (vfs.volume("data") / "file").read_text() == "x"
    assert list(vfs.get("data").status.published_node_ids) == [NODE]
    vfs.unmount("data")
    assert mounts_below(vfs.home) == []
    assert not vfs.target("data").exists()
    assert not vfs.device("data").exists()
    assert list(vfs.get("data").status.published_node_ids) == []
    assert list((vfs.data / "mnt/.rexray/meta").iterdir()) == []


def test_every_step_twice_is_once(vfs: Vfs) -> None:
    vfs.create("data")
    forwards: list[Callable[[str], object]] = [vfs.attach, vfs.stage, vfs.publish]
    for step in forwards:
        step("data")
        once = [mount.target for mount in mounts_below(vfs.home)]
        step("data")
        assert [mount.target for mount in mounts_below(vfs.home)] == once
    back: list[Callable[[str], object]] = [vfs.unpublish, vfs.unstage, vfs.detach]
    for step in back:
        step("data")
        step("data")
    assert mounts_below(vfs.home) == []


def test_an_orchestrator_may_leave_staging_out(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.publish("data", vfs.target("a"), staging="")
    vfs.publish("data", vfs.target("b"), staging="")
    (vfs.target("a") / "file").write_text("x")
    assert (vfs.target("b") / "file").read_text() == "x"
    vfs.unpublish("data", vfs.target("a"))
    assert (vfs.data / "mnt/data/file").read_text() == "x"
    vfs.unpublish("data", vfs.target("b"))
    assert not (vfs.data / "mnt/data").exists()
    vfs.detach("data")
    assert mounts_below(vfs.home) == []


def test_a_publish_that_fails_without_staging_leaves_no_private_mount(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data")
    with pytest.raises(InvalidRequest, match="parent directory"):
        vfs.publish("data", vfs.paths / "missing/target", staging="")
    assert not (vfs.data / "mnt/data").exists()
    assert list((vfs.data / "mnt/.rexray/meta").iterdir()) == []


def test_read_only_stays_read_only_at_every_step(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data", read_only=True)
    for place in (vfs.device("data"), vfs.staging("data"), vfs.target("data")):
        with pytest.raises(OSError, match="Read-only"):
            (place / "file").write_text("x")
    vfs.publish("data", vfs.target("again"), wanted=capability(Mode.SINGLE_NODE_WRITER))
    assert mounts.is_read_only(vfs.target("again"))


def test_a_read_only_attach_does_not_become_writable_without_staging(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data", read_only=True)
    vfs.publish("data", staging="")
    assert mounts.is_read_only(vfs.target("data"))


def test_a_publish_may_be_read_only_beside_a_writable_one(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    vfs.publish("data", vfs.target("ro"), read_only=True)
    assert mounts.is_read_only(vfs.target("ro"))
    assert not mounts.is_read_only(vfs.target("data"))


@pytest.mark.parametrize("wanted", [capability(Mode.SINGLE_NODE_READER_ONLY), capability(flags=["ro"])])
def test_a_reader_s_mount_is_read_only(vfs: Vfs, wanted: pb.VolumeCapability) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.stage("data", wanted=wanted)
    assert mounts.is_read_only(vfs.staging("data"))
    vfs.publish("data")
    assert mounts.is_read_only(vfs.target("data"))


def test_mount_flags_apply(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.stage("data", wanted=capability(flags=["noexec", "nosuid"]))
    flags = os.statvfs(vfs.staging("data")).f_flag
    assert flags & os.ST_NOEXEC
    assert flags & os.ST_NOSUID


def test_the_other_access_is_refused_where_it_is_already(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    with pytest.raises(AlreadyExists, match=r"attached read-write.*read-only"):
        vfs.attach("data", read_only=True)
    with pytest.raises(AlreadyExists, match="staged"):
        vfs.stage("data", wanted=capability(Mode.SINGLE_NODE_READER_ONLY))
    with pytest.raises(AlreadyExists, match="published"):
        vfs.publish("data", read_only=True)
    assert not mounts.is_read_only(vfs.target("data"))


def test_a_single_writer_is_alone(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    alone = capability(Mode.SINGLE_NODE_SINGLE_WRITER)
    with pytest.raises(NotReady, match="single writer"):
        vfs.publish("data", vfs.target("second"), wanted=alone)
    vfs.unpublish("data")
    vfs.publish("data", wanted=alone)
    vfs.publish("data", wanted=alone)
    with pytest.raises(NotReady, match="single writer"):
        vfs.publish("data", vfs.target("second"))
    assert not vfs.target("second").exists()


def test_no_more_volumes_than_the_limit_are_attached(home: Path) -> None:
    vfs = Vfs(home, max_volumes=2)
    for name in "abc":
        vfs.create(name)
    vfs.attach("a")
    vfs.attach("b")
    vfs.attach("b")
    with pytest.raises(OutOfCapacity, match="2 volumes"):
        vfs.attach("c")
    assert not vfs.get("c").status.published_node_ids
    vfs.detach("a")
    vfs.attach("c")
    assert vfs.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).max_volumes_per_node == 2


def test_only_this_node_can_have_it(vfs: Vfs) -> None:
    vfs.create("data")
    with pytest.raises(NotFound, match="node 'elsewhere'"):
        vfs.attach("data", node="elsewhere")
    with pytest.raises(NotFound, match="volume 'missing'"):
        vfs.attach("missing")


def test_a_volume_attached_under_a_former_node_id_can_be_detached(vfs: Vfs, home: Path) -> None:
    vfs.create("data")
    vfs.attach("data")
    renamed = Vfs(home, node_id="renamed")
    with pytest.raises(InUse, match=NODE):
        renamed.delete("data")
    renamed.detach("data", node="a stranger")
    assert list(renamed.get("data").status.published_node_ids) == [NODE]
    renamed.detach("data", node=NODE)
    renamed.delete("data")
    assert mounts_below(home) == []


@pytest.mark.parametrize("node", [NODE, ""])
def test_detaching_from_all_nodes_is_detaching_from_this_one(vfs: Vfs, node: str) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.detach("data", node=node)
    assert not vfs.device("data").exists()


def test_the_order_of_steps_is_kept(vfs: Vfs) -> None:
    vfs.create("data")
    with pytest.raises(NotReady, match="ControllerPublishVolume"):
        vfs.stage("data")
    with pytest.raises(NotReady, match="ControllerPublishVolume"):
        vfs.publish("data", staging="")
    vfs.attach("data")
    with pytest.raises(NotReady, match="NodeStageVolume"):
        vfs.publish("data")
    vfs.staging("data").mkdir()
    with pytest.raises(NotReady, match="NodeStageVolume"):
        vfs.publish("data")
    vfs.stage("data")
    with pytest.raises(InUse, match="mounted at"):
        vfs.detach("data")
    vfs.publish("data")
    vfs.unstage("data")
    with pytest.raises(InUse, match="mounted at"):
        vfs.detach("data")
    with pytest.raises(InUse, match="attached to here"):
        vfs.delete("data")
    vfs.unmount("data")
    vfs.delete("data")


def reboot(vfs: Vfs) -> None:
    """What a reboot does: every mount is gone, every file is as it was."""
    for mount in reversed(mounts_below(vfs.home)):
        mounts.unmount(mount.target)


def test_after_a_reboot_every_step_does_its_work_again(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    reboot(vfs)
    again = Vfs(vfs.home)
    with pytest.raises(NotReady):
        again.stage("data")
    again.mount("data")
    (again.target("data") / "file").write_text("x")
    assert (again.volume("data") / "file").exists()
    again.unmount("data")
    assert mounts_below(vfs.home) == []


def test_after_a_reboot_the_way_back_cleans_up(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.attach("data")
    vfs.stage("data")
    vfs.publish("data")
    vfs.publish("data", vfs.target("private"), staging="")
    reboot(vfs)
    again = Vfs(vfs.home)
    again.unpublish("data")
    again.unpublish("data", vfs.target("private"))
    again.unstage("data")
    again.detach("data")
    again.delete("data")
    assert not vfs.target("data").exists()
    assert list((vfs.data / "dev").iterdir()) == []
    assert [path.name for path in (vfs.data / "mnt").iterdir()] == [".rexray"]
    assert list((vfs.data / "mnt/.rexray/meta").iterdir()) == []


def test_after_a_reboot_a_volume_can_be_detached_and_deleted_without_unpublishing(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    reboot(vfs)
    again = Vfs(vfs.home)
    again.detach("data")
    again.delete("data")
    assert again.names() == []


def test_a_volume_deleted_underneath_can_be_unmounted_everywhere(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    vfs.publish("data", vfs.target("second"))
    vfs.volume("data").rmdir()
    with pytest.raises(InUse):
        vfs.detach("data")
    vfs.unpublish("data", vfs.target("second"))
    vfs.unmount("data")
    assert mounts_below(vfs.home) == []


def test_a_volume_made_anew_underneath_is_not_taken_for_the_old_one(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.mount("data")
    vfs.volume("data").rmdir()
    vfs.volume("data").mkdir()
    with pytest.raises(NotReady):
        vfs.publish("data", vfs.target("second"))
    vfs.unmount("data")
    vfs.mount("data")
    (vfs.volume("data") / "new").touch()
    assert (vfs.target("data") / "new").exists()


def test_statistics_are_the_filesystem_s(vfs: Vfs) -> None:
    vfs.create("data")
    target = vfs.mount("data")
    request = pb.NodeGetVolumeStatsRequest(volume_id="data", volume_path=str(target))
    bytes_, inodes = vfs.call(rpc.NODE_GET_VOLUME_STATS, request).usage
    facts = os.statvfs(target)
    assert (bytes_.unit, bytes_.total) == (pb.VolumeUsage.BYTES, facts.f_blocks * facts.f_frsize)
    assert (inodes.unit, inodes.total) == (pb.VolumeUsage.INODES, facts.f_files)
    request.volume_path = str(vfs.paths)
    with pytest.raises(NotFound, match="not mounted"):
        vfs.call(rpc.NODE_GET_VOLUME_STATS, request)


def test_the_node_has_nothing_to_grow(vfs: Vfs) -> None:
    vfs.create("data", size=2 * GIB)
    target = vfs.mount("data")
    request = pb.NodeExpandVolumeRequest(volume_id="data", volume_path=str(target))
    assert vfs.call(rpc.NODE_EXPAND_VOLUME, request).capacity_bytes == 2 * GIB
    request.volume_id = "missing"
    with pytest.raises(NotFound):
        vfs.call(rpc.NODE_EXPAND_VOLUME, request)
