"""The marker ``needs``: a missing part skips here and fails in CI, and the summary says what to install."""

from __future__ import annotations

import runpy
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent

OTHER_PARTS = """
import pytest
PARTS.clear()
PARTS["anvil"] = Part(present=lambda: False, hint="apt-get install anvil")
PARTS["moon"] = Part(present=lambda: False, hint="fly there", in_ci=False)
PARTS["air"] = Part(present=lambda: True, hint="breathe")
"""


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest that has the workspace's conftest.py with other parts in it, not in CI."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makeconftest((ROOT / "conftest.py").read_text() + OTHER_PARTS)
    pytester.makeini("[pytest]\nmarkers =\n    needs(part): needs a part\naddopts = --strict-markers\n")
    return pytester


def needing(*parts: str) -> str:
    return f"import pytest\n@pytest.mark.needs(*{parts!r})\ndef test_it(): pass\n"


def test_a_part_that_is_here_changes_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(needing("air"))
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*skipped for want of a part*")


def test_a_missing_part_skips_and_is_summed_up(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=needing("air", "anvil"), test_b=needing("anvil"), test_c=needing("moon"))
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED*needs anvil: apt-get install anvil",
            "*skipped for want of a part*",
            "anvil*2 tests*apt-get install anvil",
            "moon*1 test *fly there",
        ]
    )


def test_every_missing_part_of_a_test_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(needing("anvil", "moon"))
    result = pytester.runpytest("-rs")
    result.stdout.fnmatch_lines(["SKIPPED*needs anvil: apt-get install anvil; needs moon: fly there"])


def test_in_ci_a_part_that_ci_installs_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_a=needing("anvil"), test_b=needing("moon"), test_c=needing("moon", "anvil"))
    result = pytester.runpytest()
    result.assert_outcomes(errors=2, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["needs anvil: apt-get install anvil"])


def test_a_misspelt_part_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(needing("anvill"))
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs [[]'anvill']: conftest.py knows*"])


def test_the_ci_script_installs_what_ci_must_have() -> None:
    parts = runpy.run_path(str(ROOT / "conftest.py"))["PARTS"]
    script = (ROOT / ".ci" / "run").read_text()
    packages = script.partition("PACKAGES=(")[2].partition(")")[0].split()
    hinted = {part.hint for part in parts.values() if part.in_ci and part.hint.startswith("apt-get install ")}
    assert hinted
    for hint in hinted:
        assert set(hint.removeprefix("apt-get install ").split()) <= set(packages)
    assert any(part.hint == "make tools" for part in parts.values())
    assert "make tools" in script


def test_tools_are_looked_up_where_the_environment_says(
    tool: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.touch()
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("REXRAY_TOOLS_BIN", str(tmp_path))
    assert tool("git") == str(program)
