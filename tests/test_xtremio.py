"""XtremIO at the shell and over CSI, on a host with real iSCSI sessions; it changes that host for good."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from test_csi_sanity import NOT_OF_XTREMIO, run_every_case

from service_parts import BRIDGE, Daemon
from xms_parts import Xms
from xms_target import Target

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("iscsi")]

IQN = "iqn.1993-08.org.debian:01:guest"
PORTALS = ("127.0.0.1:3260", "127.0.0.2:3260")
MULTIPATH = """
defaults {
    find_multipaths strict
    polling_interval 1
    max_polling_interval 2
    no_path_retry 20
}
blacklist {
    devnode "^(loop|ubd|nbd)"
}
"""


@dataclass(frozen=True, kw_only=True)
class Array:
    """A simulated XMS, and tgt showing this host what is mapped to it."""

    xms: Xms
    target: Target

    @property
    def environ(self) -> dict[str, str]:
        """The environment as the seed prints it."""
        return {
            "REXRAY_STORAGEDRIVERS": "xtremio",
            "GOXTREMIO_ENDPOINT": self.xms.url,
            "GOXTREMIO_INSECURE": "true",
            "GOXTREMIO_USERNAME": self.xms.username,
            "GOXTREMIO_PASSWORD": self.xms.password,
        }


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def initiator() -> None:
    """iscsid and multipathd, once for all: the guest ends with them."""
    for module in ("iscsi_tcp", "sd_mod", "dm_multipath", "dm_service_time"):
        run("modprobe", module)
    for folder in ("/run/lock/iscsi", "/etc/iscsi/nodes", "/etc/multipath"):
        Path(folder).mkdir(exist_ok=True, parents=True)
    Path("/etc/iscsi/initiatorname.iscsi").write_text(f"InitiatorName={IQN}\n")
    Path("/etc/multipath.conf").write_text(MULTIPATH)
    run("iscsid")
    run("multipathd")
    until = time.monotonic() + 20
    while "pid" not in subprocess.run(["multipathd", "show", "daemon"], capture_output=True, text=True).stdout:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def array(initiator: None, tmp_path: Path) -> Iterator[Array]:
    with Xms() as xms, Target(xms, tmp_path, portals=PORTALS) as target:
        yield Array(xms=xms, target=target)
        assert nothing_is_left()


@pytest.fixture(params=["raw", "multipath"])
def host(request: pytest.FixtureRequest, make_daemon: Callable[..., Daemon], array: Array) -> Daemon:
    multipath = str(request.param == "multipath").lower()
    return make_daemon(**{**BRIDGE, **array.environ, "REXRAY_XTREMIO_MULTIPATH": multipath})


def say(host: Daemon, *words: str, **environ: str) -> str:
    answer = host.rexray(*words, **environ)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def refused(host: Daemon, *words: str, **environ: str) -> str:
    answer = host.rexray(*words, **environ)
    assert answer.returncode != 0, answer.stdout
    assert answer.stderr.count("\n") == 1, answer.stderr
    return answer.stderr.strip()


def nothing_is_left() -> bool:
    """No session, disk, multipath device or record."""
    sessions = os.listdir("/sys/class/iscsi_session") if os.path.isdir("/sys/class/iscsi_session") else []
    disks = [name for name in os.listdir("/sys/block") if name.startswith(("sd", "dm-"))]
    records = [path for path in Path("/etc/iscsi/nodes").rglob("*") if path.is_file()]
    assert (sessions, disks, records) == ([], [], [])
    return True


def test_the_seeds_example_prints_the_mapped_devices(host: Daemon, array: Array) -> None:
    assert yaml.safe_load(say(host, "volume", "get")) in (None, [])
    for name in ("one", "two"):
        say(host, "volume", "create", name, "--size", "1")
        say(host, "volume", "mount", name)
    found = yaml.safe_load(say(host, "volume", "get"))
    assert len(found) == 2
    for item in found:
        assert (item["providername"], item["instanceid"], item["status"]) == ("xtremio", IQN, "attached")
        assert Path(item["devicename"]).is_block_device()
    volumes = yaml.safe_load(say(host, "volume", "ls", "-f", "yaml"))
    assert {item["volumeid"] for item in found} == {volume["id"] for volume in volumes}
    for name in ("one", "two"):
        say(host, "volume", "unmount", name)
    assert nothing_is_left()


def test_a_volume_lives_its_whole_life_at_the_shell(host: Daemon, array: Array) -> None:
    say(host, "volume", "create", "data", "--size", "1")
    say(host, "volume", "mount", "data")
    place = Path(say(host, "volume", "path", "data").strip())
    (place / "file").write_text("before")
    say(host, "snapshot", "create", "--volumename", "data", "--snapshotname", "then")
    (place / "file").write_text("after")
    say(host, "volume", "expand", "data", "--size", "2")
    assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize > 1.8 * 2**30
    say(host, "volume", "create", "copy", "-o", "snapshotname=then")
    say(host, "volume", "mount", "copy")
    copy = Path(say(host, "volume", "path", "copy").strip())
    assert ((place / "file").read_text(), (copy / "file").read_text()) == ("after", "before")
    say(host, "volume", "unmount", "copy")
    say(host, "volume", "unmount", "data")
    assert nothing_is_left()
    say(host, "volume", "rm", "data", "copy")
    say(host, "snapshot", "rm", "then")
    assert array.xms.volumes() == []


def test_a_volume_is_put_back_to_its_snapshot(host: Daemon, array: Array) -> None:
    say(host, "volume", "create", "data", "--size", "1")
    say(host, "volume", "mount", "data")
    place = Path(say(host, "volume", "path", "data").strip())
    (place / "file").write_text("before")
    say(host, "snapshot", "create", "--volumename", "data", "--snapshotname", "then")
    (place / "file").write_text("after")
    assert "attached to" in refused(host, "snapshot", "rollback", "then")
    say(host, "volume", "unmount", "data")
    say(host, "snapshot", "rollback", "then")
    say(host, "volume", "mount", "data")
    assert (place / "file").read_text() == "before"
    say(host, "volume", "unmount", "data")


@pytest.mark.parametrize("access", ["mount", "block"])
def test_every_case_of_csi_sanity_that_xtremio_can_have_runs_and_passes_on_the_bridge(
    make_daemon: Callable[..., Daemon], tool: Callable[[str], str], access: str, array: Array
) -> None:
    multipath = {"REXRAY_XTREMIO_MULTIPATH": "true", "XTREMIO_MAXVOLUMES": "5"}
    daemon = make_daemon(**{**BRIDGE, **array.environ, **multipath}).start()
    arguments = (f"--csi.testvolumeaccesstype={access}",)
    run_every_case(daemon, tool("csi-sanity"), *arguments, mutable="{}\n", skipped=NOT_OF_XTREMIO)
    assert array.xms.volumes() == []
