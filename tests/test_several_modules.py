"""Several endpoints in one daemon: each with its own protocols, its own service, and its own fate."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from scaleio_host_parts import Array, scaleio_array
from service_parts import REXRAY, Daemon, eventually

VFS = "csi: {{driver: csi-vfs, vfs: {{data: {home}/{name}}}}}"


def vfs(home: Path, name: str, more: str = "") -> str:
    """A module that serves directories of its own."""
    return f"    {name}: {{{VFS.format(home=home, name=name)}{', ' + more if more else ''}}}\n"


@pytest.fixture
def make(make_daemon: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Make a daemon that only its configuration file tells of endpoints."""

    def make(text: str, **environ: str) -> Daemon:
        daemon = make_daemon(**{"CSI_ENDPOINT": "", "X_CSI_NATIVE": "", "X_CSI_DRIVER": "", **environ})
        daemon.configure(text)
        return daemon

    return make


def mounted(daemon: Daemon, module: str, name: str) -> Path:
    """A volume that is made and mounted through a module, with the module's name in a file."""
    at = daemon.socket_of(module)
    daemon.docker_at(at, "VolumeDriver.Create", Name=name)
    path = Path(str(daemon.docker_at(at, "VolumeDriver.Mount", Name=name, ID="me")["Mountpoint"]))
    (path / "whose").write_text(module)
    return path


def unmounted(daemon: Daemon, module: str, name: str) -> None:
    daemon.docker_at(daemon.socket_of(module), "VolumeDriver.Unmount", Name=name, ID="me")


@pytest.mark.needs("root", "loop", "mkfs.ext4")
def test_modules_with_services_of_their_own_share_no_volume(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make(
        f"""
rexray:
  services:
    fast: {{driver: loop, loop: {{root: {home}/fast}}}}
    slow: {{driver: loop, loop: {{root: {home}/slow}}}}
  modules:
    one: {{rexray: {{service: fast}}, rexray.docker.size: 64MiB}}
    two: {{rexray.service: slow, rexray.docker: {{size: 128MiB, fsType: ext3}}}}
loop.instanceID: here
"""
    ).start()
    paths = {module: mounted(daemon, module, "data") for module in ("one", "two")}
    assert {module: (path / "whose").read_text() for module, path in paths.items()} == {
        module: module for module in paths
    }
    assert len(set(paths.values())) == 2
    for service in ("fast", "slow"):
        assert (home / service / "volumes/data").is_dir(), service
    with open("/proc/self/mountinfo") as table:
        kinds = {line.split()[4]: line.split(" - ")[1].split()[0] for line in table}
    assert {module: kinds[str(path)] for module, path in paths.items()} == {"one": "ext4", "two": "ext3"}
    names = {}
    for module in ("one", "two"):
        with CSIClient(str(daemon.socket_of(module))) as client:
            names[module] = client.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest(), timeout=10).name
            assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=10).ready.value
    assert names == {"one": "fast.loop.rexray.io", "two": "slow.loop.rexray.io"}
    assert daemon.states() == {"one": "ready", "two": "ready"}
    assert "service fast" in daemon.rexray("status").stdout
    assert daemon.kill() == -9
    daemon.start()
    for module, path in paths.items():
        assert (path / "whose").read_text() == module, "mounts outlive a daemon that is killed"
        unmounted(daemon, module, "data")
    assert daemon.mounts() == []


def test_several_services_have_a_socket_each_without_any_module(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make(
        f"""
rexray.services:
  fast: {{driver: loop, loop: {{root: {home}/fast}}}}
  slow: {{driver: loop, loop: {{root: {home}/slow}}}}
"""
    ).start()
    assert daemon.states() == {"fast": "ready", "slow": "ready"}
    for service in ("fast", "slow"):
        daemon.docker_at(daemon.socket_of(service), "VolumeDriver.Create", Name="data", Opts={"size": "64MiB"})
        assert (home / service / "volumes/data").is_dir()


@pytest.mark.needs("root", "loop", "mkfs.ext4")
def test_a_module_with_a_platform_of_its_own_and_no_service_shares_no_volume_either(
    make: Callable[..., Daemon], home: Path
) -> None:
    daemon = make(
        f"""
rexray:
  storageDrivers: loop
  docker.size: 64MiB
  modules:
    hosts: {{}}
    own: {{loop: {{root: {home}/own}}}}
loop: {{instanceID: here, root: {home}/hosts}}
"""
    ).start()
    paths = {module: mounted(daemon, module, "data") for module in ("hosts", "own")}
    assert paths["hosts"] == home / "var/lib/volumes/data", "the shell finds this one"
    for module, path in paths.items():
        assert (path / "whose").read_text() == module
        assert (home / module / "volumes/data").is_dir()
        unmounted(daemon, module, "data")


@pytest.mark.needs("root")
def test_native_modules_keep_volumes_of_one_name_apart(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make("rexray:\n  modules:\n" + vfs(home, "one") + vfs(home, "two")).start()
    paths = {module: mounted(daemon, module, "data") for module in ("one", "two")}
    assert {module: (home / module / "vol/data/whose").read_text() for module in paths} == {"one": "one", "two": "two"}
    unmounted(daemon, "one", "data")
    assert (paths["two"] / "whose").read_text() == "two"
    unmounted(daemon, "two", "data")
    assert daemon.mounts() == []


def test_each_type_speaks_its_protocols_and_no_other(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make(
        "rexray:\n  modules:\n"
        + vfs(home, "both")
        + vfs(home, "docker", "type: docker")
        + vfs(home, "csi", "csi.nodocker: true")
        + vfs(home, "remote", "type: docker-remote")
    ).start()
    spoken = {}
    for module in ("both", "docker", "csi", "remote"):
        at = daemon.socket_of(module)
        status, answer = daemon.docker_raw("Plugin.Activate", b"", at)
        probed = daemon.rexray("csi", "probe", CSI_ENDPOINT=str(at))
        spoken[module] = (answer.get("Implements") if status == 200 else None, probed.returncode == 0)
    assert spoken == {
        "both": (["VolumeDriver"], True),
        "docker": (["VolumeDriver"], False),
        "csi": (None, True),
        "remote": (["RemoteVolumeDriver"], False),
    }


def test_a_module_that_cannot_listen_is_tried_again_and_the_others_serve(
    make: Callable[..., Daemon], home: Path
) -> None:
    daemon = make("rexray:\n  modules:\n" + vfs(home, "one") + vfs(home, "two"))
    taken = daemon.socket_of("two")
    taken.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(taken))
        other.listen()
        daemon.start()
        states = daemon.states()
        assert states["one"] == "ready"
        assert states["two"].startswith("failed: ")
        assert f"{home}/etc/config.yml:4:17: rexray.modules.two: endpoint {taken}: another process" in states["two"]
        assert daemon.docker_at(daemon.socket_of("one"), "Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    assert eventually(lambda: daemon.states()["two"] == "ready", 20)
    assert daemon.docker_at(taken, "VolumeDriver.List") == {"Volumes": []}


def test_a_module_whose_driver_is_not_installed_fails_alone(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make("rexray:\n  modules:\n" + vfs(home, "one") + "    two: {csi.driver: csi-none}\n").start()
    states = daemon.states()
    assert states["one"] == "ready"
    assert "rexray.modules.two: driver 'csi-none' is not installed: pip install" in states["two"]
    assert daemon.stop() == 0


def test_when_none_can_start_the_daemon_ends_with_the_reason(make: Callable[..., Daemon], home: Path) -> None:
    daemon = make("rexray.modules: {one: {csi.driver: csi-none}, two: {csi.driver: csi-void}}")
    failed = daemon.rexray("start", "-f")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "error: " in failed.stderr
    assert "rexray.modules.one: driver 'csi-none' is not installed" in failed.stderr
    assert daemon.rexray("status").returncode == 3
    assert not (home / "var/run/modules.json").exists()


def test_a_wrong_setting_of_one_module_refuses_the_start_with_its_place(
    make: Callable[..., Daemon], home: Path
) -> None:
    daemon = make("rexray:\n  modules:\n" + vfs(home, "one") + "    two: {csi: {mode: sideways, driver: csi-vfs}}\n")
    failed = daemon.rexray("start")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {home}/etc/config.yml:4:17: rexray.modules.two.csi.mode: 'sideways'")
    assert not daemon.socket_of("one").exists()


@pytest.fixture
def array(tmp_path: Path) -> Iterator[Array]:
    with scaleio_array(tmp_path) as array:
        yield array


@pytest.mark.needs("root", "loop", "mkfs.ext4")
def test_a_service_whose_platform_is_away_is_degraded_and_comes_up_by_itself(
    make: Callable[..., Daemon], home: Path, array: Array
) -> None:
    text = "rexray:\n  modules:\n" + vfs(home, "well") + "    away: {rexray.storageDrivers: scaleio}\n"
    daemon = make(text, **{**array.environ, "REXRAY_STORAGEDRIVERS": "", "SCALEIO_TIMEOUT": "1s"})
    array.gateway.add_volume("there")
    array.gateway.stop()
    try:
        daemon.start()
        for module in ("away", "well"):
            started = time.monotonic()
            activated = daemon.docker_at(daemon.socket_of(module), "Plugin.Activate")
            assert activated == {"Implements": ["VolumeDriver"]}
            assert time.monotonic() - started < 1
        assert eventually(lambda: daemon.states()["away"].startswith("degraded: "), 20)
        assert daemon.states()["well"] == "ready"
        assert daemon.docker_at(daemon.socket_of("well"), "VolumeDriver.List") == {"Volumes": []}
    finally:
        array.gateway.start()
    assert eventually(lambda: daemon.states()["away"] == "ready", 30)
    volumes = daemon.docker_at(daemon.socket_of("away"), "VolumeDriver.List")["Volumes"]
    assert isinstance(volumes, list)
    assert [volume["Name"] for volume in volumes] == ["there"]


def test_docker_finds_a_tcp_module_by_a_spec_file_that_goes_with_it(make: Callable[..., Daemon], home: Path) -> None:
    quiet = vfs(home, "quiet", "host: 'tcp://127.0.0.1:0', spec: false")
    text = "rexray:\n  modules:\n" + vfs(home, "web", "type: docker, host: 'tcp://127.0.0.1:0'") + quiet
    daemon = make(text).start()
    specs = home / "etc/docker/plugins"
    (spec,) = specs.iterdir()
    assert spec.name == "web.spec"
    host, port = spec.read_text().strip().removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(
            b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        assert b"VolumeDriver" in b"".join(iter(lambda: connection.recv(4096), b""))
    daemon.kill()
    assert spec.exists()
    daemon.start()
    assert f":{port}" not in spec.read_text(), "what a killed daemon left is replaced by the new port"
    daemon.stop()
    assert not spec.exists()
    spec.write_text("tcp://elsewhere:1\n")
    daemon.start()
    assert "which REX-Ray did not write" in daemon.log.read_text()
    assert daemon.stop() == 0
    assert spec.read_text() == "tcp://elsewhere:1\n"


def test_a_killed_daemon_leaves_nothing_that_keeps_its_modules_from_starting(
    make: Callable[..., Daemon], home: Path
) -> None:
    daemon = make("rexray:\n  modules:\n" + vfs(home, "one") + vfs(home, "two")).start()
    for _ in range(2):
        daemon.kill()
        assert daemon.rexray("status").returncode == 1
        daemon.start()
        assert daemon.states() == {"one": "ready", "two": "ready"}
    assert len(list((home / "var/run").glob("csi-*"))) == 2, "the private directories of the dead are removed"
    assert daemon.stop() == 0
    assert list((home / "var/run").glob("csi-*")) == []
    assert list((home / "run/docker/plugins").iterdir()) == []


# The service manager


def test_the_service_manager_is_told_of_start_reload_and_stop(
    make: Callable[..., Daemon], home: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(home / "notify"))
        manager.settimeout(20)
        text = "rexray:\n  modules:\n" + vfs(home, "one") + vfs(home, "two")
        daemon = make(text, NOTIFY_SOCKET=str(home / "notify"), WATCHDOG_USEC="400000").start()

        def until(word: str) -> list[str]:
            """The messages up to one that begins with the word."""
            found: list[str] = []
            while not found or not found[-1].startswith(word):
                found.append(manager.recv(65536).decode())
            return found

        assert until("READY=1")[-1] == "READY=1\nSTATUS=2 of 2 modules ready"
        started = time.monotonic()
        for _ in range(5):
            until("WATCHDOG=1")
        assert time.monotonic() - started < 3
        daemon.configure("rexray:\n  modules:\n" + vfs(home, "one"))
        assert daemon.rexray("service", "reload").returncode == 0
        assert "MONOTONIC_USEC=" in until("RELOADING=1")[-1]
        assert until("READY=1")[-1] == "READY=1\nSTATUS=1 of 1 modules ready"
        assert daemon.process is not None
        daemon.process.terminate()
        assert until("STOPPING=1")[-1].startswith("STOPPING=1")
        assert daemon.stop() == 0


def test_a_passed_socket_is_served_and_outlives_the_daemon(make: Callable[..., Daemon], home: Path) -> None:
    path = home / "mine.sock"
    daemon = make(f"rexray:\n  modules:\n{vfs(home, 'one', f'host: {path}')}{vfs(home, 'two')}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(16)
        node = path.stat().st_ino
        early = daemon.connect(path)  # nobody accepts yet
        early.sendall(b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=rexray.socket exec "$@" 3<&{listener.fileno()}'
        with subprocess.Popen(
            ["bash", "-c", script, "bash", REXRAY, "start", "-f"],
            env=daemon.environ,
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        ) as process:
            try:
                assert process.stdout is not None
                assert b"2 modules" in process.stdout.readline()
                assert b"VolumeDriver" in early.recv(4096)
                assert daemon.docker_at(path, "VolumeDriver.List") == {"Volumes": []}
                children = daemon.rexray("status").stdout
                assert str(path) in children
            finally:
                process.terminate()
        early.close()
        assert process.returncode == 0
        assert path.stat().st_ino == node, "the manager's socket is left where it is"
        assert not daemon.socket_of("two").exists()
        with daemon.connect(path) as waiting:
            waiting.sendall(json.dumps({}).encode())


PLUGIN = """
from rexray import hookimpl
from rexray_driver_csi_vfs.driver import VFSPlugin

class Broken(VFSPlugin):
    name = "csi-broken"

    @classmethod
    def make(cls, sources):
        return 1 + "one"

@hookimpl
def rexray_csi_plugins():
    return [Broken]
"""


def test_a_fault_of_one_plug_in_leaves_the_other_modules_up(make_daemon: Callable[..., Daemon], home: Path) -> None:
    (home / "faulty-1.0.dist-info").mkdir(parents=True)
    (home / "faulty-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (home / "faulty-1.0.dist-info/entry_points.txt").write_text("[rexray.csi]\ncsi-broken = faulty\n")
    (home / "faulty.py").write_text(PLUGIN)
    daemon = make_daemon(CSI_ENDPOINT="", X_CSI_NATIVE="", X_CSI_DRIVER="", PYTHONPATH=str(home))
    one, two = (f"{name}: {{csi: {{driver: {driver}}}}}" for name, driver in (("a", "csi-vfs"), ("b", "csi-broken")))
    daemon.configure(f"rexray: {{modules: {{{one}, {two}}}}}\n")
    daemon.start()
    states = daemon.states()
    assert states["a"] == "ready"
    assert states["b"].startswith("failed: module 'b': internal error: TypeError: unsupported operand")
