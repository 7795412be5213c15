"""Storage drivers over CSI: what csi-sanity does not ask of the bridge, on real loop devices."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfCapacity, RexrayError, Unsupported
from service_parts import BRIDGE, Daemon

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("mkfs.xfs")]

ROOT = Path(__file__).resolve().parents[1]
Modes = pb.VolumeCapability.AccessMode
ZONE = "topology.rexray.io/zone"
GIB = 1 << 30


def mount(fs_type: str = "xfs", mode: int = Modes.SINGLE_NODE_WRITER, group: str = "") -> pb.VolumeCapability:
    volume = pb.VolumeCapability.MountVolume(fs_type=fs_type, volume_mount_group=group)
    return pb.VolumeCapability(mount=volume, access_mode=Modes(mode=mode))  # type: ignore[arg-type]


def block(mode: int = Modes.SINGLE_NODE_WRITER) -> pb.VolumeCapability:
    return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Modes(mode=mode))  # type: ignore[arg-type]


def first_mib(path: Path) -> bytes:
    with path.open("rb") as device:
        return device.read(1 << 20)


class Orchestrator:
    """The calls that an orchestrator makes of one daemon, in its words."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.staging = daemon.home / "staging"
        self.staging.mkdir(exist_ok=True)
        self.client = CSIClient(str(daemon.endpoint))

    def call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self.client.call(call, request, timeout=60)

    def create(self, name: str, capability: pb.VolumeCapability, size: int = GIB, **more: object) -> pb.Volume:
        request = pb.CreateVolumeRequest(
            name=name,
            volume_capabilities=[capability],
            capacity_range=pb.CapacityRange(required_bytes=size),
            **more,  # type: ignore[arg-type]
        )
        return self.call(rpc.CREATE_VOLUME, request).volume

    def attach(self, name: str, capability: pb.VolumeCapability) -> dict[str, str]:
        node = self.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
        request = pb.ControllerPublishVolumeRequest(volume_id=name, node_id=node, volume_capability=capability)
        return dict(self.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context)

    def stage(self, name: str, capability: pb.VolumeCapability, context: dict[str, str]) -> None:
        self.call(
            rpc.NODE_STAGE_VOLUME,
            pb.NodeStageVolumeRequest(
                volume_id=name,
                staging_target_path=str(self.staging),
                publish_context=context,
                volume_capability=capability,
            ),
        )

    def publish(self, name: str, capability: pb.VolumeCapability, target: str, *, readonly: bool = False) -> Path:
        path = self.daemon.home / target
        self.call(
            rpc.NODE_PUBLISH_VOLUME,
            pb.NodePublishVolumeRequest(
                volume_id=name,
                staging_target_path=str(self.staging),
                target_path=str(path),
                volume_capability=capability,
                readonly=readonly,
            ),
        )
        return path

    def unpublish(self, name: str, target: str) -> None:
        request = pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=str(self.daemon.home / target))
        self.call(rpc.NODE_UNPUBLISH_VOLUME, request)

    def unstage(self, name: str) -> None:
        request = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=str(self.staging))
        self.call(rpc.NODE_UNSTAGE_VOLUME, request)

    def detach(self, name: str) -> None:
        self.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, pb.ControllerUnpublishVolumeRequest(volume_id=name))

    def delete(self, name: str) -> None:
        self.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=name))

    def up(self, name: str, capability: pb.VolumeCapability, target: str = "target") -> Path:
        """From nothing to published."""
        self.create(name, capability)
        self.stage(name, capability, self.attach(name, capability))
        return self.publish(name, capability, target)

    def down(self, name: str, *targets: str) -> None:
        """From published to nothing, with nothing left."""
        for target in targets or ("target",):
            self.unpublish(name, target)
        self.unstage(name)
        self.detach(name)
        self.delete(name)
        assert self.daemon.mounts() == []
        assert self.daemon.loops() == []


@pytest.fixture
def orchestrator(make_daemon: Callable[..., Daemon]) -> Iterator[Orchestrator]:
    found = Orchestrator(make_daemon(**BRIDGE, LOOP_ZONE="here").start())
    yield found
    found.client.close()


def test_a_controller_needs_no_drivers_of_a_node_and_a_node_no_controller(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(**BRIDGE, X_CSI_MODE="controller", REXRAY_OSDRIVERS="plan9").start()
    controller = Orchestrator(daemon)
    controller.create("data", mount())
    with pytest.raises(Unsupported):
        controller.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest())
    other = make_daemon(**BRIDGE, X_CSI_MODE="node")
    other.endpoint = daemon.home / "node.sock"
    other.environ["CSI_ENDPOINT"] = str(other.endpoint)
    other.environ["REXRAY_HOME"] = str(daemon.home / "node")
    other.environ["LOOP_ROOT"] = str(daemon.home / "var/lib/loop")
    node = Orchestrator(other.start())
    with pytest.raises(Unsupported):
        node.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest())
    node_id = node.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
    request = pb.ControllerPublishVolumeRequest(volume_id="data", node_id=node_id, volume_capability=mount())
    context = dict(controller.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context)
    node.stage("data", mount(), context)
    target = node.publish("data", mount(), "target")
    (target / "file").write_text("through both")
    node.unpublish("data", "target")
    node.unstage("data")
    controller.detach("data")
    controller.delete("data")
    assert daemon.loops() == []


def test_a_raw_device_keeps_its_bytes_and_is_never_formatted(orchestrator: Orchestrator) -> None:
    target = orchestrator.up("raw", block())
    data = os.urandom(1 << 20)
    with target.open("r+b") as device:
        device.write(data)
        os.fsync(device.fileno())
    orchestrator.unpublish("raw", "target")
    orchestrator.unstage("raw")
    orchestrator.detach("raw")
    orchestrator.stage("raw", block(), orchestrator.attach("raw", block()))
    assert first_mib(orchestrator.publish("raw", block(), "target")) == data
    with pytest.raises(InvalidRequest, match="ControllerPublishVolume"):
        orchestrator.publish("raw", block(), "second", readonly=True)
    with pytest.raises(RexrayError):
        orchestrator.stage("raw", mount(), {})
    orchestrator.unpublish("raw", "target")
    orchestrator.unstage("raw")
    with pytest.raises(AlreadyExists, match="not"):
        orchestrator.stage("raw", mount(), orchestrator.attach("raw", mount()))
    orchestrator.stage("raw", block(), orchestrator.attach("raw", block()))
    assert first_mib(orchestrator.publish("raw", block(), "target")) == data
    orchestrator.down("raw")


def test_a_filesystem_of_another_type_is_refused_and_keeps_its_files(orchestrator: Orchestrator) -> None:
    target = orchestrator.up("data", mount("xfs"))
    (target / "file").write_text("precious")
    orchestrator.unpublish("data", "target")
    orchestrator.unstage("data")
    with pytest.raises(AlreadyExists, match="holds xfs, not ext4"):
        orchestrator.stage("data", mount("ext4"), orchestrator.attach("data", mount("ext4")))
    orchestrator.stage("data", mount(""), orchestrator.attach("data", mount("")))
    assert (orchestrator.publish("data", mount(""), "target") / "file").read_text() == "precious"
    orchestrator.down("data")


def test_several_targets_share_a_volume_unless_one_is_to_be_the_single_writer(orchestrator: Orchestrator) -> None:
    shared, single = mount(mode=Modes.SINGLE_NODE_MULTI_WRITER), mount(mode=Modes.SINGLE_NODE_SINGLE_WRITER)
    first = orchestrator.up("data", shared)
    second = orchestrator.publish("data", shared, "second")
    (first / "file").write_text("seen by both")
    assert (second / "file").read_text() == "seen by both"
    with pytest.raises(RexrayError, match="single writer"):
        orchestrator.publish("data", single, "third")
    with pytest.raises(AlreadyExists, match="for writing"):
        orchestrator.publish("data", shared, "second", readonly=True)
    reader = orchestrator.publish("data", shared, "reader", readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        (reader / "file").write_text("no")
    orchestrator.down("data", "target", "second", "reader")


def test_nothing_is_published_from_a_staging_path_that_is_no_mount(orchestrator: Orchestrator) -> None:
    orchestrator.create("data", mount())
    with pytest.raises(RexrayError, match="not staged"):
        orchestrator.publish("data", mount(), "target")
    orchestrator.stage("data", mount(), orchestrator.attach("data", mount()))
    subprocess.run(["umount", str(orchestrator.staging)], check=True)
    with pytest.raises(RexrayError, match="nothing is mounted"):
        orchestrator.publish("data", mount(), "target")
    orchestrator.stage("data", mount(), orchestrator.attach("data", mount()))
    orchestrator.publish("data", mount(), "target")
    with pytest.raises(RexrayError, match="published at"):
        orchestrator.unstage("data")
    orchestrator.down("data")


def test_a_volume_grows_while_it_is_published(orchestrator: Orchestrator) -> None:
    target = orchestrator.up("data", mount())
    wanted = pb.CapacityRange(required_bytes=3 * GIB)
    request = pb.ControllerExpandVolumeRequest(volume_id="data", capacity_range=wanted)
    assert orchestrator.call(rpc.CONTROLLER_EXPAND_VOLUME, request).node_expansion_required
    expand = pb.NodeExpandVolumeRequest(volume_id="data", volume_path=str(target))
    assert orchestrator.call(rpc.NODE_EXPAND_VOLUME, expand).capacity_bytes == 3 * GIB
    facts = os.statvfs(target)
    assert facts.f_blocks * facts.f_frsize > 2.8 * GIB
    stats = pb.NodeGetVolumeStatsRequest(volume_id="data", volume_path=str(target))
    assert orchestrator.call(rpc.NODE_GET_VOLUME_STATS, stats).usage[0].total == facts.f_blocks * facts.f_frsize
    orchestrator.down("data")


def test_a_volume_belongs_to_the_group_that_it_is_mounted_for(orchestrator: Orchestrator) -> None:
    target = orchestrator.up("data", mount(group="4321"))
    assert target.stat().st_gid == 4321
    assert target.stat().st_mode & 0o2070 == 0o2070
    orchestrator.down("data")


def test_volumes_are_made_in_the_zone_that_is_asked_for_or_not_at_all(orchestrator: Orchestrator) -> None:
    where = orchestrator.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).accessible_topology
    assert dict(where.segments) == {ZONE: "here"}
    made = orchestrator.create("data", mount(), accessibility_requirements=pb.TopologyRequirement(requisite=[where]))
    assert [dict(topology.segments) for topology in made.accessible_topology] == [{ZONE: "here"}]
    elsewhere = pb.TopologyRequirement(requisite=[pb.Topology(segments={ZONE: "there"})])
    with pytest.raises(OutOfCapacity, match="here"):
        orchestrator.create("other", mount(), accessibility_requirements=elsewhere)


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"colour": "red"}, "parameter 'colour' is unknown"),
        ({"iops": "many"}, "'many' is not a whole number"),
        ({"overwritefs": "true"}, "parameter 'overwritefs' is unknown"),
        ({"type": "gold"}, "gold"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_is_made(
    orchestrator: Orchestrator, parameters: dict[str, str], fault: str
) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        orchestrator.create("data", mount(), parameters=parameters)
    with pytest.raises(NotFound):
        orchestrator.call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id="data"))


def test_what_a_volume_was_made_for_reaches_its_nodes(orchestrator: Orchestrator) -> None:
    parameters = {"fstype": "xfs", "mountoptions": "noatime", "csi.storage.k8s.io/pv/name": "pv"}
    assert dict(orchestrator.create("data", mount(""), parameters=parameters).volume_context) == {
        "fstype": "xfs",
        "mountoptions": "noatime",
    }


def test_pages_of_a_listing_have_every_volume_once(orchestrator: Orchestrator) -> None:
    names = [f"volume-{number:02}" for number in range(25)]
    for name in names:
        orchestrator.create(name, mount(), size=1 << 20)
    found, token = [], ""
    while True:
        page = orchestrator.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(max_entries=7, starting_token=token))
        found += [entry.volume.volume_id for entry in page.entries]
        token = page.next_token
        if not token:
            break
        assert len(page.entries) == 7
    assert found == names


def test_docker_and_an_orchestrator_use_one_volume_without_undoing_each_others_part(orchestrator: Orchestrator) -> None:
    docker = orchestrator.daemon.docker
    target = orchestrator.up("data", mount())
    where = Path(str(docker("VolumeDriver.Mount", Name="data", ID="c1")["Mountpoint"]))
    (where / "file").write_text("from docker")
    assert (target / "file").read_text() == "from docker"
    docker("VolumeDriver.Unmount", Name="data", ID="c1")
    assert (target / "file").read_text() == "from docker"
    docker("VolumeDriver.Mount", Name="data", ID="c2")
    orchestrator.unpublish("data", "target")
    orchestrator.unstage("data")
    assert (where / "file").read_text() == "from docker"
    docker("VolumeDriver.Unmount", Name="data", ID="c2")
    orchestrator.detach("data")
    orchestrator.delete("data")
    assert orchestrator.daemon.mounts() == []
    assert orchestrator.daemon.loops() == []


POINTS = sorted(
    {
        point
        for path in (ROOT / "rexray-core/src/rexray/csi/bridge").glob("*.py")
        for point in re.findall(r'faults\.point\("([\w-]+)"\)', path.read_text())
    }
)


@pytest.mark.parametrize("point", POINTS)
def test_a_node_killed_at_any_step_is_asked_again_and_leaves_nothing(
    make_daemon: Callable[..., Daemon], point: str
) -> None:
    daemon = make_daemon(**BRIDGE).start()
    orchestrator = Orchestrator(daemon)
    orchestrator.create("data", mount())
    context = orchestrator.attach("data", mount())
    daemon.kill()
    orchestrator.client.close()
    daemon.environ["REXRAY_FAULT"] = point
    died = False

    def step(action: Callable[[Orchestrator], object]) -> None:
        """Once with the fault armed, and again after a restart if that killed the daemon."""
        nonlocal died
        again = Orchestrator(daemon)
        try:
            action(again)
        except RexrayError:
            assert daemon.process is not None
            assert daemon.process.wait(10) == -9
            died = True
            daemon.kill()
            del daemon.environ["REXRAY_FAULT"]
            daemon.start()
            again.client.close()
            again = Orchestrator(daemon)
            action(again)
        finally:
            again.client.close()

    daemon.start()
    step(lambda calls: calls.stage("data", mount(), context))
    step(lambda calls: calls.publish("data", mount(), "target"))
    (daemon.home / "target/file").write_text("precious")
    step(lambda calls: calls.unpublish("data", "target"))
    step(lambda calls: calls.unstage("data"))
    assert died, "no call passes the point"
    assert daemon.mounts() == []
    assert daemon.loops() == []
    last = Orchestrator(daemon)
    last.stage("data", mount(), context)
    assert (last.publish("data", mount(), "target") / "file").read_text() == "precious"
    last.down("data")
    last.client.close()


def test_a_volume_that_another_instance_has_is_refused_with_its_name(orchestrator: Orchestrator) -> None:
    orchestrator.create("data", mount())
    environ = {**orchestrator.daemon.environ, "LOOP_INSTANCEID": "elsewhere"}
    code = (
        "from rexray.registry import registry; from rexray.settings import Sources; sources = Sources(); "
        "node = registry().node_driver('loop').make(sources); "
        "registry().storage_driver('loop').make(sources).attach('data', node.instance().id)"
    )
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    with pytest.raises(RexrayError, match="elsewhere"):
        orchestrator.attach("data", mount())
    with pytest.raises(RexrayError, match="elsewhere"):
        orchestrator.stage("data", mount(), {})
