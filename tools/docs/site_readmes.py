"""The distributions' READMEs as parts of pages, so that a fact is written once.

``<!-- readme: PATH -->`` stands for the README at that path of the checkout without its title, ``<!-- readme: PATH:
HEADING -->`` for what is below one of its headings. Links between READMEs become links between the pages that have
them; those to other files of the checkout lose their link.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from mkdocs.exceptions import PluginError

from rexray.testing.readme import TABLES, named_table

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_MARKER = re.compile(r"^<!-- readme: (\S+?\.md)(?:: (.+?))? -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]\n]+)\]\((?!\w+://)([^)#\s]*)(#[^)\s]+)?\)")


def include(markdown: str, page: str) -> str:
    """The page's text with the parts of READMEs in it; ``page`` is its path below ``docs``."""

    def replace(found: re.Match[str]) -> str:
        return _relinked(part(found[1], found[2] or ""), found[1], page)

    return _MARKER.sub(replace, markdown)


def part(readme: str, heading: str) -> str:
    """A README without its title, or what is below one heading of it, down to the next one of that level."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    if not heading:
        return text.partition("\n")[2]
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise PluginError(f"{readme} has no heading {heading!r}")
    return found[2]


def without_tables(markdown: str) -> str:
    """The text with the marker of each README's table alone, for the table to be made anew."""
    return TABLES.sub(lambda found: f"<!-- settings: {found[1]} -->", markdown)


def settings_of(distribution: str) -> str:
    """The tables of all settings that a distribution declares."""
    text = (ROOT / distribution / "README.md").read_text(encoding="utf-8")
    return "\n".join(named_table(found[1]) for found in TABLES.finditer(text))


@functools.cache
def _pages() -> dict[tuple[str, str], str]:
    """Which page has which README, or which part of it by the anchor of its heading."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(DOCS.rglob("*.md")):
        for marker in _MARKER.finditer(path.read_text(encoding="utf-8")):
            anchor = "#" + re.sub(r"[^\w]+", "-", marker[2].lower()) if marker[2] else ""
            found[marker[1], anchor] = path.relative_to(DOCS).as_posix()
    return found


def _relinked(text: str, readme: str, page: str) -> str:
    def replace(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        file = os.path.normpath(os.path.join(os.path.dirname(readme), target)) if target else readme
        pages = _pages()
        at = pages.get((file, anchor)) or pages.get((file, ""))
        if at is None:
            at = next((other for (name, _), other in pages.items() if name == file and not anchor), None)
        if at is None:
            return words
        return f"[{words}]({os.path.relpath(at, os.path.dirname(page) or '.')}{anchor})"

    return _LINK.sub(replace, text)
