"""The CSI seed's walk-through, line by line, and the socket's two protocols seen from outside."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service_parts import REXRAY, Daemon

pytestmark = pytest.mark.needs("root")


def curl(daemon: Daemon, call: str, body: str = "{}") -> str:
    answer = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "-H", "Content-Type: application/json", "-XPOST", "-d", body),
            *("--unix-socket", str(daemon.endpoint), f"http://localhost/{call}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


@pytest.mark.needs("curl")
def test_the_seeds_walk_through_with_rexray_csi(daemon: Daemon) -> None:
    created = daemon.rexray("csi", "new", "MyNewVolume")
    assert (created.returncode, created.stdout.split()[0]) == (0, "MyNewVolume"), created.stderr
    listed = daemon.rexray("csi", "ls")
    assert (listed.returncode, listed.stdout.split()[0]) == (0, "MyNewVolume"), listed.stderr
    published = daemon.rexray("csi", "att", "MyNewVolume")
    assert published.returncode == 0, published.stderr
    assert f"path={daemon.data}/dev/MyNewVolume" in published.stdout
    assert curl(daemon, "VolumeDriver.List") == '{"Volumes":[{"Name":"MyNewVolume"}]}'
    assert "multiplexed csi+docker endpoint" in daemon.log.read_text()
    assert f'"sockFile": "{daemon.endpoint}"' in daemon.log.read_text()
    assert daemon.rexray("csi", "det", "MyNewVolume").returncode == 0
    assert daemon.rexray("csi", "rm", "MyNewVolume").returncode == 0
    assert daemon.rexray("csi", "ls").stdout == ""
    assert daemon.mounts() == []


@pytest.mark.needs("csc")
def test_the_seeds_walk_through_with_todays_csc(daemon: Daemon, tool: Callable[[str], str]) -> None:
    def csc(*arguments: str) -> str:
        answer = subprocess.run(
            [tool("csc"), *arguments], env=daemon.environ, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    target = daemon.home / "target"
    staging = daemon.home / "staging"
    staging.mkdir()
    cap = ("--cap", "SINGLE_NODE_WRITER,mount,")
    assert '"MyNewVolume"' in csc("controller", "new", *cap, "MyNewVolume")
    assert '"MyNewVolume"' in csc("controller", "ls")
    node = csc("node", "get-info").split()[0].strip('"')
    context = csc("controller", "publish", "--node-id", node, *cap, "MyNewVolume")
    assert f"{daemon.data}/dev/MyNewVolume" in context
    csc("node", "stage", *cap, "--staging-target-path", str(staging), "MyNewVolume")
    publish = ("--staging-target-path", str(staging), "--target-path", str(target))
    csc("node", "publish", *cap, *publish, "MyNewVolume")
    (target / "file").write_text("written")
    assert daemon.docker("VolumeDriver.List") == {"Volumes": [{"Name": "MyNewVolume"}]}
    csc("node", "unpublish", "--target-path", str(target), "MyNewVolume")
    csc("node", "unstage", "--staging-target-path", str(staging), "MyNewVolume")
    csc("controller", "unpublish", "--node-id", node, "MyNewVolume")
    assert (daemon.data / "vol/MyNewVolume/file").read_text() == "written"
    csc("controller", "rm", "MyNewVolume")
    assert daemon.mounts() == []


def test_a_relative_endpoint_is_served_where_the_seed_puts_it(home: Path, make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(CSI_ENDPOINT="csi.sock")
    background = subprocess.run(
        [REXRAY, "start"],
        cwd=home,
        env=daemon.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    try:
        assert background.returncode == 0, background.stderr
        assert (home / "csi.sock").is_socket()
        assert "multiplexed csi+docker endpoint" in background.stderr
        assert f"CSI_ENDPOINT={home}/csi.sock rexray csi ls" in background.stdout
    finally:
        assert daemon.rexray("stop").returncode == 0
    assert not (home / "csi.sock").exists()


def test_what_docker_makes_csi_sees_and_both_share_its_data(daemon: Daemon) -> None:
    daemon.docker("VolumeDriver.Create", Name="shared", Opts={"size": "1"})
    where = Path(str(daemon.docker("VolumeDriver.Mount", Name="shared", ID="c1")["Mountpoint"]))
    (where / "file").write_text("from docker")
    listed = json.loads(daemon.rexray("csi", "ls", "--format", "json").stdout)
    assert [entry["volume"]["volume_id"] for entry in listed["entries"]] == ["shared"]
    assert listed["entries"][0]["volume"]["capacity_bytes"] == str(2**30)
    assert (daemon.data / "vol/shared/file").read_text() == "from docker"
    daemon.docker("VolumeDriver.Unmount", Name="shared", ID="c1")
    assert daemon.mounts() == []


def test_the_volume_command_works_through_the_daemon(daemon: Daemon) -> None:
    assert daemon.rexray("volume", "create", "data", "--size", "2").returncode == 0
    table = daemon.rexray("volume", "ls").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["ID", "NAME", "STATUS", "SIZE"],
        ["data", "data", "available", "2GiB"],
    ]
    path = daemon.rexray("volume", "mount", "data").stdout.strip()
    assert Path(path).is_dir()
    assert daemon.rexray("volume", "path", "data").stdout.strip() == path
    assert daemon.docker("VolumeDriver.Path", Name="data") == {"Mountpoint": path}
    refused = daemon.rexray("volume", "detach", "data", "--instanceid", "elsewhere")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    taken = daemon.rexray("snapshot", "create", "--volumeid", "data", "--snapshotname", "before")
    assert taken.returncode == 0, taken.stderr
    assert [line.split()[0] for line in daemon.rexray("snapshot", "ls").stdout.splitlines()] == ["ID", "before"]
    assert daemon.rexray("snapshot", "rm", "before").returncode == 0
    assert daemon.rexray("volume", "unmount", "data").returncode == 0
    assert daemon.rexray("volume", "path", "data").stdout == ""
    removed = daemon.rexray("volume", "rm", "data")
    assert (removed.returncode, removed.stdout) == (0, "data\n")
    missing = daemon.rexray("volume", "get", "data")
    assert (missing.returncode, missing.stderr) == (1, "error: volume 'data' does not exist\n")


def test_both_protocols_are_served_at_a_tcp_address_too(make_daemon: Callable[..., Daemon]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    daemon = make_daemon(CSI_ENDPOINT=f"tcp://127.0.0.1:{port}").start()
    assert daemon.rexray("csi", "new", "data").returncode == 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/VolumeDriver.List", "{}")
    assert connection.getresponse().read() == b'{"Volumes":[{"Name":"data"}]}'
    connection.close()
    assert f'"sockFile": "tcp://127.0.0.1:{port}"' in daemon.log.read_text()
    assert daemon.stop() == 0
