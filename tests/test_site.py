"""The documentation site: it builds without a warning and without a network, and what it says is so."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from mkdocs.exceptions import PluginError

import site_readmes
import site_tables
from docs_parts import ROOT, TESTED, run_as_it_stands
from rexray import errors
from rexray.cli.driver import driver
from rexray.cli.root import root
from rexray.registry import registry
from site_code import hook_names
from site_markers import generate

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

BUILD_WITHOUT_NETWORK = """
import socket, sys

def refuse(*_, **__):
    raise AssertionError("the build asks the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli

cli(sys.argv[1:])
"""


def build(target: Path) -> subprocess.CompletedProcess[str]:
    command = ["build", "--strict", "--quiet", "--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(target)]
    return subprocess.run(
        [sys.executable, "-c", BUILD_WITHOUT_NETWORK, *command],
        cwd=target.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    target = tmp_path_factory.mktemp("docs") / "site"
    answer = build(target)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return target


class Parsed(HTMLParser):
    """What a built page loads, and the text that it shows."""

    LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = self.LOADING.get(tag)
        self.loaded += [value for name, value in attrs if name == wanted and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def flat(text: str) -> str:
    return " ".join(text.split())


def of_nav(nav: list[Any]) -> Iterator[str]:
    for item in nav:
        for value in item.values() if isinstance(item, dict) else [item]:
            if isinstance(value, list):
                yield from of_nav(value)
            else:
                yield value


def test_every_page_is_in_the_navigation_and_built(site: Path) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = list(of_nav(config["nav"]))
    assert sorted(pages) == [path.relative_to(DOCS).as_posix() for path in PAGES]
    for page in pages:
        assert (site / page).with_suffix(".html").is_file(), page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    outside = re.compile(r"(?:\w+:)?//")
    for page in pages:
        loaded = Parsed(page).loaded
        assert loaded, page
        assert [target for target in loaded if outside.match(target)] == [], page
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:\w+:)?//[^\"')]*)", sheet.read_text())
        assert found == [], sheet


def test_no_marker_and_no_role_of_sphinx_is_left_in_a_built_page(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert re.findall(r"<!-- (?!tested:|end of settings)[a-z ]+(?:: .+?)? -->", text) == [], page
        assert re.findall(r":(?:class|meth|mod|data|func):", text) == [], page


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Here\n\n[there](there.md) and [below](#below)\n")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    kept = {key: config[key] for key in ("site_name", "theme", "validation", "strict")}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump({**kept, "docs_dir": "docs"}))
    answer = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", "mkdocs.yml", "--site-dir", str(tmp_path / "site")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert "there.md" in answer.stderr
    assert "#below" in answer.stderr


@pytest.mark.parametrize(
    "marker", ["<!-- comands -->", "<!-- policy: loop -->", "<!-- hook: rexray_volume_renamed -->", "<!-- matrices -->"]
)
def test_a_marker_that_nothing_can_replace_fails_the_build(marker: str) -> None:
    with pytest.raises(PluginError):
        generate(f"# Page\n\n{marker}\n", "page.md")


def test_the_commands_page_has_the_help_of_every_command(site: Path) -> None:
    text = Parsed(site / "reference/cli.html").text
    for words in (
        ["volume", "mount"],
        ["snapshot", "rollback"],
        ["device", "format"],
        ["service", "status"],
        ["start"],
    ):
        told = subprocess.run(
            [sys.executable, "-m", "rexray", *words, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert flat(told) in flat(text), words
    for spec in registry().commands():
        assert f"Usage: rexray {spec.name}" in text
    for verb in driver.list_commands(click.Context(driver)):
        assert f"Usage: rexray driver {verb}" in text


def test_the_settings_page_has_every_setting(site: Path) -> None:
    from rexray.cli.app import all_settings
    from rexray.settings import options_of

    text = Parsed(site / "reference/settings.html").text
    ours = [kind for kind in all_settings() if kind.__module__.startswith("rexray")]
    assert len(ours) > 8
    for option in (option for kind in ours for option in options_of(kind)):
        assert option.key in text
        assert option.env[0] in text


def test_the_matrix_has_every_driver_and_says_who_was_not_run(site: Path) -> None:
    text = flat(Parsed(site / "reference/matrix.html").text)
    names = [item.name for item in site_tables.ours()]
    assert {"loop", "ec2", "rbd", "scaleio", "xtremio", "linux", "docker", "csi", "csi-vfs", "libstorage"} <= {*names}
    for name in names:
        assert name in text
    for kind in ("Snapshots", "GroupSnapshots", "SnapshotCopy", "Encrypted", "EXPAND_VOLUME"):
        assert kind in text
    rows = {line.split("|")[1].strip(): line for line in site_tables.matrix("storage").splitlines()}
    heads = [cell.strip() for cell in rows["Capability"].split("|")]
    cells = [cell.strip() for cell in rows["`SnapshotCopy`"].split("|")]
    assert (cells[heads.index("`ec2`")], cells[heads.index("`loop`")]) == ("yes", "no")


def test_the_conformance_table_is_made_of_the_reports(tmp_path: Path) -> None:
    sides = len([item for item in site_tables.ours() if item.kind == "storage"])
    assert site_tables.conformance_of(tmp_path).count("not yet run") == len(site_tables.ours()) + sides
    report = {
        "driver": "loop",
        "kind": "storage",
        "version": "0.1.0",
        "contract": "<0.2,>=0.1",
        "run": 170,
        "passed": 168,
        "skipped": 2,
        "failed": 0,
        "deviations": {"iops": "a file | has none"},
    }
    (tmp_path / "storage-loop.json").write_text(json.dumps(report))
    (tmp_path / "node-loop.json").write_text(json.dumps({**report, "kind": "node", "run": 50, "deviations": []}))
    rows = [line for line in site_tables.conformance_of(tmp_path).splitlines() if "`loop`" in line]
    assert rows == [
        "| `loop` | storage | 0.1.0 | `<0.2,>=0.1` | 170 | 168 | 2 | 0 | `iops`: a file \\| has none |",
        "| `loop` | node | 0.1.0 | `<0.2,>=0.1` | 50 | 168 | 2 | 0 | none |",
    ]
    (tmp_path / "storage-gone.json").write_text(json.dumps({**report, "driver": "gone"}))
    with pytest.raises(PluginError, match="gone"):
        site_tables.conformance_of(tmp_path)


def test_every_error_is_on_both_pages_of_errors(site: Path) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    reference, operators = (
        Parsed(site / page).text for page in ("reference/errors.html", "operators/troubleshooting.html")
    )
    for kind in kinds:
        assert kind.__name__ in reference
        if kind not in (errors.RexrayError, errors.PluginError):  # the others are kinds of these
            assert kind.__name__ in operators
            assert f"| `{kind.__name__}` |" in (DOCS / "operators/troubleshooting.md").read_text()


def test_every_distributions_readme_is_on_a_page(site: Path) -> None:
    for readme in sorted(ROOT.glob("rexray-*/README.md")):
        own = [page for page in PAGES if f"<!-- readme: {readme.relative_to(ROOT)}" in page.read_text()]
        assert own, f"no page has anything of {readme}"
        if "driver" in readme.parent.name:
            built = (site / own[0].relative_to(DOCS)).with_suffix(".html")
            headings = re.findall(r"^## (.+)$", readme.read_text(), re.MULTILINE)
            assert set(headings) <= set(re.findall(r"<h2[^>]*>(.+?)<a", built.read_text()))


def test_links_between_readmes_lead_to_their_pages() -> None:
    text = site_readmes.include("<!-- readme: rexray-driver-ceph/README.md -->", "operators/drivers/ceph.md")
    assert "](../rexray-core" not in text
    assert site_readmes.include("<!-- readme: README.md: Install it -->", "index.md").count("pip install") == 1
    with pytest.raises(PluginError, match="no heading"):
        site_readmes.include("<!-- readme: README.md: Nothing of the kind -->", "index.md")


# ---- what the pages say

QUOTED = re.compile(r"^\| `([^`]+)`.* \|.*\|$", re.MULTILINE)


@pytest.mark.parametrize("page", sorted((DOCS / "operators/drivers").glob("*.md")), ids=lambda path: path.stem)
def test_errors_that_a_drivers_page_quotes_are_the_drivers(page: Path) -> None:
    readme = re.search(r"<!-- readme: (\S+)/README.md", page.read_text())
    assert readme is not None
    sources = [*(ROOT / readme[1] / "src").rglob("*.py"), *(ROOT / "rexray-core/src/rexray").glob("*.py")]
    # a message that is written in several pieces is one text
    code = re.sub(r"\"\s*\n\s*f?\"", "", "".join(path.read_text() for path in sources))
    quoted = QUOTED.findall(page.read_text().partition("## Troubleshooting")[2])
    assert quoted
    assert [words for words in quoted if words not in code] == []


def blocks() -> Iterator[Any]:
    for page in PAGES:
        for number, (who, script) in enumerate(TESTED.findall(page.read_text())):
            marks = [pytest.mark.needs("root"), pytest.mark.needs("curl")] if who == "root" else []
            yield pytest.param(who, script, id=f"{page.stem}-{number}", marks=marks)


@pytest.mark.parametrize(("who", "script"), list(blocks()))
def test_commands_on_pages_run_as_they_stand(home: Path, who: str, script: str) -> None:
    assert who in ("root", "anyone")
    run_as_it_stands(script, home)


def said(text: str) -> Iterator[list[str]]:
    """The words behind ``rexray`` wherever a page has it in code, up to the first that is a flag or a value."""
    shell = "".join(re.findall(r"^```(?:sh|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in [*shell.splitlines(), *re.findall(r"`([^`\n]+)`", prose)]:
        for words in re.findall(r"(?:^|(?<!from)[ (/])rexray((?: [a-z]+(?:-[a-z]+)*)+)(?![\w=./:])", line):
            yield words.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).with_suffix("").as_posix())
def test_commands_that_a_page_names_exist(page: Path) -> None:
    for words in said(site_readmes.include(page.read_text(), page.relative_to(DOCS).as_posix())):
        context = click.Context(root)
        command: click.Command | None = root
        for word in words:
            if not isinstance(command, click.Group):
                break  # what follows are its arguments
            command = command.get_command(context, word)
            assert command is not None, f"rexray {' '.join(words)}"


def examples() -> dict[str, list[tuple[str, str, str]]]:
    """The examples of each hook: the group of the entry point, the plug-in, and what Python says with it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    text = (DOCS / "authors/hooks.md").read_text()
    for section in re.split(r"^#{2,3} (?=rexray_)", text, flags=re.MULTILINE)[1:]:
        name, _, rest = section.partition("\n")
        groups = re.findall(r"^Group: `([\w.]+)`", rest, re.MULTILINE) or ["rexray.commands"]
        plugins = re.findall(r"^```python\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
        sessions = re.findall(r"^```pycon\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
        found[name] = list(zip(groups, plugins, sessions, strict=True))
    return found


def test_every_hook_has_exactly_one_example() -> None:
    assert {name: len(found) for name, found in examples().items()} == dict.fromkeys(hook_names(), 1)
    for name, [(_, plugin, _)] in examples().items():
        assert re.findall(r"^@hookimpl\ndef (\w+)", plugin, re.MULTILINE) == [name]


@pytest.mark.parametrize("name", hook_names())
def test_a_hooks_example_does_what_the_page_says(name: str, tmp_path: Path) -> None:
    [(group, plugin, session)] = examples()[name]
    (tmp_path / "acme_plugin.py").write_text(plugin)
    info = tmp_path / "acme_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: acme-plugin\nVersion: 1.0\nRequires-Dist: rexray-core\n")
    (info / "RECORD").write_text("")
    (info / "entry_points.txt").write_text(f"[{group}]\nacme = acme_plugin\n")
    (tmp_path / "session.txt").write_text(session)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "ACME_"))}
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-m", "doctest", "session.txt"],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": path, "REXRAY_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert session.count(">>>") > 1


ORIGINALS = {
    "Storage driver": 13,
    "Volume driver": 8,
    "OS driver": 5,
}
"""The original's interfaces, and how many operations each has."""


def test_every_operation_of_the_originals_leads_to_one_of_ours() -> None:
    text = (DOCS / "authors/originals.md").read_text()
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    for heading, count in ORIGINALS.items():
        rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", sections[heading], re.MULTILINE)
        assert len({name for name, _ in rows}) == len(rows) == count, heading
        assert all("`rexray." in ours for _, ours in rows)
    for name in re.findall(r"`(rexray\.[\w.]+)`", text):
        module, attributes = name.split(".")[:2], name.split(".")[2:]
        found = importlib.import_module(".".join(module))
        for attribute in attributes:
            found = getattr(found, attribute)
