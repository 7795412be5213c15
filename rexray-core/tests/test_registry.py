"""Plug-ins from other distributions: found by metadata, loaded by name, the broken ones set apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from plugin_parts import Site, good
from rexray import __version__, catalog

OTHERS = any(True for _ in catalog.entries("os"))
"""Whether an OS driver is installed beside the core, which there is none of where the core is tested alone."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_driver_of_another_distribution_is_listed_with_all_that_is_known(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme")})
    row = site.drivers()["rexray-os-acme"]
    assert row.pop("loadms") > 0
    assert row == {
        "name": "acme",
        "kind": "os",
        "distribution": "rexray-os-acme",
        "version": "1.2",
        "contract": "",
        "status": "ready",
        "whynot": "",
        "capabilities": [],
        "aliases": [],
    }


def test_a_driver_that_cannot_work_here_says_why(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme", viable=False, reason="no acme bus on this host")})
    row = site.drivers()["rexray-os-acme"]
    assert (row["status"], row["whynot"]) == ("not viable", "no acme bus on this host")
    used = site.rexray("device", "ls")
    if OTHERS:
        assert used.returncode == 0, "another installed one is used"
    else:
        assert (used.returncode, used.stderr) == (
            1,
            "error: no installed os driver can work here: acme: no acme bus on this host\n",
        )


MISSPELT = """
from rexray import hookimpl

@hookimpl
def rexray_os_driver(): return []
"""
WRONG_ARGUMENT = """
from rexray import hookimpl

@hookimpl
def rexray_os_drivers(colour): return []
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_sdk", "ModuleNotFoundError: No module named 'no_such_sdk'"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("def broken(:", "SyntaxError"),
        (MISSPELT, "unknown hook 'rexray_os_driver'"),
        (WRONG_ARGUMENT, "'colour'"),
        (good("other"), "rexray_os_drivers returns other, not 'acme'"),
        ("x = 1", "rexray_os_drivers returns none, not 'acme'"),
        ("from rexray import hookimpl\n@hookimpl\ndef rexray_os_drivers(): raise KeyError('deep')", "KeyError: 'deep'"),
    ],
    ids=["import", "raise", "syntax", "misspelt", "argument", "name", "nothing", "hook"],
)
def test_a_broken_plug_in_is_a_named_line_and_disturbs_nobody(site: Site, source: str, reason: str) -> None:
    site.install("rexray-os-acme", {"acme": source})
    site.install("rexray-os-fine", {"fine": good("fine")})
    found = site.drivers()
    assert found["rexray-os-acme"]["status"] == "broken"
    assert reason in found["rexray-os-acme"]["whynot"]
    assert "\n" not in found["rexray-os-acme"]["whynot"]
    assert found["rexray-os-fine"]["status"] == "ready"
    helped = site.rexray("--help")
    assert helped.returncode == 0
    assert "volume" in helped.stdout


def test_a_plug_in_for_another_version_of_the_contracts_is_never_imported(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": "raise AssertionError('imported')"}, requires="rexray-core>=99")
    row = site.drivers()["rexray-os-acme"]
    assert row["status"] == "broken"
    assert "rexray-os-acme 1.2 supports rexray-core >=99" in row["whynot"]
    assert "pip install --upgrade rexray-os-acme" in row["whynot"]


def test_two_distributions_that_claim_one_name_are_both_named(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme")})
    site.install("rexray-os-rival", {"acme": good("acme")})
    for row in site.drivers().values():
        if row["name"] == "acme":
            assert row["status"] == "broken"
            assert "rexray-os-acme 1.2" in row["whynot"]
            assert "rexray-os-rival 1.2" in row["whynot"]


def test_a_driver_that_is_not_installed_says_what_to_install(site: Site) -> None:
    answer = site.rexray("device", "ls", REXRAY_OSDRIVERS="plan9")
    assert (answer.returncode, answer.stderr) == (
        1,
        "error: driver 'plan9' is not installed: pip install rexray-os-plan9\n",
    )
    if not OTHERS:
        nothing = site.rexray("device", "ls")
        assert nothing.stderr == "error: no os driver is installed: pip install rexray-os-linux\n"


def test_the_device_commands_work_through_the_os_driver(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme")})
    listed = site.rexray("device", "ls")
    assert (listed.returncode, listed.stdout) == (0, "SOURCE  MOUNTPOINT  FSTYPE\n")
    formatted = site.rexray("device", "format", "--devicename", "/dev/x", "--fstype", "xfs")
    assert formatted.stdout == "formatted /dev/x xfs False\n"
    assert site.rexray("device", "unmount", "--mountpoint", "/mnt").stdout == "unmounted /mnt\n"


COMMAND = """
from rexray import hookimpl
from rexray.cli.commands import CommandSpec

@hookimpl
def rexray_commands():
    return [CommandSpec(name="greet", help="Say hello", target="rexray_acme.greeting:greet")]
"""
GREETING = """
import click
print("imported")

@click.command()
@click.argument("name")
def greet(name): click.echo(f"hello {name}")
"""


def test_a_distribution_can_bring_commands_that_are_imported_only_when_they_run(site: Site) -> None:
    site.install("rexray-acme", {"acme": COMMAND}, group="rexray.commands")
    (site.folder / "rexray_acme/greeting.py").write_text(GREETING)
    helped = site.rexray("--help")
    assert "Say hello" in helped.stdout
    assert "imported" not in helped.stdout
    assert site.rexray("greet", "you").stdout == "imported\nhello you\n"


OBSERVER = """
from rexray import hookimpl

@hookimpl
def rexray_volume_removed(driver, name): print("removed", driver, name)

@hookimpl
def rexray_volume_unmounted(name): raise RuntimeError("an observer's own trouble")
"""


def test_observers_hear_what_happens_and_cannot_break_it(site: Site) -> None:
    site.install("rexray-acme", {"acme": OBSERVER}, group="rexray.commands")
    script = (
        "from rexray.registry import registry; r = registry(); r.load_observers()\n"
        "r.tell('rexray_volume_unmounted', driver='d', name='data', holder='c')\n"
        "r.tell('rexray_volume_removed', driver='d', name='data')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(site.folder), "XDG_CACHE_HOME": str(site.folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, "removed d data\n")
    assert "observer rexray_acme.acme_plugin failed in rexray_volume_unmounted" in answer.stderr


def test_every_hook_is_called_by_somebody_and_documented() -> None:
    from rexray import hookspecs

    names = [name for name in vars(hookspecs) if name.startswith("rexray_")]
    modules = Path(hookspecs.__file__).parent.rglob("*.py")
    source = "".join(path.read_text() for path in modules if path.name != "hookspecs.py")
    assert len(names) > 10
    for name in names:
        assert getattr(hookspecs, name).__doc__, name
        assert f'"{name}"' in source, name


@given(
    clauses=st.lists(
        st.tuples(
            st.sampled_from([">=", "<", ">", "<=", "==", "!=", "~="]),
            st.lists(st.integers(0, 3), min_size=2, max_size=4).map(lambda parts: ".".join(map(str, parts))),
        ),
        max_size=3,
    ),
    name=st.sampled_from(["rexray-core", "Rexray-Core", "rexray-core[csi]", "rexray-core[a,b]", "rexray-core-more"]),
    ending=st.sampled_from(["", ' ; extra == "x"', "rc1"]),
)
def test_a_range_of_the_core_that_is_plainly_met_is_met_by_the_librarys_word_too(
    clauses: list[tuple[str, str]], name: str, ending: str
) -> None:
    line = name + ",".join(operator + version for operator, version in clauses) + ending
    if catalog.plainly_fits(line):
        requirement = Requirement(line)
        assert requirement.name.lower() == catalog.CORE
        assert requirement.marker is None
        assert requirement.specifier.contains(__version__, prereleases=True)


def test_the_range_that_our_own_drivers_state_is_a_plain_one() -> None:
    assert catalog.plainly_fits("rexray-core<0.2,>=0.1")
    assert not catalog.plainly_fits("rexray-core<0.1,>=0.0")
