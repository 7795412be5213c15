"""What may not be committed: download addresses, this machine's paths, lock files."""

from __future__ import annotations

import functools
import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Written so that the patterns do not find themselves.
DOWNLOADS = re.compile(
    rb"\b(?:"
    rb"(?:test\.)?pypi[.]org|pypi[.]python[.]org|files[.]pythonhosted[.]org|pythonhosted[.]org/packages"
    rb"|proxy[.]golang[.]org|sum[.]golang[.]org|goproxy[.](?:io|cn)|go[.]dev/dl"
    rb"|(?:deb|security|snapshot|ftp)[.]debian[.]org|archive[.]ubuntu[.]com|download[.]docker[.]com"
    rb"|astral[.]sh/uv|registry[.]npmjs[.]org|crates[.]io/api|repo1?[.]maven"
    rb")|https?://[^\s\"'<>]+\.(?:whl|tar\.gz|tgz|tar\.xz|zip|deb)\b"
)

ANYBODYS = {"/", "/build", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"}
"""Directories that text may name even when a checkout stands in them."""

pytestmark = pytest.mark.needs("git")


@functools.cache
def files() -> list[Path]:
    """What is committed, or would be: the files that git does not ignore."""
    # The checkout may belong to somebody else than who tests it.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, check=True, cwd=ROOT, capture_output=True, timeout=60).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()}"
        for path in files()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_listing_is_not_empty() -> None:
    assert ROOT / "pyproject.toml" in files()


def test_no_download_addresses() -> None:
    assert lines_with(DOWNLOADS) == []


def test_no_path_of_this_machine() -> None:
    places = [str(ROOT)] + ([] if str(ROOT.parent) in ANYBODYS else [str(ROOT.parent)])
    pattern = b"|".join(rb"(?<![\w.-])" + re.escape(place).encode() + rb"(?![\w.-])" for place in places)
    assert lines_with(re.compile(pattern)) == []


def test_no_lock_file_and_nothing_generated() -> None:
    unwanted = {"uv.lock", "poetry.lock", "Pipfile.lock"}
    assert [path for path in files() if path.name in unwanted or path.suffix in (".pyc", ".whl", ".so", ".log")] == []


def test_every_script_is_executable() -> None:
    scripts = [path for path in files() if path.read_bytes()[:2] == b"#!"]
    assert ROOT / ".ci" / "run" in scripts
    assert [path for path in scripts if not path.stat().st_mode & stat.S_IXUSR] == []
