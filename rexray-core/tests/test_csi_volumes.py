"""The volume driver ``csi`` on a service that is not our own: ids that are no names, few capabilities, real mounts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import Handler, LocalCaller
from rexray.csi.settings import CSISettings
from rexray.csi.volumes import CSIVolumes
from rexray.errors import InUse, InvalidRequest, NotFound, OutOfCapacity, RexrayError, Unsupported
from rexray.paths import Paths, find_paths
from rexray.types import AttachmentState, InstanceId, MountRequest

_Controller = pb.ControllerServiceCapability
_Node = pb.NodeServiceCapability


@dataclass
class Vendor:
    """A CSI service whose ids are its own; ``failing`` names calls that fail, ``log`` has every call."""

    root: Path
    stages: bool = True
    attaches: bool = True
    gets: bool = False
    busy: bool = False
    failing: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    volumes: dict[str, pb.Volume] = field(default_factory=dict)
    attached: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def handlers(self) -> dict[str, Handler]:
        def handler(name: str) -> Handler:
            def call(request: object, _: object) -> object:
                self.log.append(name)
                if name in self.failing:
                    raise OutOfCapacity(f"{name} fails")
                return getattr(self, name)(request)

            return call

        return {call.path: handler(call.name) for call in rpc.CALLS if hasattr(self, call.name)}

    def GetPluginCapabilities(self, _: pb.GetPluginCapabilitiesRequest) -> pb.GetPluginCapabilitiesResponse:
        service = pb.PluginCapability.Service(type="CONTROLLER_SERVICE")
        return pb.GetPluginCapabilitiesResponse(capabilities=[pb.PluginCapability(service=service)])

    def ControllerGetCapabilities(self, _: pb.ControllerGetCapabilitiesRequest) -> pb.ControllerGetCapabilitiesResponse:
        names = ["CREATE_DELETE_VOLUME", "LIST_VOLUMES", *(["PUBLISH_UNPUBLISH_VOLUME"] if self.attaches else [])]
        names += ["GET_VOLUME", "LIST_VOLUMES_PUBLISHED_NODES"] if self.gets else []
        kinds = [_Controller(rpc=_Controller.RPC(type=name)) for name in names]
        return pb.ControllerGetCapabilitiesResponse(capabilities=kinds)

    def NodeGetCapabilities(self, _: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        kinds = [_Node(rpc=_Node.RPC(type="STAGE_UNSTAGE_VOLUME"))] if self.stages else []
        return pb.NodeGetCapabilitiesResponse(capabilities=kinds)

    def NodeGetInfo(self, _: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        return pb.NodeGetInfoResponse(node_id="node-7")

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        for volume in self.volumes.values():
            if volume.volume_context["label"] == request.name:
                return pb.CreateVolumeResponse(volume=volume)
        volume = pb.Volume(
            volume_id=f"vol-{next(self.numbers):04}",
            capacity_bytes=request.capacity_range.required_bytes,
            volume_context={"label": request.name, **request.parameters},
        )
        (self.root / volume.volume_id).mkdir()
        self.volumes[volume.volume_id] = volume
        return pb.CreateVolumeResponse(volume=volume)

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        self.volumes.pop(request.volume_id, None)
        return pb.DeleteVolumeResponse()

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        start = int(request.starting_token or 0)
        ids = list(self.volumes)[start : start + 2]
        token = str(start + 2) if start + 2 < len(self.volumes) else ""
        entries = [pb.ListVolumesResponse.Entry(volume=self.volumes[name]) for name in ids]
        return pb.ListVolumesResponse(entries=entries, next_token=token)

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        if request.volume_id not in self.volumes:
            raise NotFound(request.volume_id)
        status = pb.ControllerGetVolumeResponse.VolumeStatus(
            published_node_ids=["node-7"] if request.volume_id in self.attached else []
        )
        return pb.ControllerGetVolumeResponse(volume=self.volumes[request.volume_id], status=status)

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        assert request.node_id == "node-7"
        self.attached.add(request.volume_id)
        return pb.ControllerPublishVolumeResponse(publish_context={"path": "/dev/x"})

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest
    ) -> pb.ControllerUnpublishVolumeResponse:
        if self.busy:
            raise InUse("the volume is staged elsewhere")
        self.attached.discard(request.volume_id)
        return pb.ControllerUnpublishVolumeResponse()

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        assert request.volume_context["label"]
        mounts.bind(self.root / request.volume_id, request.staging_target_path)
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest) -> pb.NodeUnstageVolumeResponse:
        mounts.unmount(request.staging_target_path)
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        assert bool(request.staging_target_path) == self.stages
        assert bool(request.publish_context) == self.attaches
        os.makedirs(request.target_path, exist_ok=True)
        options = ("ro",) if request.readonly else ()
        mounts.bind(self.root / request.volume_id, request.target_path, options=options)
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        mounts.unmount(request.target_path)
        if os.path.isdir(request.target_path):
            os.rmdir(request.target_path)
        return pb.NodeUnpublishVolumeResponse()


pytestmark = pytest.mark.needs("root")

Make = Callable[..., tuple[CSIVolumes, Vendor]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A driver on a vendor's service; a second call is a second process on the same state."""
    paths: Paths = find_paths({"REXRAY_HOME": str(tmp_path / "home")})
    root = tmp_path / "vendor"
    root.mkdir()

    def build(vendor: Vendor | None = None, *, stages: bool = True, attaches: bool = True) -> tuple[CSIVolumes, Vendor]:
        vendor = vendor or Vendor(root, stages=stages, attaches=attaches)
        return CSIVolumes(CSISettings(), caller=LocalCaller(vendor.handlers()), paths=paths), vendor

    yield build
    for mount in reversed(list(mounts.mount_table())):
        if mount.target.startswith(f"{tmp_path}/"):
            mounts.unmount(mount.target)


def mounted(tmp_path: Path) -> list[str]:
    return [mount.target for mount in mounts.mount_table() if mount.target.startswith(f"{tmp_path}/")]


@pytest.mark.parametrize("stages", [True, False])
@pytest.mark.parametrize("attaches", [True, False])
def test_a_volume_lives_its_life_by_name_whatever_the_service_can(
    make: Make, tmp_path: Path, stages: bool, attaches: bool
) -> None:
    driver, vendor = make(stages=stages, attaches=attaches)
    created = driver.create("data", {"size": "2", "tier": "gold"})
    assert (created.name, created.id, created.size_bytes) == ("data", "vol-0001", 2 << 30)
    assert vendor.volumes["vol-0001"].volume_context["tier"] == "gold"
    where = driver.mount(MountRequest(name="data", holder="c1")).path
    (where / "file").write_text("x")
    assert (tmp_path / "vendor/vol-0001/file").read_text() == "x"
    assert driver.path("data") == where
    found = driver.get("data")
    assert [item.mount_point for item in found.attachments] == [str(where)]
    assert found.state is AttachmentState.ATTACHED
    driver.unmount("data", "c1")
    assert mounted(tmp_path) == []
    assert not vendor.attached
    assert driver.path("data") is None
    driver.remove("data")
    with pytest.raises(NotFound, match="'data'"):
        driver.get("data")


def test_names_are_remembered_by_the_next_process_and_lists_cross_pages(make: Make) -> None:
    driver, vendor = make()
    for name in ("zeta", "alpha", "mid", "beta", "last"):
        driver.create(name, {})
    again, _ = make(vendor)
    assert [volume.name for volume in again.list()] == ["alpha", "beta", "last", "mid", "zeta"]
    assert again.get("mid").id == "vol-0003"
    again.create("mid", {})
    assert len(vendor.volumes) == 5


def test_a_volume_that_somebody_else_made_goes_by_its_id(make: Make) -> None:
    driver, vendor = make()
    vendor.CreateVolume(pb.CreateVolumeRequest(name="theirs"))
    assert [volume.name for volume in driver.list()] == ["vol-0001"]
    where = driver.mount(MountRequest(name="vol-0001", holder="c1")).path
    assert where.name == "vol-0001"
    driver.unmount("vol-0001", "c1")


def test_holders_share_one_mount_and_the_last_one_ends_it(make: Make, tmp_path: Path) -> None:
    driver, vendor = make()
    driver.create("data", {})
    first = driver.mount(MountRequest(name="data", holder="c1"))
    assert driver.mount(MountRequest(name="data", holder="c2")) == first
    assert driver.mount(MountRequest(name="data", holder="c2")) == first
    assert vendor.log.count("NodePublishVolume") == 1
    driver.unmount("data", "stranger")
    driver.unmount("data", "c2")
    driver.unmount("data", "c2")
    assert mounts.is_mount_point(first.path)
    with pytest.raises(InUse, match="1 holder"):
        driver.detach("data", InstanceId("node-7"))
    driver.unmount("data", "c1")
    assert mounted(tmp_path) == []


@pytest.mark.parametrize("call", ["ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume"])
def test_a_mount_that_fails_is_undone_and_can_be_tried_again(make: Make, tmp_path: Path, call: str) -> None:
    driver, vendor = make()
    driver.create("data", {})
    vendor.failing.add(call)
    with pytest.raises(OutOfCapacity, match=call):
        driver.mount(MountRequest(name="data", holder="c1"))
    assert mounted(tmp_path) == []
    assert not vendor.attached
    assert driver.path("data") is None
    vendor.failing.clear()
    where = driver.mount(MountRequest(name="data", holder="c1")).path
    assert mounts.is_mount_point(where)
    driver.unmount("data", "c1")
    assert mounted(tmp_path) == []


@pytest.mark.parametrize("call", ["NodeUnpublishVolume", "NodeUnstageVolume", "ControllerUnpublishVolume"])
def test_an_unmount_that_fails_is_finished_by_recovery(make: Make, tmp_path: Path, call: str) -> None:
    driver, vendor = make()
    driver.create("data", {})
    driver.mount(MountRequest(name="data", holder="c1"))
    vendor.failing.add(call)
    with pytest.raises(OutOfCapacity):
        driver.unmount("data", "c1")
    vendor.failing.clear()
    again, _ = make(vendor)
    assert list(again.recover()) == ["data: interrupted operation or reboot, unmounted"]
    assert mounted(tmp_path) == []
    assert not vendor.attached
    assert list(again.recover()) == []


def test_recovery_mounts_again_for_holders_whose_mount_is_gone(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    where = driver.mount(MountRequest(name="data", holder="c1")).path
    again, _ = make(vendor)
    assert list(again.recover()) == ["data: mounted for 1 holder"]
    mounts.unmount(where)
    assert list(again.recover()) == ["data: mounted again for 1 holder"]
    assert mounts.is_mount_point(where)
    again.unmount("data", "c1")


def test_a_mount_without_a_record_is_adopted_and_ended_by_the_first_who_lets_go(make: Make, tmp_path: Path) -> None:
    driver, vendor = make()
    vendor.CreateVolume(pb.CreateVolumeRequest(name="theirs"))
    driver.mount(MountRequest(name="vol-0001", holder="c1"))
    for record in (tmp_path / "home/var/lib/csi/volumes").iterdir():
        record.unlink()
    again, _ = make(vendor)
    assert list(again.recover()) == ["vol-0001: mount without a record, adopted"]
    again.unmount("vol-0001", "whoever")
    assert mounted(tmp_path) == []


def test_recovery_with_the_service_down_says_so_and_loses_nothing(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    where = driver.mount(MountRequest(name="data", holder="c1")).path
    mounts.unmount(where)
    vendor.failing.update(call.name for call in rpc.CALLS)
    again, _ = make(vendor)
    assert [line.split(": ")[:2] for line in again.recover()] == [["data", "not recovered"]]
    vendor.failing.clear()
    assert list(again.recover()) == ["data: mounted again for 1 holder"]
    again.unmount("data", "c1")


def test_a_service_that_publishes_nothing_is_found_out(make: Make, tmp_path: Path) -> None:
    class Liar(Vendor):
        def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
            return pb.NodePublishVolumeResponse()

    driver, _ = make(Liar(tmp_path / "vendor"))
    driver.create("data", {})
    with pytest.raises(RexrayError, match="nothing is mounted there"):
        driver.mount(MountRequest(name="data", holder="c1"))
    assert mounted(tmp_path) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\nb", "x" * 129])
def test_bad_names_never_reach_the_service(make: Make, name: str) -> None:
    driver, vendor = make()
    for call in (driver.get, driver.remove, driver.path, lambda name: driver.create(name, {})):
        with pytest.raises(InvalidRequest):
            call(name)
    with pytest.raises(InvalidRequest):
        driver.mount(MountRequest(name=name, holder="c1"))
    assert vendor.log == []


def test_a_bad_size_is_refused_before_anything_is_made(make: Make) -> None:
    driver, vendor = make()
    with pytest.raises(InvalidRequest, match="'huge'"):
        driver.create("data", {"size": "huge"})
    assert vendor.log == []


def test_attaching_to_another_host_is_that_hosts_business(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    with pytest.raises(Unsupported, match="'node-7'"):
        driver.attach("data", InstanceId("node-8"))
    assert driver.attach("data", InstanceId("node-7")).token == "/dev/x"
    assert vendor.attached == {"vol-0001"}
    driver.detach("data", InstanceId("node-7"))
    assert not vendor.attached


def test_a_volume_that_a_shell_has_mounted_is_not_deleted(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    where = driver.mount(MountRequest(name="data", holder="shell")).path
    (where / "file").write_text("precious")
    with pytest.raises(InUse, match="unmount it first"):
        driver.remove("data")
    assert (where / "file").read_text() == "precious"
    assert "DeleteVolume" not in vendor.log
    driver.unmount("data", "shell")
    driver.remove("data")


def test_a_volume_that_could_not_be_deleted_is_mounted_as_before(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    target = driver.mount(MountRequest(name="data", holder="h1")).path
    vendor.failing.add("DeleteVolume")
    with pytest.raises(OutOfCapacity):
        driver.remove("data")
    assert mounts.is_mount_point(target)
    vendor.failing.clear()
    driver.unmount("data", "h1")
    assert not mounts.is_mount_point(target)
    assert not vendor.attached


def test_what_an_orchestrator_attached_stays_attached_after_the_last_unmount(make: Make) -> None:
    driver, vendor = make()
    vendor.gets = True
    driver.create("data", {})
    vendor.attached.add("vol-0001")
    driver.mount(MountRequest(name="data", holder="h1"))
    driver.unmount("data", "h1")
    assert vendor.attached == {"vol-0001"}
    vendor.attached.clear()
    driver.mount(MountRequest(name="data", holder="h1"))
    driver.unmount("data", "h1")
    assert not vendor.attached


def test_unmount_succeeds_while_an_orchestrator_has_the_volume_staged(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    target = driver.mount(MountRequest(name="data", holder="h1")).path
    vendor.busy = True
    driver.unmount("data", "h1")
    assert not mounts.is_mount_point(target)
    assert driver.path("data") is None


def test_a_read_only_mount_is_read_only_after_recovery_too(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    target = driver.mount(MountRequest(name="data", holder="h1", read_only=True)).path
    mounts.unmount(target)
    list(make(vendor)[0].recover())
    assert mounts.is_read_only(target)
    driver.unmount("data", "h1")


def test_a_holder_that_wants_to_write_is_refused_a_read_only_mount(make: Make) -> None:
    driver, _ = make()
    driver.create("data", {})
    driver.mount(MountRequest(name="data", holder="h1", read_only=True))
    with pytest.raises(InUse, match="read-only for 1 holder"):
        driver.mount(MountRequest(name="data", holder="h2"))
    driver.unmount("data", "h1")


def test_what_csi_has_no_word_for_is_refused_and_not_ignored(make: Make) -> None:
    driver, vendor = make()
    driver.create("data", {})
    for request in (
        MountRequest(name="data", holder="h1", overwrite_fs=True),
        MountRequest(name="data", holder="h1", preempt=True),
    ):
        with pytest.raises(Unsupported):
            driver.mount(request)
    with pytest.raises(Unsupported):
        driver.remove("data", force=True)
    assert not vendor.attached
