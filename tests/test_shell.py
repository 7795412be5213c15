"""The shell over real loop devices: what people type, from the first volume to a drained host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from loop_parts import clean

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("loop"), pytest.mark.needs("mkfs.ext4")]


class Shell:
    """``rexray`` on the platform ``loop``, with every path below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        self.environ = {
            **clean,
            "REXRAY_HOME": str(folder),
            "HOME": str(folder),
            "REXRAY_STORAGEDRIVERS": "loop",
            "LOOP_INSTANCEID": "here",
        }

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rexray", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def say(self, *words: str) -> str:
        """What a command prints that succeeds."""
        answer = self.run(*words)
        assert (answer.returncode, answer.stderr) == (0, ""), words
        return answer.stdout

    def refused(self, *words: str, **environ: str) -> str:
        """The one line of a command that fails."""
        answer = self.run(*words, **environ)
        assert (answer.returncode, answer.stdout) == (1, ""), words
        assert answer.stderr.count("\n") == 1
        return answer.stderr.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    yield Shell(tmp_path)
    clean(tmp_path)


def test_a_volume_lives_and_dies_by_its_name(shell: Shell) -> None:
    assert shell.say("volume", "create", "data", "--size", "64MiB").splitlines()[1].split() == [
        "data",
        "data",
        "available",
        "64MiB",
    ]
    where = Path(shell.say("volume", "mount", "data").rstrip("\n"))
    assert os.path.ismount(where)
    (where / "file").write_text("kept")
    assert shell.say("volume", "mount", "data", "-i") == f"{where}\n"
    (device,) = yaml.safe_load(shell.say("volume", "get"))
    assert list(device)[:6] == ["providername", "instanceid", "volumeid", "devicename", "region", "status"]
    assert (device["providername"], device["instanceid"], device["volumeid"]) == ("loop", "here", "data")
    assert device["devicename"].startswith("/dev/loop")
    assert yaml.safe_load(shell.say("volume", "map")) == yaml.safe_load(shell.say("volume", "get", "data")) == [device]
    assert shell.say("volume", "ls", "--path", "-q").split()[-1] == str(where)
    assert shell.say("volume", "path", "data") == f"{where}\n"
    assert "unmount it first" in shell.refused("volume", "rm", "data")
    shell.say("volume", "unmount", "data")
    assert not os.path.ismount(where)
    assert shell.say("volume", "get") == "[]\n"
    shell.say("volume", "mount", "data", "--read-only")
    assert (where / "file").read_text() == "kept"
    shell.say("volume", "unmount", "data")
    assert shell.say("volume", "rm", "data") == "data\n"
    assert shell.refused("volume", "rm", "data") == "volume 'data' does not exist"


def test_a_filesystem_is_overwritten_only_when_that_is_said(shell: Shell) -> None:
    where = Path(json.loads(shell.say("volume", "create", "data", "--size=64MiB", "--amount", "-f", "json"))[0]["path"])
    (where / "file").write_text("old")
    shell.say("volume", "unmount", "data")
    shell.say("volume", "mount", "data")
    assert (where / "file").exists()
    assert "not overwritten" in shell.refused("volume", "mount", "data", "--overwriteFS")
    shell.say("volume", "unmount", "data")
    shell.say("volume", "mount", "data", "--overwritefs")
    assert not (where / "file").exists()


def test_a_volume_that_another_instance_has_is_taken_only_by_force(shell: Shell) -> None:
    shell.say("volume", "create", "data", "--size", "64MiB")
    elsewhere = shell.run("volume", "attach", "data", LOOP_INSTANCEID="there")
    assert elsewhere.stdout.splitlines()[1].split()[:2] == ["data", "there"]
    assert shell.say("volume", "ls", "-q").split()[2] == "unavailable"
    assert shell.say("volume", "ls", "-q", "--attached", "--available") == ""
    assert "'there'" in shell.refused("volume", "attach", "data")
    assert "'there'" in shell.refused("volume", "mount", "data")
    shell.say("volume", "attach", "data", "--force")
    assert shell.say("volume", "ls", "-q", "--attached").split()[2] == "attached"
    shell.say("volume", "detach", "--volumeid", "data")
    assert shell.say("volume", "ls", "-q", "--available").split()[2] == "available"


def test_snapshots_are_taken_listed_rolled_back_and_made_into_volumes(shell: Shell) -> None:
    shell.say("volume", "create", "data", "--size", "64MiB", "--amount")
    where = Path(shell.say("volume", "path", "data").rstrip("\n"))
    (where / "file").write_text("before")
    shell.say("snapshot", "create", "--volumename", "data", "--snapshotname", "s")
    (where / "file").write_text("after")
    assert shell.say("snapshot", "ls", "-q", "--volumename", "data").split() == ["s", "s", "ready", "data"]
    assert "attached" in shell.refused("snapshot", "rollback", "s")
    shell.say("volume", "unmount", "data")
    shell.say("snapshot", "rollback", "s", "--volumename", "data")
    shell.say("volume", "mount", "data")
    assert (where / "file").read_text() == "before"
    shell.say("volume", "create", "copy", "--snapshotid", "s", "--amount")
    assert (where.with_name("copy") / "file").read_text() == "before"
    assert shell.refused("snapshot", "copy", "s", "--destinationregion", "eu").endswith("it has no SnapshotCopy")
    assert shell.say("snapshot", "rm", "s") == "s\n"
    assert shell.refused("snapshot", "rm", "s") == "snapshot 's' does not exist"
    assert shell.say("volume", "unmount", "--all").split() == ["copy", "data"]
    assert shell.say("volume", "ls", "--attached", "-q") == ""


def test_a_volume_grows(shell: Shell) -> None:
    shell.say("volume", "create", "data", "--size", "64MiB")
    assert shell.say("volume", "expand", "data", "--size", "128MiB", "-q").split()[3] == "128MiB"
    where = Path(shell.say("volume", "mount", "data").rstrip("\n"))
    assert os.statvfs(where).f_blocks * os.statvfs(where).f_frsize > 100 << 20


def test_devices_are_formatted_mounted_and_unmounted(shell: Shell) -> None:
    shell.say("volume", "create", "data", "--size", "64MiB")
    device = shell.say("volume", "attach", "data", "-q").split()[2]
    target = shell.folder / "there"
    assert shell.say("device", "format", device, "-n").split()[3:] == [device, "ext4"]
    shell.say("device", "format", "--deviceName", device)
    assert "ext4" in shell.refused("device", "format", "--devicename", device)
    assert shell.say("device", "mount", "--devicename", device, "--mountpoint", str(target)) == f"{target}\n"
    assert shell.say("device", "ls", device).splitlines()[1].split() == [device, str(target), "ext4"]
    (found,) = yaml.safe_load(shell.say("device", "get", "--mountPoint", str(target)))
    assert (found["source"], found["readonly"]) == (device, False)
    shell.say("device", "unmount", str(target))
    assert not os.path.ismount(target)


def test_a_service_is_the_name_of_a_storage_driver(shell: Shell) -> None:
    del shell.environ["REXRAY_STORAGEDRIVERS"]
    assert shell.say("-s", "loop", "volume", "ls") == "ID  NAME  STATUS  SIZE\n"
    shell.environ["REXRAY_SERVICE"] = "acme"
    assert shell.refused("volume", "ls").startswith("service 'acme' is not configured; the storage drivers are: ")
    assert shell.run("device", "ls").returncode == 0


def test_volumes_of_a_platform_are_listed_without_what_csi_needs(shell: Shell) -> None:
    script = "import sys; from rexray.cli import main\ntry: main(['volume', 'ls'])\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=shell.environ, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.split()
    assert "rexray.volumes.driver" in loaded
    heavy = ("grpc", "google.protobuf", "yaml", "asyncio", "werkzeug", "rexray.csi.volumes")
    assert [name for name in heavy if name in loaded] == []


def test_installed_storage_drivers_are_used_where_nothing_is_named_and_no_service_is_there(shell: Shell) -> None:
    shell.say("volume", "create", "data", "--size", "64MiB")
    answer = shell.run("volume", "ls", "-q", REXRAY_STORAGEDRIVERS="")
    assert (answer.returncode, answer.stdout.split()[:2]) == (0, ["data", "data"])
    named = shell.run("volume", "ls", REXRAY_STORAGEDRIVERS="", CSI_ENDPOINT=str(shell.folder / "none.sock"))
    assert "no CSI service at" in named.stderr


def test_what_a_driver_can_do_is_listed_with_it(shell: Shell) -> None:
    rows = {row["name"]: row for row in json.loads(shell.say("driver", "ls", "-f", "json"))}
    assert {"Snapshots", "GroupSnapshots", "Clone", "Expand", "Rollback"} <= set(rows["loop"]["capabilities"])
    assert (rows["linux"]["status"], rows["linux"]["capabilities"]) == ("ready", [])
