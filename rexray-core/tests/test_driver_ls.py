"""``rexray driver ls`` and ``info``: every plug-in has its line, broken or not, and what was learned is remembered."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugin_parts import Site, good

HOOK = "from rexray import hookimpl\n@hookimpl\ndef rexray_os_drivers():\n    "
UNSAYABLE = """
class Unsayable(Exception):
    def __str__(self): raise ValueError("no words")
raise Unsayable
"""
WRAPPER = """
from rexray import hookimpl

@hookimpl(wrapper=True)
def rexray_volume_removed(name):
    yield
"""
ABSTRACT = (
    HOOK
    + """from rexray.drivers import OSDriver
    class Half(OSDriver):
        name = "abstract"
    Half.__abstractmethods__ = frozenset({"trim", "mount"})
    return [Half]
"""
)

BROKEN: dict[str, tuple[str, str]] = {
    "imports": ("import no_such_sdk", "ModuleNotFoundError: No module named 'no_such_sdk'"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "bare": ("class Odd(BaseException): ...\nraise Odd('at import')", "Odd: at import"),
    "unsayable": (UNSAYABLE, "Unsayable: an error that cannot be shown"),
    "misspelt": ("from rexray import hookimpl\n@hookimpl\ndef rexray_os_driver(): return []", "'rexray_os_driver'"),
    "argument": ("from rexray import hookimpl\n@hookimpl\ndef rexray_os_drivers(colour): return []", "'colour'"),
    "wrapper": (WRAPPER, "rexray_volume_removed is a wrapper"),
    "nothing": (HOOK + "return None", "rexray_os_drivers returns None, not a list"),
    "text": (HOOK + "return 'Acme'", "rexray_os_drivers returns 'Acme', not a list"),
    "number": (HOOK + "return [42]", "rexray_os_drivers returns 42, which is not a class"),
    "stranger": (HOOK + "return [dict]", "rexray_os_drivers returns dict, which is no OSDriver"),
    "abstract": (ABSTRACT, "which lacks mount, trim of OSDriver"),
    "unnamed": (good("x").replace("name = 'x'", "name = 5"), "which has no name"),
    "settings": (good("settings").replace("name = ", "settings = dict; name = "), "whose settings are no dataclass"),
    "aliases": (good("aliases").replace("name = ", "aliases = 'ab'; name = "), "whose aliases are no tuple of words"),
    "quits": (HOOK + "import sys; sys.exit()", "rexray_os_drivers: SystemExit"),
    "raises": (
        good("raises").replace("return Viability(", "raise RuntimeError('bus'); return dict("),
        "viable() raises RuntimeError: bus",
    ),
    "leaves": (good("leaves").replace("return Viability(", "exit(1); return dict("), "viable() raises SystemExit: 1"),
    "agrees": (good("agrees").replace("return Viability(", "return bool("), "viable() raises TypeError"),
    "unreasoned": (
        good("unreasoned").replace("reason=''", "reason=7"),
        "viable() returns Viability(ok=True, reason=7)",
    ),
    "rubbish": (
        good("rubbish").replace("return Viability(ok=True, reason='')", "return True"),
        "viable() returns True, not a Viability",
    ),
}
"""What makes a plug-in broken: its source, and what its line says."""

SPEC = """
from rexray import hookimpl
from rexray.cli.commands import CommandSpec

@hookimpl
def rexray_commands(): return [CommandSpec(name="order", help=5, target="x:y")]
"""
ARRIVED = "from pathlib import Path\nPath(__file__).with_suffix('.arrived').open('a').write('.')\n"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One site with every broken plug-in, and some that are well."""
    site = Site(tmp_path_factory.mktemp("zoo"))
    for name, (source, _) in BROKEN.items():
        site.install(f"rexray-os-{name}", {name: source})
    site.install("rexray-os-new", {"new": ARRIVED}, requires="rexray-core>=99")
    site.install("rexray-os-one", {"twice": good("twice")})
    site.install("rexray-os-two", {"twice": good("twice")})
    site.install("rexray-os-slow", {"slow": "import time; time.sleep(1.1)\n" + good("slow")})
    site.install("rexray-os-noisy", {"noisy": "print('noise at import')\n" + good("noisy")})
    site.install("rexray-os-fine", {"fine": ARRIVED + good("fine")}, requires="rexray-core[csi] >=0.1,<0.2")
    site.install("rexray-order", {"order": SPEC}, group="rexray.commands")
    site.install("rexray-watch", {"watch": "raise RuntimeError('no watching')"}, group="rexray.commands")
    site.install("rexray-os-gone", {"gone": good("gone")})
    (site.folder / "rexray_os_gone-1.2.dist-info/METADATA").unlink()
    site.install("rexray-os-nameless", {"nameless": good("nameless")})
    (site.folder / "rexray_os_nameless-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.4\n\nName: no\n")
    site.install("rexray-os-lines", {"lines": good("lines")})
    points = site.folder / "rexray_os_lines-1.2.dist-info/entry_points.txt"
    points.write_text(points.read_text() + "no equals sign\nodd = a module\n[rexray.storage]\n= nameless\n")
    return site


@pytest.fixture(scope="module")
def listing(zoo: Site) -> tuple[list[dict[str, Any]], str]:
    """The rows of ``driver ls`` there, and what it said beside them."""
    answer = zoo.rexray("driver", "ls", "-f", "json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout), answer.stderr


def row_of(listing: tuple[list[dict[str, Any]], str], name: str) -> dict[str, Any]:
    (row,) = (row for row in listing[0] if row["name"] == name)
    return row


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_is_one_line_that_says_why(listing: tuple[list[dict[str, Any]], str], name: str) -> None:
    row = row_of(listing, name)
    assert row["status"] == "broken"
    assert BROKEN[name][1] in row["whynot"]
    assert f"plug-in {name!r} of rexray-os-{name} 1.2: " in row["whynot"]
    assert "\n" not in row["whynot"]
    assert (row["distribution"], row["version"]) == (f"rexray-os-{name}", "1.2")


def test_what_is_well_is_listed_beside_them_with_its_contract(
    zoo: Site, listing: tuple[list[dict[str, Any]], str]
) -> None:
    fine = row_of(listing, "fine")
    assert (fine["status"], fine["whynot"], fine["contract"]) == ("ready", "", ">=0.1,<0.2")
    assert fine["loadms"] > 0
    assert row_of(listing, "lines")["status"] == "ready"


def test_a_slow_one_is_told_how_long_it_took(listing: tuple[list[dict[str, Any]], str]) -> None:
    slow = row_of(listing, "slow")
    assert slow["status"] == "ready"
    assert slow["whynot"].startswith("took 1.")
    assert slow["whynot"].endswith(" s to load")
    assert slow["loadms"] > 1000


def test_what_a_plug_in_prints_goes_to_standard_error(listing: tuple[list[dict[str, Any]], str]) -> None:
    assert row_of(listing, "noisy")["status"] == "ready"
    assert "noise at import" in listing[1]


def test_one_for_a_later_contract_is_never_imported(zoo: Site, listing: tuple[list[dict[str, Any]], str]) -> None:
    new = row_of(listing, "new")
    assert new["status"] == "broken"
    assert "supports rexray-core >=99" in new["whynot"]
    assert new["contract"] == ">=99"
    assert not (zoo.folder / "rexray_os_new/new_plugin.arrived").exists()


def test_both_that_claim_one_name_are_broken(listing: tuple[list[dict[str, Any]], str]) -> None:
    rows = [row for row in listing[0] if row["name"] == "twice"]
    assert [row["distribution"] for row in rows] == ["rexray-os-one", "rexray-os-two"]
    for row in rows:
        assert row["status"] == "broken"
        assert "rexray-os-one 1.2" in row["whynot"]
        assert "rexray-os-two 1.2" in row["whynot"]


def test_a_broken_plug_in_without_drivers_has_its_line_too(listing: tuple[list[dict[str, Any]], str]) -> None:
    watch = row_of(listing, "watch")
    assert (watch["kind"], watch["status"]) == ("commands", "broken")
    assert "RuntimeError: no watching" in watch["whynot"]
    assert "which is not a CommandSpec of texts" in row_of(listing, "order")["whynot"]
    assert not [row for row in listing[0] if row["kind"] == "commands" and row["status"] != "broken"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "rexray_os_gone-1.2.dist-info has no METADATA: pip install --force-reinstall rexray-os-gone"),
        ("nameless", "the metadata has no name: pip install --force-reinstall rexray-os-nameless"),
        ("no equals sign", "entry_points.txt:3: 'no equals sign' is not 'word = module'"),
        ("odd", "entry_points.txt:4: 'odd = a module' is not 'word = module'"),
        ("= nameless", "entry_points.txt:6: '= nameless' is not 'word = module'"),
    ],
)
def test_damaged_metadata_is_a_line_and_ends_no_search(
    listing: tuple[list[dict[str, Any]], str], name: str, reason: str
) -> None:
    row = row_of(listing, name)
    assert row["status"] == "broken"
    assert reason in row["whynot"]


def test_a_damaged_one_that_is_named_is_an_error_and_the_help_imports_none_of_them(zoo: Site) -> None:
    (zoo.folder / "rexray_os_fine/fine_plugin.arrived").unlink(missing_ok=True)
    used = zoo.rexray("device", "ls", REXRAY_OSDRIVERS="gone")
    assert used.returncode == 1
    assert used.stderr.startswith("error: ")
    assert "has no METADATA" in used.stderr
    helped = zoo.rexray("driver", "--help")
    assert helped.returncode == 0
    assert "noise" not in helped.stdout + helped.stderr
    assert not (zoo.folder / "rexray_os_fine/fine_plugin.arrived").exists()


@pytest.mark.parametrize("fmt", ["json", "jsonp", "yaml"])
def test_info_shows_what_the_list_has_no_room_for(zoo: Site, fmt: str) -> None:
    answer = zoo.rexray("driver", "info", "fine", "--format", fmt)
    assert answer.returncode == 0, answer.stderr
    (row,) = yaml.safe_load(answer.stdout)
    assert row["module"] == "rexray_os_fine.fine_plugin"
    assert row["location"] == str(zoo.folder / "rexray_os_fine/fine_plugin.py")
    assert row["hooks"] == ["rexray_os_drivers"]
    assert (row["observers"], row["createoptions"], row["settings"]) == ([], {}, [])
    assert (row["kind"], row["contract"], row["status"]) == ("os", ">=0.1,<0.2", "ready")


ACME = """
from dataclasses import dataclass
from rexray import hookimpl
from rexray.settings import Secret, setting
from rexray.testing.memory.storage import MemoryStorage

@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    key: Secret = setting(Secret("canary"), key="acme.key", help="The key")

class Acme(MemoryStorage):
    name, aliases, settings = "acme", ("anvil",), Settings
    create_options = {"throughput": "MiB a second"}

@hookimpl
def rexray_storage_drivers(): return [Acme]

@hookimpl
def rexray_volume_removed(name): ...
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_info_is_for_people_where_no_format_is_asked_for(site: Site) -> None:
    site.install("rexray-driver-acme", {"acme": ACME}, group="rexray.storage")
    with (site.folder / "rexray_driver_acme-1.2.dist-info/entry_points.txt").open("a") as points:
        points.write("anvil = rexray_driver_acme.acme_plugin\n")
    for word in ("acme", "anvil"):
        answer = site.rexray("driver", "info", word, "--kind", "storage")
        assert answer.returncode == 0, answer.stderr
        lines = answer.stdout.splitlines()
        assert "name:         acme" in lines
        assert "aliases:      anvil" in lines
        assert "hooks:        rexray_storage_drivers" in lines
        assert "observers:    rexray_volume_removed" in lines
        assert "class:        rexray_driver_acme.acme_plugin.Acme" in lines
        assert "throughput    MiB a second" in lines
        assert lines[-1].split() == ["acme.key", "ACME_KEY", "--acmeKey", "***", "The", "key"]


def test_info_of_a_broken_one_says_why_and_of_an_unknown_one_what_to_do(zoo: Site) -> None:
    broken = zoo.rexray("driver", "info", "imports", "-f", "json")
    assert json.loads(broken.stdout)[0]["status"] == "broken"
    assert broken.returncode == 0
    unknown = zoo.rexray("driver", "info", "fin", "--kind", "os")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "error: os driver 'fin' is not installed: did you mean 'fine'? If not: pip install rexray-os-fin\n",
    )
    other = zoo.rexray("driver", "info", "fine", "--kind", "csi")
    assert other.stderr == "error: csi driver 'fine' is not installed: pip install rexray-driver-fine\n"


def test_on_a_terminal_the_table_is_no_wider_than_that() -> None:
    from rexray.cli.driver_table import shortened
    from rexray.cli.output import Row, table

    rows: list[Row] = [
        {"name": "ec2", "why": "w" * 150, "has": ["Snapshots"] * 20, "loadms": 1},
        {"name": "loop", "why": "", "has": [], "loadms": 12.5},
    ]
    columns = ("name", "why", "has", "loadms")
    for width in (60, 80, 200):
        assert max(map(len, table(shortened(rows, columns, ("why", "has"), width), columns))) <= width
    wide = shortened(rows, columns, ("why", "has"), 1000)
    assert wide[0]["why"] == "w" * 150
    assert str(shortened(rows, columns, ("why", "has"), 80)[0]["why"]).endswith("w...")
    assert shortened(rows, columns, ("why", "has")) == rows, "where it is no terminal nothing is cut"


def test_broken_drivers_do_not_keep_others_from_being_chosen(site: Site) -> None:
    site.install("rexray-os-aa", {"aa": "import no_such_sdk"})
    site.install("rexray-os-ab", {"ab": BROKEN["raises"][0].replace("'raises'", "'ab'")})
    site.install("rexray-os-ac", {"ac": good("ac")})
    used = site.rexray("device", "unmount", "--mountpoint", "/mnt")
    assert (used.returncode, used.stdout) == (0, "unmounted /mnt\n"), used.stderr
    alone = site.rexray("device", "ls", REXRAY_PLUGINS="aa,ab")
    assert alone.returncode == 1
    assert "aa: plug-in 'aa' of rexray-os-aa 1.2: ModuleNotFoundError" in alone.stderr
    assert "ab: viable() raises RuntimeError: bus" in alone.stderr


# REXRAY_PLUGINS


@pytest.fixture
def three(site: Site) -> Site:
    """Three plug-ins that leave a mark when they are imported; one brings a command."""
    site.install("rexray-os-a", {"a": ARRIVED + good("a")})
    site.install("rexray-os-b", {"b": ARRIVED + good("b")})
    greet = (
        "from rexray import hookimpl\nfrom rexray.cli.commands import CommandSpec\n@hookimpl\ndef rexray_commands():\n"
        "    return [CommandSpec(name='greet', help='Say hello', target='rexray_greet.more:greet')]\n"
    )
    site.install("rexray-greet", {"greet": ARRIVED + greet}, group="rexray.commands")
    return site


def arrived(site: Site) -> set[str]:
    """The plug-ins that were imported since this was asked last."""
    found = set(site.folder.glob("*/*.arrived"))
    for path in found:
        path.unlink()
    return {path.stem.removesuffix("_plugin") for path in found}


@pytest.mark.parametrize("listed", ["a", "REXRAY_OS_A", "nobody, a", "rexray-os-a"])
def test_what_is_not_on_the_list_is_neither_imported_nor_listed(three: Site, listed: str) -> None:
    answer = three.rexray("driver", "ls", "-f", "json", REXRAY_PLUGINS=listed)
    assert [row["name"] for row in json.loads(answer.stdout)] == ["a"]
    assert arrived(three) == {"a"}
    assert answer.stderr.startswith("$REXRAY_PLUGINS leaves out ")
    assert answer.stderr.endswith(" plug-ins\n")


def test_an_empty_list_leaves_out_all_and_naming_one_says_so(three: Site) -> None:
    answer = three.rexray("driver", "ls", "-f", "json", REXRAY_PLUGINS="")
    assert answer.stdout == "[]\n"
    helped = three.rexray("--help", REXRAY_PLUGINS="")
    assert helped.returncode == 0
    assert "Say hello" not in helped.stdout
    assert arrived(three) == set()
    for words in (["device", "ls"], ["driver", "info", "b"]):
        named = three.rexray(*words, REXRAY_PLUGINS="", REXRAY_OSDRIVERS="b")
        assert named.returncode == 1
        assert named.stderr == "error: driver 'b' is left out by $REXRAY_PLUGINS: put b there to use it\n"


def test_commands_come_from_what_is_on_the_list(three: Site) -> None:
    assert "Say hello" in three.rexray("--help").stdout
    assert arrived(three) == {"greet"}
    assert "Say hello" in three.rexray("--help", REXRAY_PLUGINS="greet").stdout
    assert "Say hello" not in three.rexray("--help", REXRAY_PLUGINS="a").stdout


# What is remembered


VIABILITY = """
import os
from rexray.types import Viability

def viability():
    return Viability(ok=not os.environ.get("ACME_OFF"), reason="it is off")
"""
LIGHT = ARRIVED + good("light").replace(
    "        @classmethod\n        def viable(cls):\n            return Viability(ok=True, reason='')\n",
    "        from rexray_os_light.viability import viability\n        viable = staticmethod(viability)\n",
)


@pytest.fixture
def light(site: Site) -> Site:
    """One driver whose viability is a light module's, listed once."""
    site.install("rexray-os-light", {"light": LIGHT}, more={"viability": VIABILITY, "__init__": ""})
    assert site.drivers()["rexray-os-light"]["status"] == "ready"
    assert arrived(site) == {"light"}
    return site


def cache_of(site: Site) -> Path:
    (found,) = Path(f"{site.folder}.cache/rexray").iterdir()
    return found


def test_a_driver_is_not_imported_again_and_yet_asked_whether_it_is_viable(light: Site) -> None:
    first = light.drivers()["rexray-os-light"]
    off = light.drivers(ACME_OFF="1")["rexray-os-light"]
    assert arrived(light) == set()
    assert (first["status"], off["status"], off["whynot"]) == ("ready", "not viable", "it is off")
    assert first["loadms"] == off["loadms"] > 0
    assert stat.S_IMODE(cache_of(light).stat().st_mode) == 0o600


def _edit(site: Site) -> None:
    path = site.folder / "rexray_os_light/light_plugin.py"
    path.write_text(path.read_text().replace("name = 'light'", "name = 'light'; aliases = ('lamp',)"))


def _edit_beside(site: Site) -> None:
    (site.folder / "rexray_os_light/new_module.py").write_text("")


def _upgrade(site: Site) -> None:
    path = site.folder / "rexray_os_light-1.2.dist-info/METADATA"
    path.write_text(path.read_text().replace("1.2", "1.22"))


def _install_another(site: Site) -> None:
    site.install("rexray-os-other", {"other": good("other")})


def _damage(site: Site) -> None:
    path = cache_of(site)
    path.write_bytes(path.read_bytes()[:-10])


def _turn_into_rubbish(site: Site) -> None:
    path = cache_of(site)
    content = json.loads(path.read_text())
    for item in content["plugins"].values():
        item["facts"]["aliases" if len(item["facts"]["name"]) % 2 else "commands"] = 7
    path.write_text(json.dumps(content))


def _open_to_others(site: Site) -> None:
    cache_of(site).chmod(0o666)


@pytest.mark.parametrize(
    "change", [_edit, _edit_beside, _upgrade, _install_another, _damage, _turn_into_rubbish, _open_to_others]
)
def test_what_has_changed_or_cannot_be_trusted_is_learned_again(light: Site, change: Callable[[Site], None]) -> None:
    change(light)
    row = light.drivers()["rexray-os-light"]
    assert arrived(light) == {"light"}
    assert row["status"] == "ready"
    assert row["aliases"] == (["lamp"] if change is _edit else [])
    assert row["version"] == ("1.22" if change is _upgrade else "1.2")
    light.drivers()
    assert arrived(light) == set(), "and that is remembered again"


@pytest.mark.needs("root")
def test_what_another_user_wrote_is_not_trusted(light: Site) -> None:
    os.chown(cache_of(light), 65534, 65534)
    assert light.drivers()["rexray-os-light"]["status"] == "ready"
    assert arrived(light) == {"light"}


def test_a_place_that_cannot_be_written_to_only_costs_time(light: Site) -> None:
    blocked = light.folder / "blocked"
    blocked.write_text("a file")
    for _ in range(2):
        assert light.drivers(XDG_CACHE_HOME=str(blocked))["rexray-os-light"]["status"] == "ready"
        assert arrived(light) == {"light"}


def test_several_that_write_at_once_leave_a_whole_file(site: Site) -> None:
    site.install("rexray-os-light", {"light": LIGHT}, more={"viability": VIABILITY, "__init__": ""})
    command = [sys.executable, "-m", "rexray", "driver", "ls", "-f", "json"]
    running = [
        subprocess.Popen(command, env=site.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    for process in running:
        assert process.wait(60) == 0
        process.communicate()
    arrived(site)
    assert site.drivers()["rexray-os-light"]["status"] == "ready"
    assert arrived(site) == set()
    assert cache_of(site).suffix == ".json", "and no temporary file"


def test_the_help_imports_a_plug_in_with_commands_only_once(three: Site) -> None:
    for known in ({"greet"}, set()):
        assert "Say hello" in three.rexray("--help").stdout
        assert arrived(three) == known


def test_a_broken_plug_in_is_tried_each_time(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": ARRIVED + "raise RuntimeError"})
    for _ in range(2):
        assert site.drivers()["rexray-os-acme"]["status"] == "broken"
        assert arrived(site) == {"acme"}


def test_an_entry_point_that_is_renamed_is_found_by_its_new_name_at_once(site: Site) -> None:
    site.install("rexray-os-acme", {"acme": good("acme").replace("name = ", "aliases = ('anvil',); name = ")})
    assert site.drivers()["rexray-os-acme"]["name"] == "acme"
    points = site.folder / "rexray_os_acme-1.2.dist-info/entry_points.txt"
    before = points.stat()
    points.write_text(points.read_text().replace("acme =", "anvil ="))
    os.utime(points, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    alone = site.drivers()["rexray-os-acme"]
    assert (alone["name"], alone["status"]) == ("anvil", "broken")
    assert "'anvil' is another name of 'acme', which has no entry point: add 'acme = " in alone["whynot"]
    assert site.rexray("device", "ls", REXRAY_OSDRIVERS="anvil").returncode == 0
    assert "'acme' is not installed" in site.rexray("device", "ls", REXRAY_OSDRIVERS="acme").stderr
