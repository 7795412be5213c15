"""csi-sanity, the conformance suite of the CSI community, through the socket that Docker is served at too."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from ceph_parts import CephCluster
from ec2_host_parts import DEV, devices, shown_guest
from gateway_switches import Switches
from rbd_host_parts import RBD, exports
from rexray_driver_ec2.disks import Disks
from scaleio_host_parts import scaleio_array
from service_parts import BRIDGE, Daemon

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("csi-sanity")]

_GROUPS = "GroupController Service [GroupController VolumeGroupSnapshots]"
NOT_OF_EC2 = (
    "Controller Service [Controller Server] ControllerPublishVolume"
    " should fail when the volume is already published but is incompatible",
    "ControllerGetVolumeHealth [Controller Server] should fail when no volume id is provided",
    "ControllerGetVolumeHealth [Controller Server] should return health for a valid volume",
    "ControllerListVolumeHealth [Controller Server] should return appropriate response",
    "GroupController Service [GroupController Server] GroupControllerGetCapabilities"
    " should return appropriate capabilities",
    f"{_GROUPS} CreateVolumeGroupSnapshot should fail when no name is provided",
    f"{_GROUPS} DeleteVolumeGroupSnapshot should fail when no volume id is provided",
    f"{_GROUPS} DeleteVolumeGroupSnapshot should succeed when an invalid volume id is used",
    f"{_GROUPS} GetVolumeGroupSnapshot should fail when an invalid volume id is used",
    f"{_GROUPS} GetVolumeGroupSnapshot should fail when no volume id is provided",
)
"""The cases of what EC2 does not have: read-only attachments, the health of a volume, snapshots of several at once."""


NOT_OF_CEPH = (
    "CreateSnapshot [Controller Server] should succeed when creating a snapshot with accessibility requirements",
)
"""The case of zones, which a Ceph cluster does not have."""

_MODIFY = "ModifyVolume [Controller Server] should"
NOT_OF_XTREMIO = (
    "Controller Service [Controller Server] ControllerPublishVolume"
    " should fail when the volume is already published but is incompatible",
    "Controller Service [Controller Server] CreateVolume should create volume with a volume attribute class",
    "Controller Service [Controller Server] CreateVolume"
    " should not create volume with an invalid volume attribute class",
    "ControllerGetVolumeHealth [Controller Server] should fail when no volume id is provided",
    "ControllerGetVolumeHealth [Controller Server] should return health for a valid volume",
    "ControllerListVolumeHealth [Controller Server] should return appropriate response",
    "CreateSnapshot [Controller Server] should succeed when creating a snapshot with accessibility requirements",
    f"{_MODIFY} fail if no volume id is given",
    f"{_MODIFY} fail if specified mutable parameters are not supported by the volume",
    f"{_MODIFY} fail if volume does not exist",
    f"{_MODIFY} fail to modify a volume created with a volume attribute class"
    " if new mutable parameters are not supported by volume",
    f"{_MODIFY} modify a volume created with a volume attribute class",
    f"{_MODIFY} modify a volume created without a volume attribute class",
)
"""The cases of what XtremIO does not have: read-only attachments, health, zones, properties that can be changed."""


def run_every_case(
    daemon: Daemon, program: str, *arguments: str, mutable: str, skipped: Collection[str] = (), size: int = 1 << 30
) -> None:
    """Run csi-sanity: every case passes, none fails, none is skipped but those of what the platform does not have."""
    report = daemon.home / "report.json"
    parameters = daemon.home / "mutable.yaml"
    parameters.write_text(mutable)
    answer = subprocess.run(
        [
            program,
            f"--csi.endpoint={daemon.endpoint}",
            f"--csi.mountdir={daemon.home / 'mount'}",
            f"--csi.stagingdir={daemon.home / 'staging'}",
            f"--csi.testvolumesize={size}",
            f"--csi.testvolumeexpandsize={2 * size}",
            f"--csi.testvolumemutableparameters={parameters}",
            "--csi.testnodevolumeattachlimit",
            f"--ginkgo.json-report={report}",
            "--ginkgo.no-color",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-5000:]
    cases = [case for suite in json.loads(report.read_text()) for case in suite["SpecReports"]]
    states = Counter(case["State"] for case in cases if case["LeafNodeType"] == "It")
    # A case that csi-sanity itself marks as pending (an "XIt" in its source) is run for nobody.
    left_out = [" ".join([*case["ContainerHierarchyTexts"], case["LeafNodeText"]]) for case in cases]
    left_out = [name for name, case in zip(left_out, cases, strict=True) if case["State"] == "skipped"]
    assert sorted(left_out) == sorted(skipped), "\n".join(sorted(set(left_out) ^ set(skipped)))
    assert set(states) - {"skipped"} == {"passed", "pending"}
    assert states["passed"] + len(skipped) >= 102
    assert states["pending"] == 1
    assert daemon.mounts() == []


def test_every_case_of_csi_sanity_runs_and_passes(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str]
) -> None:
    daemon = make_daemon(X_CSI_VFS_MAX_VOLUMES="5").start()
    run_every_case(daemon, tool("csi-sanity"), mutable='mode: "0750"\n')
    assert [path.name for path in (daemon.data / "vol").iterdir()] == [".rexray"]
    assert [path.name for path in (daemon.data / "snap").iterdir()] == [".rexray"]


@pytest.mark.parametrize("access", ["mount", "block"])
def test_every_case_of_csi_sanity_runs_and_passes_on_the_bridge_over_loop_devices(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str], access: str
) -> None:
    daemon = make_daemon(**BRIDGE, LOOP_MAXVOLUMES="5").start()
    arguments = (f"--csi.testvolumeaccesstype={access}",)
    run_every_case(daemon, tool("csi-sanity"), *arguments, mutable="type: thick\n")
    assert daemon.loops() == []
    assert daemon.docker("VolumeDriver.List")["Volumes"] == []


@pytest.mark.needs("loop", "mkfs.ext4")
@pytest.mark.skipif(Disks(Path("/sys"), DEV).is_nitro(), reason="a Nitro host finds no volumes by a Xen name")
@pytest.mark.parametrize("access", ["mount", "block"])
def test_every_case_of_csi_sanity_that_ec2_can_have_runs_and_passes_on_the_bridge_over_ec2(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str], access: str, tmp_path: Path
) -> None:
    with shown_guest(tmp_path) as guest:
        guest.cloud.control(attach_limit=1 + 5)
        daemon = make_daemon(**{**BRIDGE, **guest.environ, "EC2_MAXVOLUMES": "5"}).start()
        try:
            arguments = (f"--csi.testvolumeaccesstype={access}",)
            run_every_case(daemon, tool("csi-sanity"), *arguments, mutable='throughput: "250"\n', skipped=NOT_OF_EC2)
            assert devices(guest) == {}
            assert (len(guest.cloud.state()["volumes"]), guest.cloud.state()["snapshots"]) == (1, {})
            assert guest.cloud.trouble() == []
        finally:
            daemon.clean_up()


@pytest.mark.needs("ceph", "qemu-storage-daemon", "mkfs.ext4")
@pytest.mark.parametrize("access", ["mount", "block"])
def test_every_case_of_csi_sanity_that_ceph_can_have_runs_and_passes_on_the_bridge_over_a_cluster(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str], access: str, cluster: CephCluster
) -> None:
    daemon = make_daemon(**{**BRIDGE, **RBD, **cluster.environ, "RBD_MAXVOLUMES": "5"}).start()
    arguments = (f"--csi.testvolumeaccesstype={access}",)
    run_every_case(daemon, tool("csi-sanity"), *arguments, mutable='iops: "500"\n', skipped=NOT_OF_CEPH)
    assert daemon.loops() == exports(daemon.home) == []
    assert cluster.rbd("ls", "--long") == cluster.rbd("trash", "ls", "--all") == ""


@pytest.mark.needs("loop", "mkfs.ext4")
@pytest.mark.parametrize("access", ["mount", "block"])
def test_every_case_of_csi_sanity_runs_and_passes_on_the_bridge_over_a_scaleio_array(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str], access: str, tmp_path: Path
) -> None:
    with scaleio_array(tmp_path, Switches(volumes_per_sdc=5)) as array:
        daemon = make_daemon(**{**BRIDGE, **array.environ, "SCALEIO_MAXVOLUMES": "5"}).start()
        arguments = (f"--csi.testvolumeaccesstype={access}",)
        run_every_case(daemon, tool("csi-sanity"), *arguments, mutable='rmcache: "true"\n', size=8 << 30)
        assert (array.host.shown, array.gateway.volumes()) == ([], [])
