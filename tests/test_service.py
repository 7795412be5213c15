"""Starting, stopping, asking and reloading the service as operators do."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service_parts import BRIDGE, REXRAY, Daemon, eventually


@pytest.fixture
def stopped(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that does not run yet."""
    return make_daemon()


def test_start_status_restart_and_stop_with_the_exit_codes_of_lsb(stopped: Daemon) -> None:
    daemon = stopped
    status = daemon.rexray("service", "status")
    assert (status.returncode, status.stdout) == (3, "REX-Ray is stopped\n")
    started = daemon.rexray("service", "start")
    assert started.returncode == 0, started.stderr
    try:
        pid = int((daemon.home / "var/run/rexray.pid").read_text())
        assert f"REX-Ray is running at PID {pid}" in started.stdout
        assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
        told = daemon.rexray("status").stdout.splitlines()
        assert told[0] == f"REX-Ray is running at PID {pid}"
        assert told[1].split() == ["default-csi", "csi+docker", str(daemon.endpoint), "csi-vfs", "ready"]
        again = daemon.rexray("start")
        assert (again.returncode, again.stdout) == (0, f"REX-Ray is running at PID {pid}\n")
        assert daemon.rexray("restart").returncode == 0
        assert int((daemon.home / "var/run/rexray.pid").read_text()) != pid
        assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    finally:
        halted = daemon.rexray("service", "stop")
    assert (halted.returncode, halted.stdout) == (0, "REX-Ray is stopped\n")
    assert not daemon.endpoint.exists()
    assert daemon.rexray("stop").returncode == 0


def test_a_killed_daemon_is_seen_as_dead_and_started_again(stopped: Daemon) -> None:
    daemon = stopped
    assert daemon.rexray("start").returncode == 0
    os.kill(int((daemon.home / "var/run/rexray.pid").read_text()), signal.SIGKILL)
    assert eventually(lambda: daemon.rexray("status").returncode == 1)
    assert daemon.rexray("start").returncode == 0, "a stale PID file and a dead socket are in nobody's way"
    assert daemon.rexray("stop").returncode == 0


def test_a_stale_pid_that_another_process_has_now_is_not_taken_for_the_daemon(stopped: Daemon) -> None:
    run = stopped.home / "var/run"
    run.mkdir(parents=True)
    (run / "rexray.pid").write_text(f"{os.getpid()}\n")
    assert stopped.rexray("status").returncode == 1
    assert stopped.rexray("stop").returncode == 0
    os.kill(os.getpid(), 0)


def test_a_start_that_fails_says_why_in_one_line_and_leaves_nothing(stopped: Daemon) -> None:
    failed = stopped.rexray("start", X_CSI_DRIVER="csi-none")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: driver 'csi-none' is not installed: pip install rexray-driver-csi-none\n"
    assert not stopped.endpoint.exists()
    assert stopped.rexray("status").returncode == 3


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_start_by_a_caller_without_standard_streams_ends(stopped: Daemon, closed: str) -> None:
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", REXRAY, "start"]
    started = subprocess.run(command, env=stopped.environ, timeout=60, check=False, capture_output=True)
    try:
        assert started.returncode == 0, started.stderr
        assert stopped.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    finally:
        assert stopped.rexray("stop").returncode == 0


def test_a_start_in_the_background_tells_the_error_of_the_operating_system(stopped: Daemon) -> None:
    pid_file = stopped.home / "var/run/rexray.pid"
    pid_file.mkdir(parents=True)
    failed = stopped.rexray("start")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == f"error: {pid_file}: Is a directory\n"


def test_a_reload_finds_the_file_that_the_start_named_by_a_relative_path(stopped: Daemon) -> None:
    config = stopped.home / "mine.yml"
    config.write_text("rexray: {logLevel: info}\n")
    words = [REXRAY, "start", "-c", "mine.yml"]
    environ = {**stopped.environ, "REXRAY_HOME": "."}
    started = subprocess.run(
        words, env=environ, cwd=stopped.home, timeout=60, check=False, capture_output=True, text=True
    )
    assert started.returncode == 0, started.stderr
    try:
        config.write_text("csi: {serialVolAccessTimeout: 7s}\n")
        os.kill(int((stopped.home / "var/run/rexray.pid").read_text()), signal.SIGHUP)
        log = stopped.home / "var/log/rexray.log"
        assert eventually(lambda: "reload" in log.read_text())
        assert '"changed": "serial_timeout"' in log.read_text()
    finally:
        assert stopped.rexray("stop").returncode == 0


def test_a_restart_keeps_the_flags_whatever_their_values_are(stopped: Daemon) -> None:
    config = stopped.home / "restart"
    config.write_text("rexray: {logLevel: warn}\n")
    words = ["restart", "-d", "-c", "restart", "--csiPluginInfo", "restart,1.0"]
    started = subprocess.run(
        [REXRAY, *words], env=stopped.environ, cwd=stopped.home, timeout=60, check=False, capture_output=True, text=True
    )
    assert started.returncode == 0, started.stderr
    try:
        assert "restart" in stopped.rexray("csi", "i", "info").stdout
        assert '"call": "GetPluginInfo"' in (stopped.home / "var/log/rexray.log").read_text()
    finally:
        assert stopped.rexray("stop").returncode == 0


def test_a_restart_with_a_wrong_file_leaves_the_service_running(daemon: Daemon) -> None:
    config = daemon.home / "etc/config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("csi: {natvie: true}\n")
    failed = daemon.rexray("restart")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == f"error: {config}:1:7: unknown setting 'csi.natvie'; did you mean 'csi.native'?\n"
    assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}


@pytest.mark.parametrize("name", ["100%", "a%41b", "what?", "a#b", "a b"])
def test_the_home_may_have_any_name(make_daemon: Callable[..., Daemon], home: Path, name: str) -> None:
    daemon = make_daemon(REXRAY_HOME=str(home / name)).start()
    assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    assert daemon.rexray("csi", "probe").returncode == 0


def test_an_empty_variable_switches_nothing_off(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(X_CSI_SPEC_VALIDATION="", X_CSI_SERIAL_VOL_ACCESS="", X_CSI_SERIAL_VOL_ACCESS_ETCD_DOMAIN="")
    printed = daemon.rexray("env").stdout
    assert "X_CSI_SPEC_VALIDATION=true\n" in printed
    assert "X_CSI_SERIAL_VOL_ACCESS=true\n" in printed
    assert daemon.start().docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"X_CSI_NATIVE": "perhaps"}, "$X_CSI_NATIVE: 'perhaps' is not true or false"),
        ({"X_CSI_MODE": "contoller"}, "did you mean 'controller'"),
        ({"X_CSI_ENDPOINT_PERMS": "rwx"}, "$X_CSI_ENDPOINT_PERMS: 'rwx' is not a file mode"),
        ({"X_CSI_ENDPOINT_PERMS": "-7"}, "$X_CSI_ENDPOINT_PERMS: '-7' is not a file mode"),
        ({"X_CSI_ENDPOINT_PERMS": "7" * 14}, "is not a file mode"),
        ({"X_CSI_ENDPOINT_USER": "²"}, "$X_CSI_ENDPOINT_USER: no such user: '²'"),
        ({"X_CSI_ENDPOINT_USER": "9" * 11}, "$X_CSI_ENDPOINT_USER: no such user: '99999999999'"),
        ({"CSI_ENDPOINT": "tcp://h:²"}, "write tcp://HOST:PORT"),
        ({"CSI_ENDPOINT": "localhost:7979"}, "write tcp://localhost:7979 for an address, ./localhost:7979 for"),
        ({"REXRAY_VOLUMEDRIVERS": "csi,docker"}, "($REXRAY_VOLUMEDRIVERS) names csi, docker: "),
        ({"X_CSI_ENDPOINT_GROUP": "no-such-group"}, "no such group: 'no-such-group'"),
        ({"X_CSI_SERIAL_VOL_ACCESS_TIMEOUT": "soon"}, "is not a duration"),
        ({"X_CSI_SERIAL_VOL_ACCESS_ETCD_ENDPOINTS": "x"}, "locks in etcd are not supported"),
        ({"X_CSI_PLUGIN_INFO": "nameonly"}, "is not NAME,VERSION"),
        ({"CSI_ENDPOINT": "http://somewhere"}, "'http' is not unix or tcp"),
        ({**BRIDGE, "REXRAY_STORAGEDRIVERS": "acme"}, "driver 'acme' is not installed: pip install rexray-driver-acme"),
        (
            {**BRIDGE, "REXRAY_STORAGEDRIVERS": "loop acme"},
            "several storage drivers are in use (loop, acme): choose one",
        ),
        ({**BRIDGE, "REXRAY_SERVICE": "acme"}, "service 'acme' is not configured; the storage drivers are: loop"),
        ({**BRIDGE, "REXRAY_OSDRIVERS": "plan9"}, "driver 'plan9' is not installed: pip install rexray-os-plan9"),
        ({**BRIDGE, "REXRAY_DOCKER_SIZE": "big"}, "rexray.docker.size: size 'big' is not a size"),
        ({**BRIDGE, "REXRAY_VOLUMEDRIVERS": "csi"}, "the service serves Docker by 'docker' alone"),
    ],
)
@pytest.mark.parametrize("foreground", [True, False])
def test_a_wrong_setting_is_refused_by_name(
    stopped: Daemon, environ: dict[str, str], fault: str, foreground: bool
) -> None:
    failed = stopped.rexray("start", *(["-f"] if foreground else []), **environ)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert fault in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert not stopped.endpoint.exists()


def test_native_mode_chooses_csi_vfs_where_nothing_else_is_named(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    del daemon.environ["X_CSI_DRIVER"]
    daemon.start()
    assert '"plugin": "csi-vfs"' in daemon.log.read_text()


def test_a_flag_names_the_plug_in_too(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    failed = daemon.rexray("start", "-f", "--csiDriver", "csi-other", X_CSI_DRIVER="csi-vfs")
    assert "driver 'csi-other' is not installed" in failed.stderr


def test_a_socket_that_a_living_process_serves_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    second = daemon.rexray("start", "-f", REXRAY_HOME=str(tmp_path))
    assert second.returncode == 1
    assert "another process serves it" in second.stderr
    assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}


def test_the_socket_has_the_mode_and_the_group_that_were_asked_for(make_daemon: Callable[..., Daemon]) -> None:
    assert stat.S_IMODE(make_daemon().start().endpoint.stat().st_mode) == 0o600


@pytest.mark.needs("root")
def test_a_group_may_be_let_in(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(X_CSI_ENDPOINT_GROUP="daemon").start()
    found = daemon.endpoint.stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == __import__("grp").getgrnam("daemon").gr_gid


def test_a_reload_takes_over_what_can_change_and_refuses_what_is_wrong(stopped: Daemon) -> None:
    daemon = stopped
    config = daemon.home / "etc/config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("rexray: {logLevel: warn}\n")
    daemon.start()
    assert daemon.process is not None

    def reload(content: str) -> str:
        before = len(daemon.log.read_text())
        config.write_text(content)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "reload" in daemon.log.read_text()[before:])
        return daemon.log.read_text()[before:]

    assert '"changed": "serial_timeout"' in reload("rexray: {logLevel: debug}\ncsi: {serialVolAccessTimeout: 7s}\n")
    daemon.rexray("csi", "probe")
    assert '"call": "Probe"' in daemon.log.read_text()
    assert "reload refused" in reload("rexray: {logLevel: loud}\n")
    assert "reload refused" in reload("rexray: [\n")
    assert "did you mean 'csi.serialVolAccess'" in reload("csi: {serialVolAcess: false}\n")
    assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    assert "default-csi" in reload("csi: {mode: node}\n"), "the module is made anew at the same socket"
    assert daemon.docker_raw("Plugin.Activate", b"")[0] == 404, "which has the node's half of CSI alone"


def test_a_reload_that_is_asked_for_while_the_service_starts_is_done_then(stopped: Daemon) -> None:
    with stopped.log.open("ab") as log:
        process = subprocess.Popen([REXRAY, "start", "-f"], env=stopped.environ, stdout=subprocess.DEVNULL, stderr=log)
    try:
        pid_file = stopped.home / "var/run/rexray.pid"
        assert eventually(lambda: pid_file.exists() and pid_file.read_text().strip() == str(process.pid))
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: '"reloaded"' in stopped.log.read_text() or process.poll() is not None)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


def test_a_stop_lets_a_call_under_way_finish(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.docker("VolumeDriver.Create", Name="big")
    source = daemon.data / "vol/big"
    for number in range(3000):
        (source / f"file-{number}").write_bytes(b"x" * 1000)
    copy = subprocess.Popen(
        [REXRAY, "csi", "snap", "copy", "--source-volume", "big"],
        env=daemon.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(lambda: any((daemon.data / "snap").rglob("file-*")) or copy.poll() is not None)
    daemon.process.send_signal(signal.SIGTERM)
    out, err = copy.communicate(timeout=60)
    assert copy.returncode == 0, err
    assert "copy" in out
    assert daemon.process.wait(30) == 0
    assert not daemon.endpoint.exists()


def test_a_stop_does_not_wait_for_clients_that_say_nothing(daemon: Daemon) -> None:
    idle = [daemon.connect() for _ in range(20)]
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 5
    for connection in idle:
        connection.close()


def test_the_foreground_prints_three_lines_to_try(stopped: Daemon) -> None:
    with subprocess.Popen([REXRAY, "start", "-f"], env=stopped.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(5)]
        process.terminate()
    assert lines[0] == f"REX-Ray serves Docker and CSI at {stopped.endpoint}"
    assert lines[2].startswith("curl --unix-socket")
    assert "docker volume create" in lines[3]
    assert lines[4].endswith("rexray csi ls")
    tried = subprocess.run(["sh", "-c", lines[2]], capture_output=True, check=False)
    assert tried.returncode != 0, "the service has ended"
