"""The shell of the program: the seed's help, global flags anywhere, errors that teach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SEED = {
    "volume": "The volume manager",
    "snapshot": "The snapshot manager",
    "device": "The device manager",
    "driver": "The driver manager",
    "service": "The service controller",
    "version": "Print the version",
    "help": "Help about any command",
}
FLAGS = {
    '-c, --config="$HOME/.rexray/config.yaml"': "The REX-Ray configuration file",
    "-d, --debug=false": "Enables verbose output",
    "-?, --help=false": "Help for rexray",
    '-h, --host="tcp://127.0.0.1:7979"': "The REX-Ray service address",
}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def rexray(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        return subprocess.run(
            [sys.executable, "-m", "rexray", *arguments],
            env={**clean, "REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path), "COLUMNS": "100", **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return rexray


def test_remote_management_is_a_flag_a_variable_and_a_key(run: Run, tmp_path: Path) -> None:
    assert "REXRAY_REMOTEMANAGEMENT=false\n" in run("env").stdout
    assert "REXRAY_REMOTEMANAGEMENT=true\n" in run("--remoteManagement", "env").stdout
    assert "REXRAY_REMOTEMANAGEMENT=true\n" in run("env", REXRAY_REMOTEMANAGEMENT="TRUE").stdout
    (tmp_path / "c.yml").write_text("rexray: {remoteManagement: true}\n")
    assert "REXRAY_REMOTEMANAGEMENT=true\n" in run("env", "-c", str(tmp_path / "c.yml")).stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-?"], ["help"]])
def test_help_has_the_seeds_commands_and_flags_in_its_words(run: Run, arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.returncode == 0
    text = " ".join(answer.stdout.split())
    assert text.startswith(
        "REX-Ray: A guest-based storage introspection tool that enables local "
        "visibility and management from cloud and storage platforms."
    )
    for name, purpose in {**SEED, **FLAGS}.items():
        assert f"{name} {purpose}" in text
    assert 'Use "rexray [command] --help" for more information about a command.' in text


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["volumes"], "Did you mean 'volume'?"),
        (["vol"], "Did you mean 'volume'?"),
        (["frobnicate"], "See 'rexray --help'"),
        (["driver", "lss"], "Did you mean 'ls'?"),
        (["version", "--formt", "json"], "--format"),
        (["version", "--hots", "x"], "--host"),
        (["version", "--format", "xml"], "xml"),
    ],
)
def test_an_unknown_word_exits_2_with_a_suggestion(run: Run, arguments: list[str], hint: str) -> None:
    answer = run(*arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert hint in answer.stderr
    assert "Traceback" not in answer.stderr


def test_global_flags_go_before_and_after_the_command(run: Run) -> None:
    before = run("-l", "debug", "-h", "tcp://x:1", "env")
    after = run("env", "-l", "debug", "-h", "tcp://x:1")
    assert before.stdout == after.stdout
    assert "REXRAY_LOGLEVEL=debug\n" in after.stdout
    assert "REXRAY_HOST=tcp://x:1\n" in after.stdout


def test_env_prints_lines_that_a_shell_can_read_and_where_they_come_from(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "etc/config.yml"
    config.parent.mkdir()
    config.write_text("rexray:\n  service: from file\n  storageDrivers: [ec2, scaleio]\n")
    answer = run("env", "--origin", "-d", REXRAY_LOGLEVEL="warn")
    assert answer.returncode == 0, answer.stderr
    assert f"REXRAY_SERVICE='from file'  # {config}\n" in answer.stdout
    assert f"REXRAY_STORAGEDRIVERS=ec2,scaleio  # {config}\n" in answer.stdout
    assert "REXRAY_LOGLEVEL=warn  # $REXRAY_LOGLEVEL\n" in answer.stdout
    assert "REXRAY_DEBUG=true  # --debug\n" in answer.stdout
    assert "REXRAY_HOST=tcp://127.0.0.1:7979  # default\n" in answer.stdout
    shell = subprocess.run(
        ["sh", "-ec", f"set -a; {run('env').stdout}\necho $REXRAY_SERVICE"], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "from file\n"


def test_a_file_named_on_the_command_line_comes_on_top_of_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.yml").write_text("rexray: {service: low, logLevel: warn}\n")
    (tmp_path / "mine.yml").write_text("rexray: {service: high}\n")
    answer = run("env", "-c", str(tmp_path / "mine.yml"))
    assert "REXRAY_SERVICE=high\n" in answer.stdout
    assert "REXRAY_LOGLEVEL=warn\n" in answer.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rexray: [", "not valid YAML"),
        ("rexray: {logLevle: debug}", "unknown setting 'rexray.loglevle'; did you mean 'rexray.logLevel'?"),
        ("rexray: {logLevel: loud}", "rexray.logLevel: 'loud' is not one of debug, info, warn, error"),
        ("rexray: {debug: [1]}", "rexray.debug: ['1'] is not true or false"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(run: Run, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(content)
    answer = run("env", "-c", str(path))
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: {path}")
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_secret_that_is_known_is_in_no_error() -> None:
    program = "from rexray import redaction; redaction.register('canary-1234'); from rexray.cli import main; main()"
    command = [sys.executable, "-c", program, "a-canary-1234-word"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: unknown command 'a-***-word'")


def test_version_is_for_people_and_for_machines(run: Run) -> None:
    assert run("version").stdout.startswith("REX-Ray\n-------\nBinary: ")
    assert '"semver":"0.1.0"' in run("version", "--format", "json").stdout


def test_a_service_address_is_refused_rather_than_ignored(run: Run) -> None:
    answer = run("volume", "ls", "-h", "tcp://controller:7979")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: --host: this version talks to no REST service")


@pytest.mark.parametrize("command", [("volume", "ls"), ("device", "ls")])
@pytest.mark.parametrize(
    ("environ", "content", "where"),
    [
        ({"REXRAY_HOST": "tcp://x:1"}, "", "$REXRAY_HOST"),
        ({}, "rexray: {host: 'tcp://x:1'}\n", "{config}:1:10: rexray.host"),
    ],
)
def test_a_service_address_is_refused_wherever_it_is_set(
    run: Run, tmp_path: Path, command: tuple[str, str], environ: dict[str, str], content: str, where: str
) -> None:
    config = tmp_path / "etc/config.yml"
    config.parent.mkdir()
    config.write_text(content)
    answer = run(*command, **environ)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"error: {where.format(config=config)}: this version talks to no REST service")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environ", "content", "where"),
    [
        ({"REXRAY_SERVICE": "ec2"}, "", "$REXRAY_SERVICE"),
        ({}, "rexray: {service: ec2}\n", "{config}:1:10: rexray.service"),
    ],
)
def test_a_storage_service_is_refused_by_a_volume_driver_without_any(
    run: Run, tmp_path: Path, environ: dict[str, str], content: str, where: str
) -> None:
    config = tmp_path / "etc/config.yml"
    config.parent.mkdir()
    config.write_text(content)
    answer = run("volume", "ls", "--volumeDrivers", "csi", **environ)
    assert (answer.returncode, answer.stdout) == (1, "")
    words = "volume driver 'csi' has no storage services: leave it out, or use the volume driver 'docker'\n"
    assert answer.stderr == f"error: {where.format(config=config)}: {words}"


def test_a_wrong_endpoint_is_one_line_that_says_where_it_was_set(run: Run) -> None:
    words = "'localhost:7979' is no endpoint: write tcp://localhost:7979 for an address, ./localhost:7979 for a socket"
    for command in (("volume", "ls"), ("csi", "ls")):
        answer = run(*command, CSI_ENDPOINT="localhost:7979")
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr == f"error: the setting csi.endpoint ($CSI_ENDPOINT): {words} here\n"
    answer = run("csi", "ls", "-e", "localhost:7979")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"error: Invalid value for '-e' / '--endpoint': {words}")


@pytest.mark.parametrize(("command", "variable"), [("volume", "REXRAY_VOLUMEDRIVERS"), ("device", "REXRAY_OSDRIVERS")])
def test_of_several_drivers_none_is_taken_silently(run: Run, command: str, variable: str) -> None:
    answer = run(command, "ls", **{variable: "one,two"})
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"error: ${variable}: several drivers are named, one, two: choose one\n"


def test_a_command_refuses_a_file_with_an_unknown_setting(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("rexray: {logLevle: debug}\n")
    answer = run("volume", "ls", "-c", str(path))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"error: {path}:1:10: unknown setting 'rexray.loglevle'; did you mean 'rexray.logLevel'?\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_the_standard_descriptors_are_open_whatever_the_caller_closed(closed: str, tmp_path: Path) -> None:
    script = (
        "import contextlib, os, sys; from rexray.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "child = os.spawnlp(os.P_WAIT, 'sh', 'sh', '-c', ': <&0 >&1 2>&2')\n"
        "streams = all((sys.stdin, sys.stdout, sys.stderr))\n"
        "open(sys.argv[1], 'w').write(f'{os.pipe()[0] > 2} {child} {streams}')\n"
    )
    report = tmp_path / "report"
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-c", script, str(report)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    assert report.read_text() == "True 0 True"


def test_without_a_daemon_the_error_names_the_socket(run: Run, tmp_path: Path) -> None:
    answer = run("volume", "ls", REXRAY_VOLUMEDRIVERS="csi")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        f"error: no CSI service at {tmp_path}/run/docker/plugins/rexray.sock: No such file or directory\n"
    )


def test_verbose_help_lists_the_flag_and_the_variable_of_every_setting(run: Run) -> None:
    text = " ".join(run("-v", "--help").stdout.split())
    expected = (
        "--storageDrivers The storage drivers to use; none named, all that can work here ($REXRAY_STORAGEDRIVERS)"
    )
    assert expected in text


def test_a_reader_that_goes_away_is_no_traceback(run: Run, tmp_path: Path) -> None:
    command = f"{sys.executable} -m rexray env | true"
    answer = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "REXRAY_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in answer.stderr


def test_the_shell_can_complete_commands_and_flags(run: Run) -> None:
    answer = run(_REXRAY_COMPLETE="bash_complete", COMP_WORDS="rexray csi s", COMP_CWORD="2")
    assert {"plain,stage", "plain,snap", "plain,stats"} <= set(answer.stdout.split())
    answer = run(_REXRAY_COMPLETE="bash_complete", COMP_WORDS="rexray env --or", COMP_CWORD="2")
    assert answer.stdout.split() == ["plain,--origin"]
