"""Storage drivers over CSI: what csi-sanity does not ask of the bridge, on real loop devices."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge.plugin import Bridge
from rexray.csi.client import Caller, CSIClient
from rexray.csi.local import LocalCaller, handlers_of
from rexray.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray.types import (
    Attachment,
    InstanceId,
    MountRequest,
    Snapshot,
    SnapshotGroup,
    SnapshotId,
    Volume,
    VolumeId,
    VolumeSpec,
)
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage
from service_parts import BRIDGE, Daemon

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("mkfs.xfs")]

ROOT = Path(__file__).resolve().parents[1]
Modes = pb.VolumeCapability.AccessMode
ZONE = "topology.rexray.io/zone"
GIB = 1 << 30


def mount(
    fs_type: str = "xfs", mode: int = Modes.SINGLE_NODE_WRITER, group: str = "", flags: Sequence[str] = ()
) -> pb.VolumeCapability:
    volume = pb.VolumeCapability.MountVolume(fs_type=fs_type, volume_mount_group=group, mount_flags=flags)
    return pb.VolumeCapability(mount=volume, access_mode=Modes(mode=mode))  # type: ignore[arg-type]


def block(mode: int = Modes.SINGLE_NODE_WRITER) -> pb.VolumeCapability:
    return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Modes(mode=mode))  # type: ignore[arg-type]


def first_mib(path: Path) -> bytes:
    with path.open("rb") as device:
        return device.read(1 << 20)


class Orchestrator:
    """The calls that an orchestrator makes of one daemon, or of a bridge in this process, in its words."""

    def __init__(self, daemon: Daemon, bridge: Bridge | None = None) -> None:
        self.daemon = daemon
        self.timeout = 60.0
        self.staging = daemon.home / "staging"
        self.staging.mkdir(exist_ok=True)
        self.caller: Caller = LocalCaller(handlers_of(bridge)) if bridge else CSIClient(str(daemon.endpoint))

    def close(self) -> None:
        if isinstance(self.caller, CSIClient):
            self.caller.close()

    def call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self.caller.call(call, request, timeout=self.timeout)

    def create(self, name: str, capability: pb.VolumeCapability, size: int = GIB, **more: object) -> pb.Volume:
        request = pb.CreateVolumeRequest(
            name=name,
            volume_capabilities=[capability],
            **{"capacity_range": pb.CapacityRange(required_bytes=size), **more},  # type: ignore[arg-type]
        )
        return self.call(rpc.CREATE_VOLUME, request).volume

    def attach(self, name: str, capability: pb.VolumeCapability) -> dict[str, str]:
        node = self.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
        request = pb.ControllerPublishVolumeRequest(volume_id=name, node_id=node, volume_capability=capability)
        return dict(self.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context)

    def stage(
        self, name: str, capability: pb.VolumeCapability, context: dict[str, str], *, at: str = "staging"
    ) -> None:
        self.call(
            rpc.NODE_STAGE_VOLUME,
            pb.NodeStageVolumeRequest(
                volume_id=name,
                staging_target_path=str(self.daemon.home / at),
                publish_context=context,
                volume_capability=capability,
            ),
        )

    def publish(
        self, name: str, capability: pb.VolumeCapability, target: str, *, readonly: bool = False, at: str = "staging"
    ) -> Path:
        path = self.daemon.home / target
        self.call(
            rpc.NODE_PUBLISH_VOLUME,
            pb.NodePublishVolumeRequest(
                volume_id=name,
                staging_target_path=str(self.daemon.home / at),
                target_path=str(path),
                volume_capability=capability,
                readonly=readonly,
            ),
        )
        return path

    def unpublish(self, name: str, target: str) -> None:
        request = pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=str(self.daemon.home / target))
        self.call(rpc.NODE_UNPUBLISH_VOLUME, request)

    def unstage(self, name: str, *, at: str = "staging") -> None:
        path = str(self.daemon.home / at)
        request = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=path)
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

    def down(self, name: str, *targets: str, at: str = "staging") -> None:
        """From published to nothing, with nothing left."""
        for target in targets or ("target",):
            self.unpublish(name, target)
        self.unstage(name, at=at)
        self.detach(name)
        self.delete(name)
        assert self.daemon.mounts() == []
        assert self.daemon.loops() == []


class Slow(LoopStorage):
    """A platform that can be waited for: ``before`` is called before each volume, ``during`` before each snapshot."""

    before: Callable[[], object] = staticmethod(lambda: None)
    during: Callable[[], object] = staticmethod(lambda: None)

    def create(self, spec: VolumeSpec) -> Volume:
        self.before()
        return super().create(spec)

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        self.during()
        return super().create_snapshot(volume_id, name, description)

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        self.during()
        return super().create_snapshot_group(name, volume_ids)


class SlowBridge(Bridge):
    """A bridge in this process to such a platform."""

    def __init__(self, daemon: Daemon) -> None:
        environ = {**daemon.environ, "LOOP_ROOT": str(daemon.home / "var/lib/loop")}
        sources = Sources(environ=environ)
        super().__init__(sources, find_paths(environ))
        self.slow = Slow(sources.load(LoopSettings))

    def storage(self) -> Slow:
        return self.slow


@pytest.fixture
def bridge(make_daemon: Callable[..., Daemon]) -> SlowBridge:
    return SlowBridge(make_daemon(**BRIDGE))


@pytest.fixture
def local(make_daemon: Callable[..., Daemon], bridge: SlowBridge) -> Orchestrator:
    return Orchestrator(make_daemon(**BRIDGE), bridge)


def records(orchestrator: Orchestrator) -> list[Path]:
    return sorted((orchestrator.daemon.home / "var/lib/csi/loop-nodes").glob("*.json"))


def change_record(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes, "context": {**content["context"], **changes.get("context", {})}}))  # type: ignore[dict-item]


def reboot(orchestrator: Orchestrator) -> None:
    """What a reboot leaves: no mount, no loop device, and the records of another boot."""
    for target in sorted(orchestrator.daemon.mounts(), reverse=True):
        subprocess.run(["umount", target], check=True)
    for device in orchestrator.daemon.loops():
        subprocess.run(["losetup", "--detach", device], check=True)
    for path in records(orchestrator):
        change_record(path, boot="another")


@pytest.fixture
def orchestrator(make_daemon: Callable[..., Daemon]) -> Iterator[Orchestrator]:
    found = Orchestrator(make_daemon(**BRIDGE, LOOP_ZONE="here").start())
    yield found
    found.close()


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
        ({"fstype": "ext44"}, "ext44"),
        ({"mountoptions": "noatime,bind"}, "bind"),
        ({"mountoptions": "remount"}, "remount"),
        ({"mountoptions": "loop"}, "loop"),
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
    orchestrator.close()
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
            again.close()
            again = Orchestrator(daemon)
            action(again)
        finally:
            again.close()

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
    last.close()


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


def put_up(local: Orchestrator, name: str, at: str, target: str, capability: pb.VolumeCapability | None = None) -> Path:
    capability = capability or mount()
    local.create(name, capability)
    local.stage(name, capability, local.attach(name, capability), at=at)
    return local.publish(name, capability, target, at=at)


def test_what_is_refused_because_of_another_volume_leaves_that_volume_where_it_is(local: Orchestrator) -> None:
    (put_up(local, "first", "one", "target") / "file").write_text("precious")
    for name in ("second", "third"):
        local.create(name, mount())
    with pytest.raises(InUse, match="first"):
        local.stage("second", mount(), local.attach("second", mount()), at="one")
    local.stage("third", mount(), local.attach("third", mount()), at="two")
    for taken in ("target", "one"):
        with pytest.raises(InUse, match="first"):
            local.publish("third", mount(), taken, at="two")
    for asked in ("second", "third"):
        local.unpublish(asked, "target")
    local.unstage("second", at="one")
    home = local.daemon.home
    assert sorted(local.daemon.mounts()) == [str(home / name) for name in ("one", "target", "two")]
    assert (home / "target/file").read_text() == "precious"


def test_what_is_refused_because_of_somebody_elses_mount_leaves_that_mount(local: Orchestrator) -> None:
    home = local.daemon.home
    for name in ("foreign", "foreign-target"):
        (home / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(home / name)], check=True)
        (home / name / "file").write_text("in memory")
    local.create("data", mount())
    with pytest.raises(InUse):
        local.stage("data", mount(), local.attach("data", mount()), at="foreign")
    assert records(local) == []
    local.unstage("data", at="foreign")
    local.stage("data", mount(), local.attach("data", mount()))
    with pytest.raises(InUse):
        local.publish("data", mount(), "foreign-target")
    local.unpublish("data", "foreign-target")
    assert [(home / name / "file").read_text() for name in ("foreign", "foreign-target")] == ["in memory"] * 2


def test_a_target_that_could_not_be_published_is_left_as_it_was_found(local: Orchestrator) -> None:
    target = put_up(local, "raw", "staging", "target", block()).parent / "folder"
    target.mkdir()
    with pytest.raises(RexrayError):
        local.publish("raw", block(), "folder")
    assert target.is_dir()
    assert len(local.daemon.mounts()) == 1


def test_no_call_removes_the_volume_that_another_one_has_got(local: Orchestrator, bridge: SlowBridge) -> None:
    def create(limit: int, found: list[object]) -> None:
        wanted = pb.CapacityRange(required_bytes=(64 << 20) + 1, limit_bytes=limit)
        request = pb.CreateVolumeRequest(name="data", volume_capabilities=[mount()], capacity_range=wanted)
        try:
            found.append(local.call(rpc.CREATE_VOLUME, request).volume.volume_id)
        except RexrayError as error:
            found.append(error)

    began = threading.Event()
    go_on = threading.Event()

    def before() -> None:
        if threading.current_thread().name == "limited":
            began.set()
            go_on.wait(10)

    bridge.slow.before = before
    limited: list[object] = []
    free: list[object] = []
    threads = [
        threading.Thread(target=create, args=((64 << 20) + 9, limited), name="limited"),
        threading.Thread(target=create, args=(0, free), name="free"),
    ]
    threads[0].start()
    assert began.wait(10)
    threads[1].start()
    threads[1].join(1)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert isinstance(limited[0], OutOfRange)
    assert free == ["data"]
    assert [volume.id for volume in bridge.slow.volumes()] == ["data"]


def test_after_a_reboot_a_volume_is_staged_elsewhere_and_otherwise(local: Orchestrator) -> None:
    local.create("data", mount())
    local.stage("data", mount(), local.attach("data", mount()), at="old")
    reboot(local)
    local.stage("data", mount(), local.attach("data", mount()), at="new")
    with pytest.raises(AlreadyExists, match="new"):
        local.stage("data", mount(), local.attach("data", mount()), at="third")
    local.unstage("data", at="third")
    assert local.daemon.mounts() == []
    assert local.daemon.loops() == []
    local.create("raw", block())
    local.stage("raw", block(), local.attach("raw", block()), at="old")
    reboot(local)
    local.stage("raw", mount(), local.attach("raw", mount()), at="new")
    local.publish("raw", mount(), "target", at="new")
    local.unstage("raw", at="old")
    assert (local.daemon.home / "target").is_mount()
    local.down("raw", at="new")


def test_a_volume_that_was_unmounted_by_hand_is_staged_elsewhere(local: Orchestrator) -> None:
    local.create("data", mount())
    local.stage("data", mount(), local.attach("data", mount()), at="old")
    subprocess.run(["umount", str(local.daemon.home / "old")], check=True)
    local.stage("data", mount(), local.attach("data", mount()), at="new")
    assert (local.daemon.home / "new").is_mount()


@pytest.mark.parametrize("capability", [mount(), block()])
def test_after_a_reboot_unpublish_still_removes_the_target(
    local: Orchestrator, capability: pb.VolumeCapability
) -> None:
    target = put_up(local, "data", "staging", "target", capability)
    reboot(local)
    assert target.exists()
    with pytest.raises(RexrayError, match="not staged"):
        local.publish("data", capability, "target")
    local.stage("data", capability, local.attach("data", capability))
    local.unpublish("data", "target")
    assert not target.exists()
    second = local.publish("data", capability, "second")
    reboot(local)
    local.unstage("data")
    assert not second.exists()
    local.detach("data")
    local.delete("data")


def test_after_a_reboot_unpublish_leaves_what_somebody_mounted_at_the_target(local: Orchestrator) -> None:
    target = put_up(local, "data", "staging", "target")
    reboot(local)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(target)], check=True)
    local.unpublish("data", "target")
    assert target.is_mount()


def test_a_volume_staged_again_is_found_by_what_the_controller_says_by_now(local: Orchestrator) -> None:
    local.create("raw", block())
    context = local.attach("raw", block())
    local.stage("raw", block(), context)
    change_record(records(local)[0], context={"token": "/elsewhere/data"})
    local.stage("raw", block(), context)
    local.publish("raw", block(), "target")
    local.down("raw")


def test_a_target_with_files_in_it_is_left_and_forgotten(local: Orchestrator) -> None:
    target = local.daemon.home / "target"
    target.mkdir()
    (target / "below").write_text("somebody's")
    put_up(local, "data", "staging", "target")
    assert not (target / "below").exists()
    local.unpublish("data", "target")
    assert (target / "below").read_text() == "somebody's"
    local.down("data")


def test_options_of_the_filesystem_are_not_those_of_each_mount(local: Orchestrator) -> None:
    capability = mount("ext4", flags=["noatime,nosuid", "discard", "data=ordered", "errors=remount-ro"])
    target = put_up(local, "data", "staging", "target", capability)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    (line,) = [line for line in mounts if line.split()[4] == str(target)]
    assert {"noatime", "nosuid", "rw"} <= set(line.split()[5].split(","))
    assert "discard" in line
    local.down("data")


def test_a_size_that_cannot_be_had_within_the_limit_is_refused_and_changes_nothing(local: Orchestrator) -> None:
    wanted = pb.CapacityRange(required_bytes=(64 << 20) + 1, limit_bytes=(64 << 20) + 10)
    for _ in range(2):
        with pytest.raises(OutOfRange, match="whole MiB"):
            local.create("other", mount(), capacity_range=wanted)
    local.create("data", mount(), size=64 << 20)
    for _ in range(2):
        with pytest.raises(OutOfRange, match="whole MiB"):
            local.call(
                rpc.CONTROLLER_EXPAND_VOLUME,
                pb.ControllerExpandVolumeRequest(volume_id="data", capacity_range=wanted),
            )
    listed = local.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest()).entries
    assert [(entry.volume.volume_id, entry.volume.capacity_bytes) for entry in listed] == [("data", 64 << 20)]


def test_a_volume_is_staged_again_only_as_it_was(local: Orchestrator) -> None:
    capability = mount("ext4", flags=["noatime"])
    local.create("data", capability)
    context = local.attach("data", capability)
    local.stage("data", capability, context)
    for other in (mount("xfs", flags=["noatime"]), mount("ext4"), mount("ext4", flags=["noatime", "nosuid"])):
        with pytest.raises(AlreadyExists, match="staged"):
            local.stage("data", other, context)
    for same in (capability, mount("", flags=["noatime"])):
        local.stage("data", same, context)
    local.publish("data", capability, "target")
    local.down("data")


def test_the_staging_path_is_no_target(local: Orchestrator) -> None:
    local.create("data", mount())
    local.stage("data", mount(), local.attach("data", mount()))
    (local.daemon.home / "link").symlink_to(local.daemon.home)
    for target in ("staging", "staging/", "staging/inside", "link/staging"):
        with pytest.raises(InvalidRequest, match="staging path"):
            local.publish("data", mount(), target)
        local.unpublish("data", target)
        assert local.staging.is_mount()
    assert not (local.staging / "inside").exists()


def test_a_page_of_one_volumes_snapshots_has_no_others(local: Orchestrator) -> None:
    for volume in ("a", "b"):
        local.create(volume, mount(), size=1 << 20)
    for number in range(3):
        for volume in ("a", "b"):
            take = pb.CreateSnapshotRequest(name=f"s{number}{volume}", source_volume_id=volume)
            local.call(rpc.CREATE_SNAPSHOT, take)
    token = local.call(rpc.LIST_SNAPSHOTS, pb.ListSnapshotsRequest(max_entries=1)).next_token
    request = pb.ListSnapshotsRequest(starting_token=token, source_volume_id="b")
    found = local.call(rpc.LIST_SNAPSHOTS, request).entries
    assert [entry.snapshot.source_volume_id for entry in found] == ["b", "b", "b"]


def test_a_path_with_a_slash_behind_it_is_the_same_path(local: Orchestrator) -> None:
    target = put_up(local, "data", "staging/", "target/")
    for path in (f"{target}/", f"{local.staging}/"):
        stats = pb.NodeGetVolumeStatsRequest(volume_id="data", volume_path=path)
        assert local.call(rpc.NODE_GET_VOLUME_STATS, stats).usage
        expand = pb.NodeExpandVolumeRequest(volume_id="data", volume_path=path)
        assert local.call(rpc.NODE_EXPAND_VOLUME, expand).capacity_bytes == GIB
    with pytest.raises(NotFound):
        local.call(rpc.NODE_GET_VOLUME_STATS, pb.NodeGetVolumeStatsRequest(volume_id="data", volume_path="target"))


def synced(path: Path) -> threading.Thread:
    """Write to a file in the background, until it is on the device."""

    def write() -> None:
        with path.open("w") as file:
            file.write("x")
            file.flush()
            os.fsync(file.fileno())

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_snapshot_is_taken_while_nothing_is_written(local: Orchestrator, bridge: SlowBridge) -> None:
    paths = [put_up(local, name, f"staging-{name}", f"target-{name}") for name in ("a", "b")]
    writers: list[threading.Thread] = []
    held: list[bool] = []

    def during() -> None:
        fresh = [synced(path / f"file{len(writers)}") for path in paths]
        time.sleep(0.5)
        held.extend(writer.is_alive() for writer in fresh)
        writers.extend(fresh)

    bridge.slow.during = during
    local.call(rpc.CREATE_SNAPSHOT, pb.CreateSnapshotRequest(name="one", source_volume_id="a"))
    assert held == [True, False]
    group = pb.CreateVolumeGroupSnapshotRequest(name="both", source_volume_ids=["a", "b"])
    local.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, group)
    assert held == [True, False, True, True]
    with pytest.raises(AlreadyExists):
        local.call(rpc.CREATE_SNAPSHOT, pb.CreateSnapshotRequest(name="one", source_volume_id="b"))
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()


def test_a_snapshot_of_what_docker_has_mounted_is_taken_while_nothing_is_written(
    local: Orchestrator, bridge: SlowBridge
) -> None:
    local.create("data", mount())
    volumes = bridge.volume_driver()
    where = volumes.mount(MountRequest(name="data", holder="container")).path
    held: list[bool] = []
    writers: list[threading.Thread] = []

    def during() -> None:
        writers.append(synced(where / "file"))
        writers[-1].join(0.5)
        held.append(writers[-1].is_alive())

    bridge.slow.during = during
    local.call(rpc.CREATE_SNAPSHOT, pb.CreateSnapshotRequest(name="one", source_volume_id="data"))
    assert held == [True]
    writers[0].join(10)
    assert not writers[0].is_alive()
    volumes.unmount("data", "container")


def test_a_snapshot_that_ends_first_does_not_thaw_for_another(local: Orchestrator, bridge: SlowBridge) -> None:
    target = put_up(local, "data", "staging", "target")
    at_once: list[int] = []
    under_way = 0

    def during() -> None:
        nonlocal under_way
        under_way += 1
        time.sleep(0.3)
        at_once.append(under_way)
        under_way -= 1

    def take(name: str) -> None:
        local.call(rpc.CREATE_SNAPSHOT, pb.CreateSnapshotRequest(name=name, source_volume_id="data"))

    bridge.slow.during = during
    threads = [threading.Thread(target=take, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert at_once == [1, 1]
    (target / "file").write_text("thawed")


def test_giving_a_large_volume_to_a_group_ends_with_the_call_and_goes_on(local: Orchestrator) -> None:
    target = put_up(local, "data", "staging", "target")
    for number in range(2000):
        (target / f"file{number}").touch()
    local.unpublish("data", "target")
    local.timeout = 0.0
    with pytest.raises(TimedOut, match="volume_mount_group"):
        local.publish("data", mount(group="4321"), "target")
    assert not target.exists()
    local.timeout = 60.0
    local.publish("data", mount(group="4321"), "target")
    assert {path.stat().st_gid for path in (target, *target.iterdir())} == {4321}
    local.down("data")


def test_docker_leaves_attached_what_an_orchestrator_has_attached_after_it(orchestrator: Orchestrator) -> None:
    docker = orchestrator.daemon.docker
    docker("VolumeDriver.Create", Name="data", Opts={"size": "1", "fstype": "xfs"})
    docker("VolumeDriver.Mount", Name="data", ID="c1")
    context = orchestrator.attach("data", mount())
    docker("VolumeDriver.Unmount", Name="data", ID="c1")
    orchestrator.stage("data", mount(), context)
    orchestrator.publish("data", mount(), "target")
    orchestrator.down("data")


class Interrupted(Slow):
    """A platform whose operations have steps, after the first of which a call may fail once."""

    failing = False
    gone: Collection[SnapshotId] = ()

    def create(self, spec: VolumeSpec) -> Volume:
        """A copy is made as large as its source, and grows then."""
        volume = super().create(replace(spec, size_bytes=0) if spec.source_volume else spec)
        self._fail()
        return self.expand(volume.id, spec.size_bytes) if volume.size_bytes < spec.size_bytes else volume

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        self._fail()
        return super().attach(volume_id, instance_id, device=device, read_only=read_only, force=force)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        found = super().snapshots(volume_id=volume_id, snapshot_id=snapshot_id)
        return (snapshot for snapshot in found if snapshot.id not in self.gone)

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """A group is what there is of its members."""
        group = super().snapshot_group(group_id)
        return replace(group, snapshots=tuple(item for item in group.snapshots if item.id not in self.gone))

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        if self.failing:
            self.gone = {super().snapshot_group(group_id).snapshots[0].id}
        self._fail()
        super().remove_snapshot_group(group_id)

    def _fail(self) -> None:
        failing, self.failing = self.failing, False
        if failing:
            raise Unavailable("the platform is away")


@pytest.fixture
def interrupted(bridge: SlowBridge) -> Interrupted:
    """The platform of the bridge."""
    bridge.slow = storage = Interrupted(bridge.slow._settings)
    return storage


def test_a_larger_copy_that_was_interrupted_is_finished_by_the_same_call(
    interrupted: Interrupted, local: Orchestrator
) -> None:
    local.create("source", mount(), size=64 << 20)
    source = pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id="source"))
    interrupted.failing = True
    with pytest.raises(Unavailable):
        local.create("copy", mount(), size=128 << 20, volume_content_source=source)
    for _ in range(2):
        assert local.create("copy", mount(), size=128 << 20, volume_content_source=source).capacity_bytes == 128 << 20
    smaller = pb.CapacityRange(required_bytes=64 << 20, limit_bytes=100 << 20)
    with pytest.raises(AlreadyExists, match="134217728 bytes"):
        local.create("copy", mount(), capacity_range=smaller, volume_content_source=source)
    with pytest.raises(AlreadyExists, match="67108864 bytes"):
        local.create("source", mount(), size=128 << 20)


def test_a_group_snapshot_whose_deletion_was_interrupted_is_deleted_by_the_same_call(
    interrupted: Interrupted, local: Orchestrator
) -> None:
    for name in ("a", "b", "c"):
        local.create(name, mount(), size=1 << 20)
    alone = local.call(rpc.CREATE_SNAPSHOT, pb.CreateSnapshotRequest(name="alone", source_volume_id="c")).snapshot
    take = pb.CreateVolumeGroupSnapshotRequest(name="both", source_volume_ids=["a", "b"])
    group = local.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, take).group_snapshot
    members = [snapshot.snapshot_id for snapshot in group.snapshots]

    def delete(*snapshot_ids: str) -> None:
        request = pb.DeleteVolumeGroupSnapshotRequest(group_snapshot_id="both", snapshot_ids=snapshot_ids)
        local.call(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, request)

    interrupted.failing = True
    with pytest.raises(Unavailable):
        delete(*members)
    for others in ([*members, alone.snapshot_id], members[:1], ["unknown"]):
        with pytest.raises(InvalidRequest, match="snapshot_ids"):
            delete(*others)
    get = pb.GetVolumeGroupSnapshotRequest(group_snapshot_id="both", snapshot_ids=members)
    with pytest.raises(InvalidRequest, match="snapshot_ids"):
        local.call(rpc.GET_VOLUME_GROUP_SNAPSHOT, get)
    for _ in range(2):
        delete(*members)
    listed = local.call(rpc.LIST_SNAPSHOTS, pb.ListSnapshotsRequest()).entries
    assert [entry.snapshot.snapshot_id for entry in listed] == [alone.snapshot_id]


@pytest.mark.parametrize("attached_before", [True, False])
def test_an_attach_that_fails_leaves_the_claim_of_the_one_that_stands(
    interrupted: Interrupted, local: Orchestrator, bridge: SlowBridge, attached_before: bool
) -> None:
    """Docker leaves attached what an orchestrator has attached, and nothing else."""
    local.create("data", mount())
    volumes = bridge.volume_driver()
    volumes.mount(MountRequest(name="data", holder="c1"))
    if attached_before:
        local.attach("data", mount())
    interrupted.failing = True
    with pytest.raises(Unavailable):
        local.attach("data", mount())
    volumes.unmount("data", "c1")
    assert bool(interrupted.attachments(VolumeId("data"))) == attached_before
