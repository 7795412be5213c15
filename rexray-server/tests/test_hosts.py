"""What 'rexray install' writes into a tree, what it leaves alone, and what the units and the script are worth."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rexray.cli.root import root as program
from rexray.paths import find_paths
from rexray_server.hosts.files import is_untouched, sealed
from rexray_server.hosts.initsys import detect
from rexray_server.hosts.install import Host, files_of

UNIT = "etc/systemd/system/rexray.service"
SOCKET = "etc/systemd/system/rexray.socket"
SCRIPT = "etc/init.d/rexray"
ENVIRONMENT = "etc/rexray/rexray.env"
LOGROTATE = "etc/logrotate.d/rexray"

HIDES_MOUNTS = (
    *("PrivateMounts", "PrivateTmp", "PrivateDevices", "ProtectSystem", "ProtectHome", "ProtectProc", "ProcSubset"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "MountFlags"),
    *("ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem"),
    *("RootDirectory", "RootImage", "MountAPIVFS", "DynamicUser", "ProtectHostname", "PrivateIPC", "PrivateUsers"),
    *("LogNamespace", "NoExecPaths", "ExecPaths", "ExtensionImages", "MountImages", "PrivateNetwork", "LoadCredential"),
)
"""What gives a service a mount namespace of its own, or another view of its host: systemd.exec(5)."""
HIDES_DEVICES = ("ProtectClock", "DevicePolicy", "DeviceAllow")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty tree of another host."""
    path = tmp_path / "tree"
    path.mkdir()
    return path


@pytest.fixture
def say(tree: Path, tmp_path: Path) -> Callable[..., Result]:
    """Say a command of ``rexray`` for the tree."""

    def say(*words: str) -> Result:
        home = {"HOME": str(tmp_path), "REXRAY_HOME": str(tmp_path / "home")}
        return CliRunner().invoke(program, [*words, "--root", str(tree)], env=home)

    return say


def files(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in sorted(tree.rglob("*")) if path.is_file()}


def install(say: Callable[..., Result], *words: str, init: str = "systemd") -> Result:
    result = say("install", "--init", init, "--program", "/opt/rexray/bin/rexray", *words)
    assert result.exit_code == 0, result.output
    return result


def test_a_tree_gets_units_with_the_systems_paths_whatever_the_home_of_who_writes_it(
    say: Callable[..., Result], tree: Path
) -> None:
    result = install(say)
    assert set(files(tree)) == {UNIT, SOCKET, ENVIRONMENT, LOGROTATE}
    assert "nothing is enabled or started" in result.output
    unit = (tree / UNIT).read_text()
    assert "\nExecStart=/opt/rexray/bin/rexray start -f\n" in unit
    assert "\nEnvironmentFile=-/etc/rexray/rexray.env\n" in unit
    modes = {name: stat.S_IMODE((tree / name).stat().st_mode) for name in files(tree)}
    assert modes == {UNIT: 0o644, SOCKET: 0o644, LOGROTATE: 0o644, ENVIRONMENT: 0o600}


@pytest.mark.parametrize("init", ["systemd", "update-rc.d", "chkconfig"])
def test_twice_is_once(say: Callable[..., Result], tree: Path, init: str) -> None:
    install(say, init=init)
    before = {name: (tree / name).stat().st_ino for name in files(tree)}
    again = install(say, init=init)
    assert {line.split()[0] for line in again.output.splitlines()[:-1]} == {"unchanged"}
    assert {name: (tree / name).stat().st_ino for name in files(tree)} == before


def test_what_somebody_changed_stays_and_the_difference_is_shown(say: Callable[..., Result], tree: Path) -> None:
    install(say)
    ours = (tree / UNIT).read_text()
    theirs = ours.replace("RestartSec=5", "RestartSec=60")
    (tree / UNIT).write_text(theirs)
    kept = install(say)
    assert (tree / UNIT).read_text() == theirs
    assert f"kept {tree / UNIT}" in kept.output
    assert "    -RestartSec=60\n    +RestartSec=5\n" in kept.output
    install(say, "--force")
    assert (tree / UNIT).read_text() == ours


def test_what_another_version_wrote_is_replaced_without_being_asked(say: Callable[..., Result], tree: Path) -> None:
    install(say)
    ours = (tree / UNIT).read_text()
    (tree / UNIT).write_text(sealed("[Unit]\nDescription=an older REX-Ray\n"))
    install(say)
    assert (tree / UNIT).read_text() == ours


def test_the_environment_is_somebodys_from_the_start(say: Callable[..., Result], tree: Path) -> None:
    (tree / ENVIRONMENT).parent.mkdir(parents=True)
    (tree / ENVIRONMENT).write_text("AWS_SECRET_KEY=hunter2\n")
    for words in ((), ("--force",)):
        result = install(say, *words)
        assert f"kept {tree / ENVIRONMENT}" in result.output
        assert "hunter2" not in result.output
    assert (tree / ENVIRONMENT).read_text() == "AWS_SECRET_KEY=hunter2\n"


def test_a_masked_unit_stays_masked(say: Callable[..., Result], tree: Path) -> None:
    (tree / UNIT).parent.mkdir(parents=True)
    (tree / UNIT).symlink_to("/dev/null")
    assert f"kept {tree / UNIT}" in install(say).output
    assert os.readlink(tree / UNIT) == "/dev/null"


def test_a_link_that_leads_out_of_the_tree_is_refused(say: Callable[..., Result], tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / "etc").mkdir()
    (tree / "etc/systemd").symlink_to(outside)
    result = say("install", "--init", "systemd")
    assert result.exit_code != 0
    assert "leads out of" in str(result.exception)
    assert list(outside.iterdir()) == []


def test_a_dry_run_changes_nothing(say: Callable[..., Result], tree: Path) -> None:
    assert f"would write {tree / UNIT}" in install(say, "--dry-run").output
    assert files(tree) == {}
    install(say)
    before = files(tree)
    assert f"would remove {tree / UNIT}" in say("uninstall", "--init", "systemd", "--dry-run").output
    assert files(tree) == before


def test_uninstall_leaves_volumes_state_and_what_somebody_changed(say: Callable[..., Result], tree: Path) -> None:
    install(say)
    mine = {
        "var/lib/rexray/volumes/data/precious": "data\n",
        "var/lib/rexray/loop/data.img": "blocks\n",
        "var/lib/rexray/csi/volumes/state.json": "{}\n",
        "var/log/rexray/rexray.log": "log\n",
        "etc/rexray/config.yml": "rexray: {}\n",
        LOGROTATE: (tree / LOGROTATE).read_text() + "# mine\n",
    }
    for name, text in mine.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    result = say("uninstall", "--init", "systemd")
    assert result.exit_code == 0, result.output
    assert files(tree) == mine
    for name in ("etc/rexray", "var/lib/rexray", "var/log/rexray"):
        assert f"kept {tree / name}: " in result.output
    assert f"kept {tree / LOGROTATE}: " in result.output
    again = say("uninstall", "--init", "systemd")
    assert (again.exit_code, files(tree)) == (0, mine)


def test_a_seal_holds_for_the_whole_text_and_for_nothing_else() -> None:
    text = sealed("one\ntwo\n")
    assert is_untouched(text)
    for changed in (
        text.replace("one", "two"),
        "zero\n" + text,
        text + "three\n",
        text.replace("two\n", ""),
        "",
        "one\n",
    ):
        assert not is_untouched(changed)


@pytest.mark.parametrize(
    ("programs", "init"),
    [
        (("usr/bin/systemctl", "usr/sbin/update-rc.d"), "systemd"),
        (("usr/sbin/update-rc.d",), "update-rc.d"),
        (("sbin/chkconfig",), "chkconfig"),
    ],
)
def test_the_init_system_of_a_tree_is_found(
    say: Callable[..., Result], tree: Path, programs: tuple[str, ...], init: str
) -> None:
    for path in programs:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    assert say("install", "--program", "/usr/bin/rexray").exit_code == 0
    assert (tree / UNIT).exists() == (init == "systemd")
    assert (tree / SCRIPT).exists() == (init != "systemd")


def test_a_tree_without_an_init_system_wants_one_named(say: Callable[..., Result], tree: Path) -> None:
    refused = say("install")
    assert "name one by --init: systemd, update-rc.d, chkconfig" in str(refused.exception)
    assert files(tree) == {}
    assert detect(tree) == "unknown"


AS_NOBODY = """
import os, pathlib
from rexray.errors import Forbidden
from rexray.paths import system_paths
from rexray_server.hosts.install import find_host

os.getuid() or os.setuid(65534)
try:
    find_host(pathlib.Path("/"), "systemd", "/usr/bin/rexray", system_paths())
except Forbidden as error:
    print(error)
"""


def test_only_root_changes_this_host() -> None:
    done = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("only root may change the services of this host: say it as root, or")
    assert done.stdout.count("\n") == 1


def test_a_program_in_a_folder_with_a_blank_is_one_word_to_systemd_and_to_a_shell(
    say: Callable[..., Result], tree: Path
) -> None:
    for init in ("systemd", "update-rc.d"):
        assert say("install", "--init", init, "--program", "'/opt/two words/rexray'").exit_code == 0
    unit = (tree / "etc/systemd/system/rexray.service").read_text()
    assert 'ExecStart="/opt/two words/rexray" start -f\n' in unit
    assert "    '/opt/two words/rexray' \"$@\"\n" in (tree / "etc/init.d/rexray").read_text()


@pytest.mark.parametrize("words", ["rexray", "/opt/rex'ray/rexray", '/opt/"rexray"', "", "/opt/rexray\n", "/opt/a\\b"])
def test_a_program_that_a_unit_and_a_shell_would_read_differently_is_refused(
    say: Callable[..., Result], tree: Path, words: str
) -> None:
    refused = say("install", "--init", "systemd", "--program", words or " ")
    assert "is no program for a service" in str(refused.exception)
    assert files(tree) == {}


def test_what_means_something_to_systemd_in_a_path_is_plain(say: Callable[..., Result], tree: Path) -> None:
    assert say("install", "--init", "systemd", "--program", "/opt/100%/$HOME/rexray").exit_code == 0
    assert "\nExecStart=/opt/100%%/$$HOME/rexray start -f\n" in (tree / UNIT).read_text()


def test_a_home_of_its_own_is_the_services_too(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a 100% home"
    monkeypatch.setenv("REXRAY_HOME", str(home))
    host = Host(root=tree, init="systemd", program="/usr/bin/rexray", paths=find_paths())
    texts = {file.path: file.text for file in files_of(host)}
    environment = home / "etc/rexray.env"
    assert f"\nREXRAY_HOME='{home}'\n" in texts[environment]
    assert f"\nEnvironmentFile=-{str(environment).replace('%', '%%')}\n" in texts[Path("/", UNIT)]
    assert f'"{home}/var/log/rexray.log" {{' in texts[Path("/", LOGROTATE)]


def test_uninstall_finds_what_the_service_was_installed_for(say: Callable[..., Result], tree: Path) -> None:
    for name in ("usr/bin/systemctl", "usr/sbin/update-rc.d"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    install(say, init="update-rc.d")
    assert (tree / SCRIPT).exists()
    assert say("uninstall").exit_code == 0
    assert not (tree / SCRIPT).exists()


def settings_of(unit: str) -> list[tuple[str, str]]:
    lines = [line for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def test_the_unit_hides_no_mount_and_no_device(say: Callable[..., Result], tree: Path) -> None:
    install(say)
    found = settings_of((tree / UNIT).read_text())
    assert not {name for name, _ in found} & {*HIDES_MOUNTS, *HIDES_DEVICES}
    assert ("KillMode", "process") in found
    assert ("Type", "notify") in found
    assert ("NoNewPrivileges", "yes") in found
    assert not {name for name, _ in found} & {"RuntimeDirectory", "StateDirectory"}, (
        "systemd would remove what is there"
    )
    capabilities = {word for name, value in found if name == "CapabilityBoundingSet" for word in value.split()}
    assert {"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_MKNOD", "CAP_DAC_READ_SEARCH"} <= capabilities
    assert not capabilities & {"CAP_SYS_TIME", "CAP_SYS_BOOT", "CAP_NET_RAW", "CAP_BPF", "CAP_SYSLOG", "CAP_MAC_ADMIN"}


@pytest.mark.needs("systemd")
def test_systemd_takes_the_units_and_finds_them_sandboxed(say: Callable[..., Result], tree: Path) -> None:
    assert say("install", "--init", "systemd", "--program", "/bin/true").exit_code == 0
    units = [str(tree / UNIT), str(tree / SOCKET)]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    own = [line for line in (verified.stdout + verified.stderr).splitlines() if "rexray" in line]
    assert (verified.returncode, own) == (0, [])
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", units[0]], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"exposure level for rexray.service: ([\d.]+)", security.stdout)
    assert exposure, security.stderr
    assert float(exposure[1]) <= 7.0


STUB = """#!/bin/sh
# A rexray that keeps its word: a service that runs is a file with a PID.
case $1 in
    start) [ "${REFUSE-}" ] && exit 1; env >"$STUB/environment"; echo "$STUB_PID" >"$STUB/pid" ;;
    stop) rm -f "$STUB/pid" ;;
    status) [ -e "$STUB/stale" ] && exit 1; [ -e "$STUB/pid" ] || exit 3 ;;
esac
echo "$1" >>"$STUB/said"
"""


@pytest.fixture
def script(say: Callable[..., Result], tree: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the script, with its paths in the tree and a program that notes what it is told."""
    stub = tmp_path / "stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    assert say("install", "--init", "update-rc.d", "--program", str(stub)).exit_code == 0
    text = (tree / SCRIPT).read_text().replace("/etc/rexray/rexray.env", str(tree / ENVIRONMENT))
    text = text.replace("/var/lock/subsys", str(tmp_path / "subsys"))
    (tree / SCRIPT).write_text(text.replace("/var/run/rexray/rexray.pid", str(tmp_path / "pid")))

    def run(*words: str, shell: str = "dash", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shell, str(tree / SCRIPT), *words],
            env={"PATH": os.environ["PATH"], "STUB": str(tmp_path), "STUB_PID": str(os.getpid()), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run


@pytest.mark.needs("dash")
@pytest.mark.needs("root")
def test_the_scripts_exit_statuses_are_those_of_the_lsb(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert script("status").returncode == 3
    assert script("reload").returncode == 7
    assert [script(word).returncode for word in ("stop", "try-restart")] == [0, 0]
    assert not (tmp_path / "pid").exists()
    assert [script(word).returncode for word in ("start", "start", "status")] == [0, 0, 0]
    assert [script(word).returncode for word in ("restart", "try-restart", "stop", "stop")] == [0] * 4
    (tmp_path / "stale").touch()
    assert script("status").returncode == 1
    assert script("start", REFUSE="1").returncode == 1
    assert [script(*words).returncode for words in ((), ("retart",), ("start", "now"))] == [2, 2, 2]
    (tmp_path / "stub").unlink()
    assert [script(word).returncode for word in ("start", "status", "stop")] == [5, 4, 0]


@pytest.mark.needs("dash")
@pytest.mark.needs("root")
def test_red_hats_rc_finds_a_service_that_runs_and_so_stops_it_at_shutdown(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert script("start").returncode == 0, "other hosts have no such folder"
    lock = tmp_path / "subsys" / "rexray"
    lock.parent.mkdir()
    for word, is_there in (("start", True), ("restart", True), ("stop", False), ("force-reload", True)):
        assert script(word).returncode == 0
        assert lock.exists() == is_there, word
    lock.unlink()
    assert script("start", REFUSE="1").returncode == 1
    assert not lock.exists()


@pytest.mark.needs("dash")
@pytest.mark.needs("root")
def test_a_reload_is_sighup_to_the_service(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    waiting = "import signal; signal.signal(1, lambda *_: exit(42)); print(flush=True); signal.pause()"
    for word in ("reload", "force-reload"):
        with subprocess.Popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE) as service:
            assert service.stdout is not None
            service.stdout.readline()
            (tmp_path / "pid").write_text(f"{service.pid}\n")
            assert script(word).returncode == 0
            assert service.wait(30) == 42


ENVIRONMENT_FILE = """\
# a comment with $(touch {mark})
PLAIN=value
SPACES=a b  c
 INDENTED=yes
DOUBLE="quoted # text"
SINGLE='it is'
DOLLAR=$HOME`touch {mark}`$(touch {mark})
EQUALS=a=b=c
EMPTY=
; another comment
no line of ours
1BAD=x
LAST=end"""


@pytest.mark.needs("dash")
@pytest.mark.needs("root")
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_reads_the_environment_as_systemd_does_and_runs_nothing_in_it(
    script: Callable[..., subprocess.CompletedProcess[str]], tree: Path, tmp_path: Path, shell: str
) -> None:
    mark = tmp_path / "mark"
    (tree / ENVIRONMENT).write_text(ENVIRONMENT_FILE.replace("{mark}", str(mark)))
    assert script("start", shell=shell).returncode == 0
    lines = (tmp_path / "environment").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    wanted = {
        "PLAIN": "value",
        "SPACES": "a b  c",
        "INDENTED": "yes",
        "DOUBLE": "quoted # text",
        "SINGLE": "it is",
        "DOLLAR": f"$HOME`touch {mark}`$(touch {mark})",
        "EQUALS": "a=b=c",
        "EMPTY": "",
        "LAST": "end",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert not [name for name in found if name.startswith(("1", "no"))]
    assert not mark.exists()


@pytest.mark.needs("shellcheck")
def test_the_script_is_clean_shell_for_any_init_system(say: Callable[..., Result], tree: Path) -> None:
    install(say, init="chkconfig")
    subprocess.run(["shellcheck", "--shell=sh", str(tree / SCRIPT)], check=True)
    text = (tree / SCRIPT).read_text()
    assert "start-stop-daemon" not in text
    header = text.partition("### BEGIN INIT INFO")[2].partition("### END INIT INFO")[0]
    keys = re.findall(r"^# ([\w-]+):", header, re.MULTILINE)
    assert {"Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop", "X-Start-Before"} <= {*keys}
    assert re.search(r"^# chkconfig: 2345 \d\d \d\d$", text, re.MULTILINE)
