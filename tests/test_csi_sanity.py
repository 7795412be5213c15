"""csi-sanity, the conformance suite of the CSI community, through the socket that Docker is served at too."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from service_parts import BRIDGE, Daemon

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("csi-sanity")]


def run_every_case(daemon: Daemon, program: str, *arguments: str, mutable: str) -> None:
    """Run csi-sanity: every case passes, none fails, none is skipped."""
    report = daemon.home / "report.json"
    parameters = daemon.home / "mutable.yaml"
    parameters.write_text(mutable)
    answer = subprocess.run(
        [
            program,
            f"--csi.endpoint={daemon.endpoint}",
            f"--csi.mountdir={daemon.home / 'mount'}",
            f"--csi.stagingdir={daemon.home / 'staging'}",
            "--csi.testvolumesize=1073741824",
            "--csi.testvolumeexpandsize=2147483648",
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
    assert set(states) == {"passed", "pending"}, [case["LeafNodeText"] for case in cases if case["State"] == "skipped"]
    assert states["passed"] >= 102
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
