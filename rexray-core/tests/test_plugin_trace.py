"""Observers hear what their hooks' docstrings promise and disturb nobody; ``REXRAY_TRACE_PLUGINS`` shows all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugin_parts import Site, good

ALL = """
import os
from rexray import hookimpl

def note(*words):
    with open(os.environ["HEARD"], "a") as file:
        print(*words, file=file)

@hookimpl
def rexray_volume_created(driver, volume): note("created", driver, volume.name)

@hookimpl
def rexray_volume_removed(driver, name): note("removed", driver, name)

@hookimpl
def rexray_volume_attached(driver, attachment): note("attached", driver, attachment.instance_id)

@hookimpl
def rexray_volume_detached(driver, name, instance_id): note("detached", driver, name, instance_id)

@hookimpl
def rexray_volume_mounted(driver, name, holder, path): note("mounted", driver, name, holder, path.name)

@hookimpl
def rexray_volume_unmounted(driver, name, holder): note("unmounted", driver, name, holder)

@hookimpl
def rexray_operation_failed(driver, operation, name, error):
    note("failed", driver, operation, name, type(error).__name__)
"""
LOUD = """
from rexray import hookimpl

class Unsayable(Exception):
    def __str__(self): raise ValueError("no words")

@hookimpl
def rexray_volume_created(): raise Unsayable

@hookimpl
def rexray_volume_removed(name, unheard_of_before=None): raise RuntimeError("trouble of " + name)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_is_done_by_the_shell_is_told_to_observers(site: Site) -> None:
    site.install("rexray-watch", {"watch": ALL}, group="rexray.commands")
    info = site.folder / "rexray_driver_memory-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: rexray-driver-memory\nVersion: 1.0\n")
    plugin = "memory = rexray.testing.memory.plugin"
    (info / "entry_points.txt").write_text(f"[rexray.storage]\n{plugin}\n[rexray.os]\n{plugin}\n")
    heard = site.folder / "heard"
    environ = {
        "HEARD": str(heard),
        "MEMORY_FILE": str(site.folder / "memory.state"),
        "REXRAY_STORAGEDRIVERS": "memory",
        "REXRAY_OSDRIVERS": "memory",
    }

    def told(*words: str, status: int = 0) -> list[str]:
        heard.write_text("")
        answer = site.rexray("volume", *words, **environ)
        assert answer.returncode == status, answer.stderr
        return heard.read_text().splitlines()

    assert told("create", "data", "--size", "1") == ["created docker data"]
    assert told("attach", "data") == ["attached memory host-1"]
    assert told("detach", "data") == ["detached memory data host-1"]
    assert told("attach", "data", "--instanceID", "host-2") == ["attached memory host-2"]
    assert told("mount", "data", status=1) == ["failed docker mount data InUse"]
    assert told("detach", "data", "--instanceID", "host-2") == ["detached memory data host-2"]
    assert told("remove", "data") == ["removed docker data"]


HOLDING = """
import sys
from pathlib import Path
from rexray.errors import RexrayError, Unavailable
from rexray.holding import Holding
from rexray.locks import Locks
from rexray.state import Record, Records
from rexray.types import MountRequest

class Publisher:
    mounted = False
    def target(self, record): return Path("/mnt", record.name)
    def is_published(self, record): return self.mounted
    def is_attached_here(self, record): return False
    def publish(self, record, request):
        if record.name == "stuck":
            raise Unavailable("no answer")
        self.mounted = True
    def unpublish(self, record): self.mounted = False; return True

home = Path(sys.argv[1])
holding = Holding("docker", Publisher(), Records(home / "records"), Locks(home / "locks"))
for name in ("data", "stuck"):
    request = MountRequest(name=name, holder="me")
    try:
        holding.mount(request, lambda: Record(name=name, volume_id=name))
        holding.unmount(name, "me")
    except RexrayError as error:
        print(error)
"""


def test_who_gets_a_mount_and_lets_it_go_is_told_and_so_is_a_failure_once(site: Site) -> None:
    site.install("rexray-watch", {"watch": ALL}, group="rexray.commands")
    heard = site.folder / "heard"
    answer = site.python("-c", HOLDING, str(site.folder), HEARD=str(heard))
    assert (answer.returncode, answer.stdout) == (0, "no answer\n"), answer.stderr
    assert heard.read_text().splitlines() == [
        "mounted docker data me data",
        "unmounted docker data me",
        "failed docker mount stuck Unavailable",
    ]


def test_no_error_of_an_observer_breaks_a_call(site: Site) -> None:
    site.install("rexray-loud", {"loud": LOUD}, group="rexray.commands")
    tell = (
        "from rexray.registry import registry; r = registry()\n"
        "r.tell('rexray_volume_created', driver='d', volume=None)\n"
        "r.tell('rexray_volume_removed', driver='d', name='data')\n"
        "print('through')"
    )
    answer = site.python("-c", tell)
    assert (answer.returncode, answer.stdout) == (0, "through\n"), answer.stderr
    assert "observer rexray_loud.loud_plugin failed in rexray_volume_created" in answer.stderr
    assert "observer rexray_loud.loud_plugin failed in rexray_volume_removed" in answer.stderr
    assert "trouble of data" in answer.stderr


TOY = """
import types
import pluggy
from rexray.registry import Registry

spec = pluggy.HookspecMarker("rexray")

@spec(warn_on_impl=DeprecationWarning("rexray_old goes in 0.3: use rexray_new"))
def rexray_old(): ...

@spec(warn_on_impl_args={"colour": DeprecationWarning("the argument colour goes in 0.3")})
def rexray_paint(colour, shade, added): ...

toy = types.ModuleType("toy")
toy.rexray_old, toy.rexray_paint = rexray_old, rexray_paint
registry = Registry(toy)
registry.tell("rexray_paint", colour="red", shade="dark", added=1)
"""


def test_who_implements_what_is_to_go_is_told_so_by_name_and_heard_all_the_same(site: Site) -> None:
    old = "from rexray import hookimpl\n@hookimpl\ndef rexray_old(): ...\n"
    fewer = "from rexray import hookimpl\n@hookimpl\ndef rexray_paint({}): print('{}')\n"
    site.install("rexray-old", {"old": old}, group="rexray.commands")
    site.install("rexray-red", {"red": fewer.format("colour", "red")}, group="rexray.commands")
    site.install("rexray-dark", {"dark": fewer.format("shade", "dark")}, group="rexray.commands")
    answer = site.python("-c", TOY, REXRAY_PLUGINS="old,red,dark")
    assert answer.returncode == 0, answer.stderr
    assert sorted(answer.stdout.split()) == ["dark", "red"], "an implementation names the arguments that it wants"
    assert sorted(answer.stderr.splitlines()) == [
        "plug-in 'old' of rexray-old 1.2: rexray_old goes in 0.3: use rexray_new",
        "plug-in 'red' of rexray-red 1.2: the argument colour goes in 0.3",
    ]


def test_the_trace_shows_each_step_with_its_milliseconds(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme")})
    traced = site.rexray("driver", "ls", "-f", "json", REXRAY_TRACE_PLUGINS="1", REXRAY_PLUGINS="acme")
    found = [line.removeprefix("plug-ins: ") for line in traced.stderr.splitlines() if "acme" in line]
    assert found[0].startswith("found os 'acme' = rexray_os_acme.acme_plugin in ")
    for text in (
        "contract of 'acme' checked",
        "imported rexray_os_acme.acme_plugin",
        "hook rexray_os_drivers of 'acme'",
        "viability of 'acme' asked",
    ):
        assert [line for line in found if re.fullmatch(rf"{re.escape(text)}: \d+\.\d ms", line)], (text, found)
    quiet = site.rexray("driver", "ls", "-f", "json")
    assert quiet.stderr == ""
    assert "acme" in quiet.stdout
    broken = site.rexray("driver", "ls", REXRAY_TRACE_PLUGINS="0", REXRAY_PLUGINS="acme")
    assert "plug-ins: " not in broken.stderr


def test_the_trace_shows_observers_and_what_ends_an_import(site: Site) -> None:
    site.install("rexray-loud", {"loud": LOUD}, group="rexray.commands")
    site.install("rexray-sad", {"sad": "raise KeyError('x')"}, group="rexray.commands")
    tell = "from rexray.registry import registry; registry().tell('rexray_volume_removed', driver='d', name='data')"
    answer = site.python("-c", tell, REXRAY_TRACE_PLUGINS="1")
    heard = r"plug-ins: observer rexray_loud\.loud_plugin hears rexray_volume_removed: \d+\.\d ms, RuntimeError"
    assert re.search(heard, answer.stderr)
    assert re.search(r"plug-ins: imported rexray_sad\.sad_plugin: \d+\.\d ms, KeyError", answer.stderr)
