"""``REXRAY_PLUGINS_DIR``: single files as plug-ins, known without being run, and never run where others may write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from plugin_parts import Site, good
from rexray.plugin_trust import refusal

ARRIVED = "open(__file__ + '.arrived', 'a').write('.')\n"
BLOCK = """# /// script
# requires-python = ">=3.11"
# dependencies = ["rexray-core{}", "requests"]
# ///
"""
COMMAND = """
import click
from rexray import hookimpl
from rexray.cli.commands import CommandSpec

@hookimpl
def rexray_commands():
    return [CommandSpec(name="greet", help="Say hello", target=f"{__name__}:greet")]

@click.command()
def greet(): click.echo("hello")
"""
KINDS = """
from rexray import hookimpl
import acme_plugin
from rexray.csi.plugin import CSIPlugin
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.storage import MemoryStorage

class Storage(MemoryStorage):
    name, aliases = "kinds", ()

class Node(MemoryNode):
    name, aliases = "kinds", ()

class OS(acme_plugin.AcmeOS):
    name = "kinds"

class CSI(CSIPlugin):
    name = "kinds"
    capabilities = ("GET_CAPACITY",)
    def services(self, wanted=()): return {}

@hookimpl(specname="rexray_storage_drivers")
def storage(): return [Storage]

@hookimpl
def rexray_node_drivers(): return [Node]

@hookimpl
def rexray_os_drivers(): return [OS]

@hookimpl
def rexray_volume_drivers():
    from shelf_plugin import Shelf
    return [type("Volumes", (Shelf,), {"name": "kinds"})]

@hookimpl
def rexray_csi_plugins(): return [CSI]
"""
OBSERVER = """
from rexray import hookimpl

@hookimpl
def rexray_volume_removed(name): print("heard of", name)
"""
TELL = "from rexray.registry import registry; registry().tell('rexray_volume_removed', driver='d', name='data')"


class Folder:
    """A folder of plug-ins that only this user can write to, beside a site of distributions."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.path = site.folder / "plugins"
        self.path.mkdir(mode=0o700)

    def put(self, name: str, source: str, mode: int = 0o600) -> Path:
        path = self.path / f"{name}.py"
        path.write_text(source)
        path.chmod(mode)
        return path

    def rexray(self, *words: str, **environ: str) -> Any:
        return self.site.rexray(*words, **{"REXRAY_PLUGINS_DIR": str(self.path), **environ})

    def row(self, name: str) -> dict[str, Any]:
        """The one line of a plug-in."""
        answer = self.rexray("driver", "ls", "-f", "json")
        assert answer.returncode == 0, answer.stderr
        (row,) = (row for row in json.loads(answer.stdout) if row["name"] == name)
        found: dict[str, Any] = row
        return found

    def has_run(self, name: str) -> bool:
        return (self.path / f"{name}.py.arrived").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(Site(tmp_path))


def test_a_file_is_a_driver_by_its_stem(folder: Folder) -> None:
    path = folder.put("acme", BLOCK.format(">=0.1,<0.2") + good("acme"))
    folder.put("_draft", "raise AssertionError")
    (folder.path / "notes.txt").write_text("no plug-in")
    row = folder.row("acme")
    assert (row["kind"], row["status"], row["contract"]) == ("os", "ready", ">=0.1,<0.2")
    assert (row["distribution"], row["version"]) == (str(path), "")
    used = folder.rexray("device", "unmount", "--mountpoint", "/mnt", REXRAY_OSDRIVERS="acme")
    assert used.stdout == "unmounted /mnt\n"
    assert not (folder.path / "__pycache__").exists()
    info = folder.rexray("driver", "info", "acme", "-f", "json")
    assert json.loads(info.stdout)[0]["location"] == str(path)
    assert "acme" not in folder.site.rexray("driver", "ls", REXRAY_PLUGINS_DIR="").stdout


def test_help_runs_no_file_but_those_with_commands(folder: Folder) -> None:
    folder.put("acme", ARRIVED + good("acme"))
    folder.put("watch", ARRIVED + OBSERVER)
    for words in (["--help"], ["driver", "--help"], ["version"]):
        assert folder.rexray(*words).returncode == 0
    assert not folder.has_run("acme")
    assert not folder.has_run("watch")
    folder.put("greet", COMMAND)
    assert "Say hello" in folder.rexray("--help").stdout
    assert folder.rexray("greet").stdout == "hello\n"
    assert not folder.has_run("acme")


def test_one_file_can_be_a_plug_in_of_every_kind(folder: Folder) -> None:
    folder.put("kinds", KINDS)
    path = f"{folder.site.folder}:{Path(__file__).parent}"
    answer = folder.rexray("driver", "info", "kinds", "-f", "json", PYTHONPATH=path)
    rows = {row["kind"]: row for row in json.loads(answer.stdout)}
    assert rows.keys() == {"storage", "os", "volume", "csi"}, answer.stderr
    for row in rows.values():
        assert row["status"] == "ready", row["whynot"]
    assert "Snapshots" in rows["storage"]["capabilities"]
    assert rows["csi"]["capabilities"] == ["GET_CAPACITY"]
    node = "from rexray.registry import registry; print(registry().node_driver('kinds').__name__)"
    assert folder.site.python("-c", node, PYTHONPATH=path, REXRAY_PLUGINS_DIR=str(folder.path)).stdout == "Node\n"


def test_a_file_that_only_observes_hears_and_is_no_driver(folder: Folder) -> None:
    folder.put("watch", OBSERVER)
    told = folder.site.python("-c", TELL, REXRAY_PLUGINS_DIR=str(folder.path))
    assert (told.returncode, told.stdout) == (0, "heard of data\n"), told.stderr
    assert "watch" not in folder.rexray("driver", "ls", "-f", "json").stdout


def test_what_was_learned_of_a_file_holds_until_it_changes(folder: Folder) -> None:
    path = folder.put("acme", ARRIVED + good("acme").replace("        @classmethod", "        @staticmethod"))
    path.write_text(path.read_text().replace("def viable(cls):", "def old():"))
    assert folder.row("acme")["status"] == "ready"
    (folder.path / "acme.py.arrived").unlink()
    assert folder.row("acme")["aliases"] == []
    path.write_text(path.read_text().replace("name = ", "aliases = ('anvil',); name = "))
    assert folder.row("acme")["aliases"] == ["anvil"]
    assert folder.has_run("acme")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:", "acme.py:1: SyntaxError"),
        ("x = 1", "acme.py has no hook: mark a function such as rexray_storage_drivers with rexray.hookimpl"),
        (
            ARRIVED + "from rexray import hookimpl\n@hookimpl\ndef rexray_storage_driver(): ...",
            "unknown hook 'rexray_storage_driver'; did you mean 'rexray_storage_drivers'?",
        ),
        (ARRIVED + BLOCK.format(">=99") + good("acme"), "supports rexray-core >=99, this is"),
        (ARRIVED + "# /// script\n# dependencies = 7\n# ///\n" + good("acme"), "dependencies is not a list of texts"),
        (ARRIVED + "# /// script\n# dependencies = [\n# ///\n" + good("acme"), "TOMLDecodeError"),
        (ARRIVED + BLOCK.format("") + "\n" + BLOCK.format("") + good("acme"), "several blocks '# /// script'"),
        ("\0", "acme.py:1: SyntaxError"),
        ("import nothing_there\n" + good("acme"), "ModuleNotFoundError"),
        ("import sys; sys.exit()\n" + good("acme"), "SystemExit"),
        (good("other"), "rexray_os_drivers returns other, not 'acme'"),
    ],
)
def test_a_broken_file_is_one_line_and_ends_nothing(folder: Folder, source: str, reason: str) -> None:
    folder.put("acme", source)
    row = folder.row("acme")
    assert row["status"] == "broken"
    assert reason in row["whynot"]
    assert "\n" not in row["whynot"]
    assert not folder.has_run("acme"), "it can be told without running it"
    assert folder.rexray("--help").returncode == 0
    named = folder.rexray("device", "ls", REXRAY_OSDRIVERS="acme")
    assert named.returncode == 1
    assert reason in named.stderr


def test_a_broken_file_takes_no_settings_of_others_away(folder: Folder) -> None:
    """``rexray env`` asks every plug-in for its settings, as does whatever reads a configuration file."""
    folder.put("acme", "def broken(:")
    answer = folder.rexray("env")
    assert answer.returncode == 0, answer.stderr
    assert "REXRAY_LOGLEVEL=" in answer.stdout
    assert "acme.py:1: SyntaxError" in answer.stderr


def test_a_word_that_a_distribution_has_as_well_is_a_conflict(folder: Folder) -> None:
    path = folder.put("acme", good("acme"))
    folder.site.install("rexray-os-acme", {"acme": good("acme")})
    answer = folder.rexray("device", "ls", REXRAY_OSDRIVERS="acme")
    assert answer.returncode == 1
    assert "os driver 'acme' is claimed by " in answer.stderr
    assert str(path) in answer.stderr
    assert "rexray-os-acme 1.2 (rexray_os_acme.acme_plugin)" in answer.stderr


def test_the_allow_list_is_for_files_too(folder: Folder) -> None:
    folder.put("acme", ARRIVED + good("acme"))
    folder.put("anvil", good("anvil"))
    rows = json.loads(folder.rexray("driver", "ls", "-f", "json", REXRAY_PLUGINS="anvil").stdout)
    assert [row["name"] for row in rows] == ["anvil"]
    assert not folder.has_run("acme")


def test_a_folder_that_is_not_there_is_one_line(folder: Folder) -> None:
    for words in (["driver", "ls"], ["device", "ls"]):
        answer = folder.rexray(*words, REXRAY_PLUGINS_DIR="/nowhere/plugins")
        assert (answer.returncode, answer.stderr) == (
            1,
            "error: $REXRAY_PLUGINS_DIR: /nowhere/plugins: No such file or directory: "
            "mkdir -p -m 700 /nowhere/plugins, or unset the variable\n",
        )


def test_what_others_could_write_is_never_run(folder: Folder) -> None:
    path = folder.put("acme", ARRIVED + good("acme"))
    for wrong, place in ((0o620, path), (0o602, path), (0o770, folder.path), (0o1777, folder.path)):
        before = place.stat().st_mode
        place.chmod(wrong)
        row = folder.row("acme")
        assert (row["kind"], row["status"]) == ("file", "broken")
        assert row["whynot"] == f"{place} can be written by others: chmod go-w {place}"
        used = folder.rexray("device", "ls", REXRAY_OSDRIVERS="acme")
        assert (used.returncode, used.stderr) == (1, f"error: {row['whynot']}\n")
        place.chmod(before)
    assert not folder.has_run("acme")
    assert folder.row("acme")["status"] == "ready"


def test_every_directory_on_the_way_counts_but_for_sticky_ones(folder: Folder) -> None:
    path = folder.put("acme", "")
    assert refusal(path) == ""
    parent = folder.path.parent
    parent.chmod(0o777)
    assert refusal(path) == f"{parent} can be written by others: chmod go-w {parent}"
    parent.chmod(0o1777)
    assert refusal(path) == ""
    parent.chmod(0o700)


def test_links_are_followed_and_what_they_lead_through_counts(folder: Folder, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    target = shared / "target.py"
    target.write_text("")
    target.chmod(0o600)
    link = folder.path / "acme.py"
    link.symlink_to("../shared/target.py")
    assert refusal(link) == ""
    shared.chmod(0o777)
    assert refusal(link) == f"{shared} can be written by others: chmod go-w {shared}"
    shared.chmod(0o1777)
    assert refusal(link) == "", "nobody else can replace what is there"
    target.chmod(0o666)
    assert refusal(link) == f"{target} can be written by others: chmod go-w {target}"
    whole = tmp_path / "linked"
    whole.symlink_to(folder.path)
    folder.path.chmod(0o777)
    assert "can be written by others" in refusal(whole / "acme.py")
    folder.path.chmod(0o700)
    (folder.path / "round.py").symlink_to("round.py")
    assert "too many symbolic links" in refusal(folder.path / "round.py")
    (folder.path / "gone.py").symlink_to("nowhere.py")
    assert "No such file" in refusal(folder.path / "gone.py")


def test_what_is_no_file_is_refused_and_not_waited_for(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe.py", 0o600)
    (folder.path / "folder.py").mkdir(mode=0o700)
    for name in ("pipe", "folder"):
        assert folder.row(name)["whynot"] == f"{folder.path}/{name}.py is not a file"


@pytest.mark.needs("root")
def test_what_belongs_to_another_user_is_refused(folder: Folder) -> None:
    path = folder.put("acme", ARRIVED + good("acme"))
    for place in (path, folder.path):
        os.chown(place, 65534, 65534)
        row = folder.row("acme")
        assert row["status"] == "broken"
        assert row["whynot"].startswith(f"{place} belongs to the user 65534, neither to this one (0) nor to root: ")
        assert row["whynot"].endswith(f"chown 0 {place}")
        os.chown(place, 0, 0)
    assert not folder.has_run("acme")
    link = folder.path / "link.py"
    link.symlink_to(path)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert folder.row("link")["status"] == "broken"
