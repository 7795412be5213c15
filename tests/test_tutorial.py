"""The tutorial is true: its commands are run in order by a new author, its changes are made, its answers come."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from author_parts import ROOT, Author, new_author

PAGE = ROOT / "docs/authors/tutorial.md"
BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANY = "..."
"""Stands for any lines where it is one, and for any text within a line."""


def commands_of(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a console with the answers that are shown."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def pattern_of(answer: str) -> re.Pattern[str]:
    """What an answer has to be."""
    lines = []
    for line in one_spaced(answer).splitlines():
        words = r"[^\n]*".join(re.escape(part) for part in line.split(ANY))
        lines.append(r"(?:[^\n]*\n)*?" if line == ANY else words + r"\n")
    return re.compile("".join(lines))


def one_spaced(text: str) -> str:
    """The text with one blank for several, and none at the ends of lines: tables are as wide as their words."""
    return re.sub(r" +$", "", re.sub(r" +", " ", text), flags=re.MULTILINE)


def change(folder: Path, block: str) -> None:
    """Make the change of a diff: each hunk's old lines are at one place of the file."""
    name, *hunks = re.split(r"^@@\n", block, flags=re.MULTILINE)
    path = folder / name.removeprefix("--- ").strip()
    text = path.read_text()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        if lines[0][0] == " " and lines[0] == lines[-1] and any(line[0] == "+" for line in lines):
            old, new = lines[0][1:], "".join(line[1:] for line in lines[1:])  # what comes before the line
        assert text.count(old) == 1, f"{path} has {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    path.write_text(text)


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.folder = author.folder

    def does(self, command: str, answer: str) -> None:
        """Type a command; what comes has to be what the page says."""
        words = shlex.split(command)
        if words[0] == "cd":
            self.folder /= words[1]
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**self.author.environ, "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        said = one_spaced(done.stdout)
        assert pattern_of(answer).fullmatch(said), f"$ {command}\n{said}\n--- where this was expected:\n{answer}"
        fails = bool(re.search(r"failed|^error:", answer, re.MULTILINE | re.IGNORECASE))
        assert (done.returncode != 0) == fails, f"$ {command}: exit status {done.returncode}\n{said}"


@pytest.fixture
def reader(tmp_path: Path, tool: Callable[[str], str]) -> Reader:
    return Reader(new_author(tmp_path, tool("uv")))


def test_the_tutorial_runs_as_it_stands(reader: Reader) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 10
    for kind, text in blocks:
        if kind == "diff":
            change(reader.folder, text)
        else:
            for command, answer in commands_of(text):
                reader.does(command, answer)


def test_an_answer_that_differs_is_noticed() -> None:
    assert pattern_of("a ... c\n...\nend\n").fullmatch("a b c\nx\ny\nend\n")
    assert not pattern_of("a ... c\n...\nend\n").fullmatch("a b d\nx\nend\n")
    assert not pattern_of("one\n").fullmatch("one\ntwo\n")
    assert not pattern_of("").fullmatch("something\n")


def test_every_block_of_the_page_is_run_or_known() -> None:
    known = {"console", "diff", "sh"}
    assert set(re.findall(r"^```(\w+)$", PAGE.read_text(), re.MULTILINE)) == known
