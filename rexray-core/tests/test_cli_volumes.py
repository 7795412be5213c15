"""The commands over volumes and snapshots: both generations' flags, what they print, and what an error stops."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

Answer = subprocess.CompletedProcess[str]


class Shell:
    """Runs ``rexray`` with the volume driver ``shelf`` installed beside the real ones."""

    def __init__(self, folder: Path) -> None:
        info = folder / "rexray_driver_shelf-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: rexray-driver-shelf\nVersion: 1.0\nRequires-Dist: rexray-core\n")
        (info / "RECORD").write_text("")
        (info / "entry_points.txt").write_text("[rexray.volume]\nshelf = shelf_plugin\n")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        self.environ = {
            **clean,
            "PYTHONPATH": f"{folder}:{Path(__file__).parent}",
            "REXRAY_HOME": str(folder),
            "HOME": str(folder),
            "REXRAY_VOLUMEDRIVERS": "shelf",
            "SHELF": str(folder / "state"),
        }

    def run(self, *words: str, **environ: str) -> Answer:
        """``rexray volume WORDS``, or another command if the first word is one."""
        command = () if words[0] in ("snapshot", "device", "env", "-s") else ("volume",)
        return subprocess.run(
            [sys.executable, "-m", "rexray", *command, *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def say(self, *words: str) -> str:
        """What a command that succeeds without a word on standard error prints."""
        answer = self.run(*words)
        assert (answer.returncode, answer.stderr) == (0, ""), words
        return answer.stdout

    def refused(self, *words: str, status: int = 1) -> str:
        """The one line of a command that fails without printing anything else."""
        answer = self.run(*words)
        assert (answer.returncode, answer.stdout) == (status, ""), answer.stderr
        assert answer.stderr.count("\n") == 1
        return answer.stderr.removeprefix("error: ").rstrip("\n")

    def calls(self) -> list[tuple[object, ...]]:
        """What has been done to the shelf since the last look."""
        log = Path(f"{self.environ['SHELF']}.calls")
        calls = [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return calls

    def with_volumes(self, *names: str) -> Shell:
        """With volumes ``vol-1``, ``vol-2``, … of these names."""
        self.say("create", *names)
        self.calls()
        return self


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_list_is_a_table_of_what_is_asked_for(shell: Shell) -> None:
    shell.with_volumes("far", "here", "idle").say("attach", "here")
    shell.say("attach", "far", "--instanceid", "other")
    assert shell.say("ls").splitlines() == [
        "ID     NAME  STATUS       SIZE",
        "vol-1  far   unavailable  1GiB",
        "vol-2  here  attached     1GiB",
        "vol-3  idle  available    1GiB",
    ]
    assert shell.say("ls", "-q", "--attached").split()[1::4] == ["here"]
    assert shell.say("ls", "-q", "--available").split()[1::4] == ["idle"]
    assert shell.say("ls", "-q", "--attached", "--available").split()[1::4] == ["here", "idle"]
    assert shell.say("ls", "-q", "vol-3", "far").split()[1::4] == ["idle", "far"]
    assert shell.say("ls", "--template", "{name}={availabilityzone}").split() == ["far=", "here=", "idle="]
    assert [row["name"] for row in json.loads(shell.say("ls", "-f", "json"))] == ["far", "here", "idle"]


def test_the_columns_encrypted_and_path_come_where_they_say_something(shell: Shell) -> None:
    shell.say("create", "secret", "--encrypted", "--size", "512MiB")
    shell.say("mount", "secret")
    assert shell.say("ls", "--path").splitlines() == [
        "ID     NAME    STATUS    SIZE    ENCRYPTED  PATH",
        "vol-1  secret  attached  512MiB  true       /mnt/secret",
    ]


def test_volume_get_prints_the_hosts_block_devices_in_the_seeds_yaml(shell: Shell) -> None:
    shell.with_volumes("data", "more", "idle").say("attach", "data", "more")
    entry = (
        "- providername: shelf\n  instanceid: here\n  volumeid: vol-1\n"
        '  devicename: /dev/data\n  region: ""\n  status: attached\n'
    )
    assert shell.say("get") == shell.say("map") == entry + entry.replace("vol-1", "vol-2").replace("data", "more")
    for words in (["data"], ["--volumename", "data"], ["--volumeid", "vol-1"], ["--volumeID=vol-1"]):
        assert shell.say("get", *words) == entry
    assert yaml.safe_load(entry) == json.loads(shell.say("get", "data", "--format", "json"))
    idle = shell.run("get", "idle")
    assert (idle.returncode, idle.stdout) == (0, "[]\n")
    assert idle.stderr == "note: volume 'idle' has no device on this host\n"


def test_inspect_prints_everything(shell: Shell) -> None:
    shell.with_volumes("data").say("attach", "data")
    (found,) = yaml.safe_load(shell.say("inspect", "data"))
    assert found["id"] == "vol-1"
    assert found["sizebytes"] == 2**30
    assert found["attachments"][0]["devicename"] == "/dev/data"


def test_both_generations_flags_make_a_volume(shell: Shell) -> None:
    expected = {"size": "2", "volumetype": "fast", "iops": "9", "availabilityzone": "z", "fstype": "xfs"}
    second = ["--volumeType", "fast", "--availabilityZone", "z", "--fsType", "xfs", "--iops=9", "--size", "2"]
    shell.say("create", "one", *second)
    shell.say("create", "--volumename", "two", "--runasync", *(word.lower() for word in second))
    shell.say("create", "three", "-o", "volumeType=fast", "-o", "color=red", "--snapshotID", "s", "--overwritefs")
    assert shell.calls() == [
        ("create", "one", expected),
        ("create", "two", expected),
        ("create", "three", {"volumetype": "fast", "color": "red", "snapshotid": "s", "overwritefs": "true"}),
    ]
    assert shell.refused("create", "v", "--size", "1", "-o", "SIZE=2") == "option 'size' is given twice, as '1' and '2'"
    assert "creating takes nothing" in shell.refused("create", "v", "--force", status=2)
    assert shell.calls() == []


def test_create_attaches_and_mounts_afterwards(shell: Shell) -> None:
    assert "attached" in shell.say("create", "one", "--attach")
    assert "/mnt/two" in shell.say("create", "two", "--amount", "--force")
    assert [call[:2] for call in shell.calls()] == [
        ("create", "one"),
        ("attach", "one"),
        ("create", "two"),
        ("attach", "two"),
        ("mount", "two"),
    ]


def test_attach_and_detach_are_for_this_host_unless_another_is_named(shell: Shell) -> None:
    shell.with_volumes("data")
    assert shell.say("attach", "-i", "data").splitlines()[1].split() == ["vol-1", "here", "/dev/data", "attached"]
    assert shell.say("detach", "vol-1", "--idempotent", "--runasync") == "vol-1\n"
    shell.say("attach", "--volumeid", "vol-1", "--instanceid", "other", "--force")
    assert json.loads(shell.say("detach", "--volumename=data", "--instanceID=other", "-f", "json")) == [
        {"name": "data"}
    ]
    assert [call[2:] for call in shell.calls()] == [("here", False), ("here", False), ("other", True), ("other", False)]


def test_mount_passes_on_what_is_asked_and_prints_where(shell: Shell) -> None:
    shell.with_volumes("a", "b")
    assert shell.say("mount", "a", "b", "--fstype", "xfs", "--overwritefs", "--force") == "/mnt/a\n/mnt/b\n"
    assert ("mount", "b", "xfs", True, True) in shell.calls()
    assert shell.say("path", "a") == "/mnt/a\n"
    assert shell.say("unmount", "a") == "a\n"
    assert shell.say("path", "a") == ""
    assert [row["path"] for row in json.loads(shell.say("path", "a", "b", "-f", "json"))] == ["", "/mnt/b"]
    assert shell.say("unmount", "--all", "-n", "-q").split()[1] == "a"
    assert shell.say("unmount", "--all").splitlines() == ["a", "b"]
    assert "or --all" in shell.refused("unmount", status=2)
    assert "or --all" in shell.refused("unmount", "a", "--all", status=2)
    assert shell.say("unmount", "--all", "--continueOnError").splitlines() == ["a", "b"]


def test_a_volume_that_others_hold_stays_mounted_and_that_is_said(shell: Shell) -> None:
    shell.with_volumes("data").run("mount", "data", SHELF_HOLDER="container")
    answer = shell.run("unmount", "data")
    assert (answer.returncode, answer.stdout) == (0, "data\n")
    assert answer.stderr == "note: volume 'data' stays mounted for others\n"


def test_verbs_take_exact_names_and_an_unknown_one_is_a_hint_and_nothing_more(shell: Shell) -> None:
    shell.with_volumes("database", "logs")
    meant = "volume {!r} does not exist; did you mean 'database'?"
    for verb in ("rm", "attach", "detach", "mount", "unmount", "path", "inspect", "ls", "get"):
        assert shell.refused(verb, "data") == meant.format("data")
    assert shell.refused("rm", "Database") == meant.format("Database")
    assert shell.refused("expand", "databas", "--size", "2") == meant.format("databas")
    assert shell.refused("rm", "zebra") == "volume 'zebra' does not exist"
    assert [call for call in shell.calls() if call[0] != "unmount"] == []


def test_an_id_is_no_name_and_a_name_is_no_id(shell: Shell) -> None:
    shell.with_volumes("data")
    assert (
        shell.refused("rm", "--volumeid", "data") == "no volume has the id 'data': that is the name of volume 'vol-1'"
    )
    assert shell.refused("rm", "--volumename", "vol-1") == "no volume is named 'vol-1': that is the id of volume 'data'"
    assert "give one of them" in shell.refused("rm", "--volumename", "data", "--volumeid", "vol-1", status=2)
    assert "say which volume" in shell.refused("rm", status=2)
    assert shell.calls() == []


def test_nothing_is_done_when_one_of_several_is_unknown(shell: Shell) -> None:
    shell.with_volumes("data")
    assert shell.refused("rm", "data", "other") == "volume 'other' does not exist"
    assert shell.refused("detach", "data", "other") == "volume 'other' does not exist"
    assert shell.calls() == []


def test_an_error_stops_unless_told_to_go_on_and_the_status_tells_of_it(shell: Shell) -> None:
    shell.with_volumes("a", "b", "c", "stuck")
    first = shell.run("rm", "a", "stuck", "b")
    assert (first.returncode, first.stdout, first.stderr) == (1, "a\n", "error: volume 'stuck' is in use\n")
    rest = shell.run("rm", "gone", "stuck", "b", "c", "--continueonerror", "-f", "json")
    assert (rest.returncode, json.loads(rest.stdout)) == (1, [{"name": "b"}, {"name": "c"}])
    assert rest.stderr == "error: volume 'gone' does not exist\nerror: volume 'stuck' is in use\n"
    assert shell.refused("rm", "stuck", "--force") == "volume 'stuck' is in use"


@pytest.mark.parametrize("flag", ["-n", "--dryRun", "--dryrun", "--DRYRUN"])
def test_a_dry_run_prints_and_does_nothing(shell: Shell, flag: str) -> None:
    shell.with_volumes("data")
    for words in (["rm", "data"], ["attach", "data"], ["detach", "data"], ["mount", "data"], ["unmount", "data"]):
        assert shell.say(*words, flag, "-q").split() == ["vol-1", "data", "available", "1GiB"]
    assert shell.say("expand", "data", "--size", "9", flag, "-q").split()[3] == "1GiB"
    new, old = json.loads(shell.say("create", "new", "data", "--size", "3", flag, "-f", "json"))
    assert (new["id"], new["name"], new["size"], old["id"]) == ("", "new", "3GiB", "vol-1")
    assert new.keys() == old.keys()
    assert shell.refused("rm", "other", flag) == "volume 'other' does not exist"
    assert shell.calls() == []


def test_expand_grows(shell: Shell) -> None:
    shell.with_volumes("data")
    assert shell.say("expand", "data", "--size", "32", "-q").split() == ["vol-1", "data", "available", "32GiB"]
    assert shell.calls() == [("expand", "vol-1", 32 * 2**30)]


def test_snapshots_are_taken_found_and_deleted_by_name_and_by_id(shell: Shell) -> None:
    shell.with_volumes("data", "other")
    assert shell.say("snapshot", "create", "data", "--snapshotname", "s", "-q").split() == [
        "snap-1",
        "s",
        "ready",
        "vol-1",
    ]
    shell.say("snapshot", "create", "--volumeID", "vol-2", "--snapshotName", "t", "--description", "d", "--runasync")
    assert shell.calls() == [("create_snapshot", "vol-1", "s", ""), ("create_snapshot", "vol-2", "t", "d")]
    assert len(shell.say("snapshot", "ls", "-q").splitlines()) == 2
    for words in (["s"], ["snap-1"], ["--snapshotname=s"], ["--snapshotid", "snap-1"], ["--volumename", "data"]):
        assert shell.say("snapshot", "ls", "-q", *words).split()[0] == "snap-1"
    assert yaml.safe_load(shell.say("snapshot", "get", "--volumeid", "vol-2"))[0]["description"] == "d"
    assert shell.refused("snapshot", "rm", "s", "snap-3") == "snapshot 'snap-3' does not exist; did you mean 'snap-2'?"
    assert shell.refused("snapshot", "rm", "--snapshotname", "snap-1").startswith("snapshot 'snap-1' does not exist")
    assert shell.say("snapshot", "rm", "-n", "-q", "s").split()[0] == "snap-1"
    assert shell.calls() == []
    assert shell.say("snapshot", "rm", "s", "snap-2") == "s\nsnap-2\n"
    assert shell.calls() == [("remove_snapshot", "snap-1"), ("remove_snapshot", "snap-2")]


def test_a_name_of_several_snapshots_names_none(shell: Shell) -> None:
    shell.with_volumes("data", "other")
    for volume in ("data", "other"):
        shell.say("snapshot", "create", volume, "--snapshotname", "daily")
    message = "snapshot 'daily' is not unique: say which by its id, one of snap-1, snap-2"
    assert shell.refused("snapshot", "rm", "daily") == message
    assert shell.say("snapshot", "ls", "daily", "--volumename", "other", "-q").split()[0] == "snap-2"


def test_snapshots_are_copied_and_rolled_back(shell: Shell) -> None:
    shell.with_volumes("data", "other").say("snapshot", "create", "data", "--snapshotname", "s")
    shell.calls()
    shell.say("snapshot", "copy", "s", "--destinationregion", "eu")
    shell.say("snapshot", "copy", "--snapshotid", "snap-1", "--destinationRegion=eu", "--destinationSnapshotName", "t")
    wrong = "snapshot 's' is of volume 'vol-1', not of 'vol-2'"
    assert shell.refused("snapshot", "rollback", "s", "--volumename", "other") == wrong
    shell.say("snapshot", "rollback", "s", "--dryRun")
    shell.say("snapshot", "rollback", "s", "--volumename", "data")
    assert shell.calls() == [
        ("copy_snapshot", "snap-1", "s", "eu"),
        ("copy_snapshot", "snap-1", "t", "eu"),
        ("rollback", "vol-1", "snap-1"),
    ]


def test_flags_are_taken_in_any_case_and_a_wrong_one_is_shown_as_documented(shell: Shell) -> None:
    shown = shell.say("env", "--LOGLEVEL", "warn", "--storagedrivers", "loop", "--FORMAT", "JSON")
    values = {row["name"]: row["value"] for row in json.loads(shown)}
    assert (values["REXRAY_LOGLEVEL"], values["REXRAY_STORAGEDRIVERS"]) == ("warn", "loop")
    assert "--dryRun" in shell.refused("rm", "data", "--dryrum", status=2)
    assert "--storageDrivers" in shell.refused("ls", "--storageDriver", "x", status=2)


def test_the_formats_have_their_originals_words(shell: Shell) -> None:
    shell.with_volumes("data")
    assert shell.say("ls", "-f", "tmpl") == shell.say("ls")
    assert shell.say("ls", "--format", "tmpl", "--template", "{name}") == "data\n"
    assert "not as in Go" in shell.refused("ls", "--template", "{{range .D}}{{.Name}}{{end}}")


def test_a_storage_service_is_refused_by_a_volume_driver_that_has_none(shell: Shell) -> None:
    assert shell.refused("ls", "-s", "ec2").startswith("--service: volume driver 'shelf' has no storage services")


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_shows_on_a_terminal_and_nowhere_else(terminal: bool) -> None:
    work = "import time; from rexray.cli.progress import progress\nwith progress('making \\x1b v'): time.sleep(0.9)"
    ours, theirs = pty.openpty()
    stream = theirs if terminal else subprocess.PIPE
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", work], stderr=stream, env=environ, timeout=60, check=True)
    os.close(theirs)
    if not terminal:
        assert done.stderr == b""
        os.close(ours)
        return
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert re.match(r"\r. making \\x1b v \(\d s\)\x1b\[K", shown)
    assert shown.endswith("\r\x1b[K")


def test_short_work_shows_nothing() -> None:
    work = "from rexray.cli.progress import progress\nwith progress('x'): pass"
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", work + "\nimport sys; sys.stderr.write('.')"], stderr=theirs, env=environ)
    os.close(theirs)
    assert os.read(ours, 100) == b"."
    os.close(ours)
