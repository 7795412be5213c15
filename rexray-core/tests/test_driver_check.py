"""``rexray driver check``: the checks that change nothing, on the live configuration, without pytest."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rexray.scaffold.kinds import KINDS
from rexray.scaffold.naming import checked
from rexray.scaffold.writing import render

Answer = subprocess.CompletedProcess[str]
PASSWORD = "correct-horse-battery"
PACKAGE = "rexray_driver_shelfie"


class Host:
    """A host with the storage driver ``shelfie``, as ``rexray driver new`` writes it, and its array."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.root = folder / "array"
        info = self.site / f"{PACKAGE}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Name: rexray-driver-shelfie\nVersion: 0.1.0\nRequires-Dist: rexray-core\n")
        (info / "RECORD").write_text("")
        (info / "entry_points.txt").write_text(f"[rexray.storage]\nshelfie = {PACKAGE}.plugin\n")
        for name, text in render(KINDS["storage"], checked("shelfie", "rexray-driver")).items():
            if name.startswith("src/"):
                path = self.site / name.removeprefix("src/")
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        self.environ = {
            **clean,
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "REXRAY_HOME": str(folder / "home"),
            "HOME": str(folder / "home"),
            "SHELFIE_ROOT": str(self.root),
            "SHELFIE_PASSWORD": PASSWORD,
        }

    def breaks(self, module: str, old: str, new: str) -> None:
        """Have the driver's code be another."""
        path = self.site / PACKAGE / f"{module}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def check(self, *words: str, **environ: str) -> Answer:
        """``rexray driver check shelfie``."""
        return self.run("driver", "check", *(words or ("shelfie",)), **environ)

    def run(self, *words: str, **environ: str) -> Answer:
        """``rexray`` with those words."""
        return subprocess.run(
            [sys.executable, "-m", "rexray", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def rows(self, *words: str, **environ: str) -> dict[str, dict[str, object]]:
        answer = self.check("shelfie", *words, "--format", "json", **environ)
        assert answer.stderr == ""
        return {row["check"]: row for row in json.loads(answer.stdout)}

    def volume(self, name: str) -> None:
        """A volume on the array, made by the program."""
        assert self.run("volume", "create", name, "--size", "1", "-s", "shelfie").returncode == 0

    def content(self) -> dict[str, bytes]:
        """All that the array keeps."""
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@contextmanager
def hanging(root: Path) -> Iterator[None]:
    """The array answers nobody."""
    root.mkdir(exist_ok=True)
    with open(root / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_table_says_how_each_check_ended(host: Host) -> None:
    host.volume("data")
    answer = host.check()
    assert (answer.returncode, answer.stderr) == (0, "")
    head, *lines = answer.stdout.splitlines()
    assert head.split() == ["CHECK", "OUTCOME", "REASON", "MS"]
    assert all(line.split()[1] in ("passed", "skipped") and line.split()[-1].isdigit() for line in lines)
    assert any(line.startswith("every_volume_of_the_list_is_well_formed ") for line in lines)
    assert any("ShelfieStorage does not declare HasPolicy" in line for line in lines)


def test_the_node_driver_beside_it_is_checked_too(host: Host) -> None:
    rows = host.rows()
    assert {row["kind"] for row in rows.values()} == {"storage", "node"}
    assert rows["instance_has_an_id_and_a_provider"]["outcome"] == "passed"
    assert "`instance` is this host" in str(rows["instance_has_an_id_and_a_provider"]["help"]).replace("``", "`")


def test_nothing_is_changed(host: Host) -> None:
    host.volume("data")
    before = host.content()
    assert host.check().returncode == 0
    after = {path: data for path, data in host.content().items() if not path.endswith("/lock")}
    assert after == {path: data for path, data in before.items() if not path.endswith("/lock")}


def test_a_failed_check_says_why_and_the_exit_status_is_1(host: Host) -> None:
    host.volume("data")
    host.breaks("storage", "yield from map(self._described, page)", "yield from 2 * [*map(self._described, page)]")
    answer = host.check("shelfie", "--format", "json")
    assert answer.returncode == 1
    failed = [row for row in json.loads(answer.stdout) if row["outcome"] == "failed"]
    assert "the_list_has_every_id_once" in [row["check"] for row in failed]
    assert all(row["reason"] for row in failed)


def test_a_platform_that_is_down_is_said_once(host: Host) -> None:
    (host.root.parent / "file").touch()
    answer = host.check(SHELFIE_ROOT=str(host.root.parent / "file" / "array"))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    assert "driver 'shelfie' cannot be checked: " in answer.stderr
    assert "check shelfie.root" in answer.stderr


def test_wrong_credentials_are_said_once_and_never_shown(host: Host) -> None:
    host.volume("data")
    answer = host.check(SHELFIE_PASSWORD="wrong-staple")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "check shelfie.password" in answer.stderr
    assert "wrong-staple" not in answer.stderr


def test_a_secret_that_a_driver_tells_does_not_show(host: Host) -> None:
    host.breaks(
        "storage",
        '"""The hosts that have logged in to the array."""',
        "raise RuntimeError(f'no luck with {self._settings.password.reveal()}')",
    )
    answer = host.check("shelfie", "--format", "json")
    assert answer.returncode == 1
    assert "no luck with ***" in answer.stdout
    assert PASSWORD not in answer.stdout + answer.stderr


def test_a_secret_with_quotes_does_not_show_as_code_either(host: Host) -> None:
    host.breaks(
        "storage",
        '"""The hosts that have logged in to the array."""',
        "raise RuntimeError(f'no luck with {self._settings.password.reveal()!r}')",
    )
    answer = host.check("shelfie", "--format", "json", SHELFIE_PASSWORD="it's a \\staple")
    assert answer.returncode == 1
    assert "no luck with" in answer.stdout
    assert "staple" not in answer.stdout


def test_what_a_driver_prints_is_no_part_of_the_answer(host: Host) -> None:
    host.breaks("storage", '"""The hosts that have logged in to the array."""', "print('chatty')")
    answer = host.check("shelfie", "--format", "json")
    assert answer.returncode == 0
    assert json.loads(answer.stdout)
    assert "chatty" in answer.stderr


def test_a_platform_that_hangs_takes_no_longer_than_the_timeout(host: Host) -> None:
    begin = time.monotonic()
    with hanging(host.root):
        answer = host.check("shelfie", "--timeout", "1", "--format", "json", SHELFIE_TIMEOUT="1h")
    assert time.monotonic() - begin < 20
    assert answer.returncode == 1
    rows = json.loads(answer.stdout)
    assert [row["outcome"] for row in rows].count("failed") == 1
    late = [row["reason"] for row in rows if row["outcome"] == "skipped"]
    assert "the 1 s of --timeout were over before it began" in late


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_a_timeout_that_is_none_is_refused(host: Host, seconds: str) -> None:
    assert host.check("shelfie", "--timeout", seconds).returncode == 2


def test_the_live_configuration_is_that_of_the_service(host: Host, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    file = tmp_path / "file"
    file.touch()
    config.write_text(
        "rexray:\n  services:\n"
        f"    good: {{driver: shelfie, shelfie: {{root: {tmp_path / 'good'}}}}}\n"
        f"    bad: {{driver: shelfie, shelfie: {{root: {file}/x}}}}\n"
    )
    chosen = ("shelfie", "-c", str(config))
    assert host.check(*chosen, "-s", "good").returncode == 0
    assert (tmp_path / "good").is_dir()
    assert not host.root.exists()
    assert f"{file}/x" in host.check(*chosen, "-s", "bad").stderr
    assert "several services have the driver 'shelfie' (bad, good): choose one by -s" in host.check(*chosen).stderr
    assert "service 'none' is not configured" in host.check(*chosen, "-s", "none").stderr


def test_the_only_service_of_a_driver_is_the_one(host: Host, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(f"rexray.services.mine: {{driver: shelfie, shelfie.root: {tmp_path / 'mine'}}}\n")
    assert host.check("shelfie", "-c", str(config)).returncode == 0
    assert (tmp_path / "mine").is_dir()


def test_without_services_s_can_only_be_the_driver(host: Host) -> None:
    assert host.check("shelfie", "-s", "shelfie").returncode == 0
    assert "service 'docker' is not configured" in host.check("shelfie", "-s", "docker").stderr


def test_s_chooses_an_installed_driver_by_name_or_alias_where_no_services_are_configured(host: Host) -> None:
    host.volume("data")
    host.breaks("storage", "    name = PROVIDER\n", '    name = PROVIDER\n    aliases = ("shlf",)\n')
    host.breaks("node", "    name = PROVIDER\n", '    name = PROVIDER\n    aliases = ("shlf",)\n')
    with (host.site / f"{PACKAGE}-0.1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write(f"shlf = {PACKAGE}.plugin\n")
    for word in ("shelfie", "shlf"):
        answer = host.run("volume", "ls", "-s", word)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "data" in answer.stdout
        assert host.check(word, "-s", "shlf").returncode == 0
    assert "service 'other' is not configured" in host.run("volume", "ls", "-s", "other").stderr
    refused = host.run("volume", "ls", "-s", "shlf", REXRAY_STORAGEDRIVERS="loop")
    assert "service 'shlf' is not configured; the storage drivers are: loop" in refused.stderr


def test_what_is_not_installed_is_said_with_what_to_install(host: Host) -> None:
    answer = host.check("nothing")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "pip install rexray-driver-nothing" in answer.stderr


def test_a_name_of_several_kinds_wants_the_kind(host: Host) -> None:
    info = host.site / f"{PACKAGE}-0.1.0.dist-info"
    with (info / "entry_points.txt").open("a") as file:
        file.write(f"[rexray.os]\nshelfie = {PACKAGE}.plugin\n")
    answer = host.check()
    assert "there are drivers 'shelfie' of the kinds storage and os: say which by --kind" in answer.stderr
    assert host.check("shelfie", "--kind", "storage").returncode == 0


def test_the_volume_driver_over_it_is_checked_by_its_kind(host: Host) -> None:
    host.volume("data")
    answer = host.check("docker", "--kind", "volume", "--format", "json", REXRAY_STORAGEDRIVERS="shelfie")
    rows = {row["check"]: row["outcome"] for row in json.loads(answer.stdout)}
    assert answer.returncode == 0, answer.stdout
    assert rows["list_is_sorted_by_name"] == "passed"


def test_a_csi_plug_in_is_not_started_beside_the_one_that_serves(host: Host) -> None:
    answer = host.check("libstorage")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "it has to be started to be checked" in answer.stderr


def test_it_needs_no_pytest(host: Host) -> None:
    host.breaks(
        "plugin", "from rexray import hookimpl", "import sys; sys.modules['pytest'] = None\nfrom rexray import hookimpl"
    )
    assert host.check().returncode == 0


def test_a_terminal_shows_what_is_under_way(host: Host) -> None:
    leader, follower = pty.openpty()
    with hanging(host.root):
        words = [sys.executable, "-m", "rexray", "driver", "check", "shelfie", "--timeout", "2"]
        done = subprocess.run(
            words,
            env={**host.environ, "SHELFIE_TIMEOUT": "1h", "TERM": "xterm", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=follower,
            timeout=60,
            check=False,
        )
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 1
    assert re.search(r"checking storage driver shelfie, \d+ of \d+: \w+ \(1 s\)", shown)
    assert "\x1b[K" in shown
