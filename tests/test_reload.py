"""A reload: modules come, go and change under the others' open connections, calls and mounts, all or nothing."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rexray.paths import find_paths
from rexray_server.daemon import ReloadRefused
from rexray_server.daemon import reload as told_to_reload
from service_parts import REXRAY, Daemon, eventually

ACTIVATE = b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def vfs(home: Path, name: str, more: str = "") -> str:
    """A module that serves directories of its own."""
    return f"    {name}: {{csi: {{driver: csi-vfs, vfs: {{data: {home}/{name}}}}}{', ' + more if more else ''}}}\n"


def written(*modules: str) -> str:
    return "rexray:\n  modules:\n" + "".join(modules)


@pytest.fixture
def two(make_daemon: Callable[..., Daemon], home: Path) -> Daemon:
    """A daemon with the modules ``one`` and ``two``."""
    daemon = make_daemon(CSI_ENDPOINT="", X_CSI_NATIVE="", X_CSI_DRIVER="")
    daemon.configure(written(vfs(home, "one"), vfs(home, "two")))
    return daemon.start()


def reload(daemon: Daemon, text: str) -> str:
    """Reload with another configuration; what is printed."""
    daemon.configure(text)
    return told_to_reload(find_paths(daemon.environ))


def refused(daemon: Daemon, text: str) -> str:
    """The line of a reload that is refused."""
    daemon.configure(text)
    with pytest.raises(ReloadRefused) as caught:
        told_to_reload(find_paths(daemon.environ))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def activated(connection: socket.socket) -> bool:
    """Whether an open connection of Docker's is answered."""
    connection.sendall(ACTIVATE)
    return b"VolumeDriver" in connection.recv(4096)


def test_modules_are_added_and_removed_while_a_call_is_under_way_on_another(two: Daemon, home: Path) -> None:
    second = two.socket_of("two")
    two.docker_at(second, "VolumeDriver.Create", Name="big")
    source = home / "two/vol/big"
    for number in range(3000):
        (source / f"file-{number}").write_bytes(b"x" * 1000)
    idle, pid = two.connect(second), (home / "var/run/rexray.pid").read_text()
    assert activated(idle)
    copy = subprocess.Popen(
        [REXRAY, "csi", "snap", "copy", "--source-volume", "big"],
        env={**two.environ, "CSI_ENDPOINT": str(second)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(lambda: any((home / "two/snap").rglob("file-*")) or copy.poll() is not None)
    printed = reload(two, written(vfs(home, "two"), vfs(home, "three")))
    assert "three" in printed
    assert "one" not in printed.split()
    assert two.docker_at(two.socket_of("three"), "VolumeDriver.List") == {"Volumes": []}
    assert eventually(lambda: not two.socket_of("one").exists())
    out, err = copy.communicate(timeout=60)
    assert (copy.returncode, err) == (0, "")
    assert "copy" in out
    assert activated(idle), "the connection was not disturbed"
    idle.close()
    assert (home / "var/run/rexray.pid").read_text() == pid
    assert two.states() == {"two": "ready", "three": "ready"}


@pytest.mark.needs("root")
def test_mounts_outlive_the_reload_that_removes_and_brings_back_their_module(two: Daemon, home: Path) -> None:
    first = two.socket_of("one")
    two.docker_at(first, "VolumeDriver.Create", Name="data")
    path = Path(str(two.docker_at(first, "VolumeDriver.Mount", Name="data", ID="me")["Mountpoint"]))
    (path / "file").write_text("kept")
    reload(two, written(vfs(home, "two")))
    assert eventually(lambda: not first.exists())
    assert (path / "file").read_text() == "kept"
    reload(two, written(vfs(home, "one"), vfs(home, "two")))
    assert two.docker_at(first, "VolumeDriver.Path", Name="data") == {"Mountpoint": str(path)}
    two.docker_at(first, "VolumeDriver.Unmount", Name="data", ID="me")
    assert two.mounts() == []


def test_a_changed_module_answers_anew_over_the_connections_it_has(two: Daemon, home: Path) -> None:
    first = two.socket_of("one")
    two.docker_at(first, "VolumeDriver.Create", Name="data")
    node = first.stat().st_ino
    with two.connect(first) as idle:
        assert activated(idle)
        reload(two, written(vfs(home, "one").replace("/one}", "/other}"), vfs(home, "two")))
        assert two.docker_at(first, "VolumeDriver.List") == {"Volumes": []}
        assert activated(idle)
        reload(two, written(vfs(home, "one"), vfs(home, "two")))
        assert two.docker_at(first, "VolumeDriver.List") == {"Volumes": [{"Name": "data"}]}
        assert activated(idle)
    assert first.stat().st_ino == node, "it listens as before"


def test_what_needs_no_new_backend_is_taken_over_in_place(two: Daemon, home: Path) -> None:
    limited = vfs(home, "one", "csi.serialVolAccessTimeout: 7s, csi.endpointPerms: 0660")
    reload(two, written(limited, vfs(home, "two", "desc: a comment")))
    log = two.log.read_text()
    assert '"changed": "perms,serial_timeout"' in log
    assert '"remade"' not in log
    assert two.socket_of("one").stat().st_mode & 0o777 == 0o660
    assert two.socket_of("two").stat().st_mode & 0o777 == 0o600


BAD = [
    "rexray: [\n",
    "rexray: {modules: nothing}\n",
    "rexray: {modules: {one: {}}}\nrexray.modules.one: {}\n",
    "{one}{two}    three: {{type: flexrex}}\n",
    "{one}{two}    three: {{host: 'http://x'}}\n",
    "{one}{two}    three: {{host: {home}/run/docker/plugins/one.sock}}\n",
    "{one}{two}    three: {{hots: /x}}\n",
    "{one}{two}    three: {{csi: {{mode: sideways}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-none}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs, vfs: {{data: /proc/none}}}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs, endpoint: /x.sock}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs, endpointUser: nobody-at-all}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs, pluginInfo: nameonly}}}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs}}, host: {home}/taken.sock}}\n",
    "{one}{two}    three: {{csi: {{driver: csi-vfs}}, host: {home}/etc/config.yml}}\n",
    "{one}{two}    three: {{rexray.service: nowhere, rexray.storageDrivers: loop}}\n",
    "{one}{two}    three: {{rexray.storageDrivers: acme}}\n",
    "{one}{two}    three: {{rexray.storageDrivers: loop, rexray.docker.size: big}}\n",
    "{one}{two}    three: {{startTimeout: soon}}\n",
    "{one}{two}    Th.ree_: {{type: csi}}\n",
    "{one}{two}  logLevel: loud\n",
    "{one}    two: {{csi: {{driver: csi-vfs, vfs: {{data: /proc/none}}}}}}\n",
    "    one: {{disabled: true}}\n    two: {{disabled: true}}\n",
]


def test_a_wrong_configuration_changes_nothing_whatever_is_wrong(two: Daemon, home: Path) -> None:
    sockets = {name: two.socket_of(name) for name in ("one", "two")}
    nodes = {name: path.stat().st_ino for name, path in sockets.items()}
    idle = {name: two.connect(path) for name, path in sockets.items()}
    parts = {"home": str(home), "one": vfs(home, "one"), "two": vfs(home, "two")}
    before = set(home.rglob("*.sock"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(home / "taken.sock"))
        other.listen()
        for bad in BAD:
            text = bad if bad.startswith("rexray") else written(bad.format(**parts))
            told = refused(two, text)
            assert told.endswith("; nothing changed"), bad
            assert "internal error" not in told, bad
    for name, connection in idle.items():
        assert activated(connection), "the connections stay"
        assert two.docker_at(sockets[name], "VolumeDriver.List") == {"Volumes": []}
        connection.close()
    assert {name: path.stat().st_ino for name, path in sockets.items()} == nodes
    assert set(home.rglob("*.sock")) - before == {home / "taken.sock"}
    assert two.states() == {"one": "ready", "two": "ready"}
    answer = two.rexray("service", "reload")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"error: {home}/etc/config.yml:")
    two.configure(written(parts["one"], parts["two"]))
    assert two.rexray("service", "reload").returncode == 0


def test_a_module_may_be_renamed_and_moved_to_the_socket_of_another(two: Daemon, home: Path) -> None:
    first, second = two.socket_of("one"), two.socket_of("two")
    two.docker_at(first, "VolumeDriver.Create", Name="ones")
    swapped = [vfs(home, "one", f"host: {second}"), vfs(home, "two", f"host: {first}")]
    reload(two, written(*swapped))
    assert two.docker_at(second, "VolumeDriver.List") == {"Volumes": [{"Name": "ones"}]}
    assert two.docker_at(first, "VolumeDriver.List") == {"Volumes": []}


def test_spec_files_follow_modules_that_move_and_that_swap_their_names(two: Daemon, home: Path) -> None:
    def at(name: str, place: str) -> str:
        return vfs(home, name, f"type: docker, spec: 'true', host: {home}/{place}.sock")

    def specs() -> dict[str, str]:
        return {path.stem: Path(path.read_text().strip()).stem for path in (home / "etc/docker/plugins").iterdir()}

    for one, other in (("a", "b"), ("c", "b"), ("b", "c")):
        reload(two, written(at("one", one), at("two", other)))
        assert specs() == {"one": one, "two": other}


def test_a_reload_of_a_stopped_service_fails(make_daemon: Callable[..., Daemon]) -> None:
    answer = make_daemon().rexray("service", "reload")
    assert (answer.returncode, answer.stderr) == (1, "error: REX-Ray is stopped: there is nothing to reload\n")


def test_many_reloads_leave_no_file_and_no_thread_behind(two: Daemon, home: Path) -> None:
    both = written(vfs(home, "one"), vfs(home, "two"))
    three = written(vfs(home, "one").replace("/one}", "/other}"), vfs(home, "two"), vfs(home, "three"))
    for text in (three, both, three, both):
        reload(two, text)
    assert eventually(lambda: not two.socket_of("three").exists())
    before = two.facts()
    for text in (three, both, three, both):
        reload(two, text)
    assert eventually(lambda: two.facts()["files"] <= before["files"] + 2)
    assert eventually(lambda: two.facts()["threads"] <= before["threads"] + 8)
    assert sorted(os.listdir(home / "run/docker/plugins")) == ["one.sock", "two.sock"]


def test_a_module_that_failed_before_keeps_no_reload_from_being_taken(
    make_daemon: Callable[..., Daemon], home: Path
) -> None:
    daemon = make_daemon(CSI_ENDPOINT="", X_CSI_NATIVE="", X_CSI_DRIVER="")
    lacking = "    two: {csi.driver: csi-none}\n"
    daemon.configure(written(vfs(home, "one"), lacking))
    daemon.start()
    reload(daemon, written(vfs(home, "one"), lacking, vfs(home, "three")))
    states = daemon.states()
    assert (states["one"], states["three"]) == ("ready", "ready")
    assert states["two"].startswith("failed: ")
    reload(daemon, written(vfs(home, "one"), vfs(home, "two")))
    assert eventually(lambda: daemon.states() == {"one": "ready", "two": "ready"})


def test_a_socket_where_the_only_module_was_is_free_again(two: Daemon, home: Path) -> None:
    reload(two, written(vfs(home, "three")))
    assert eventually(lambda: os.listdir(home / "run/docker/plugins") == ["three.sock"])
    reload(two, written(vfs(home, "one")))
    assert two.docker_at(two.socket_of("one"), "VolumeDriver.List") == {"Volumes": []}
