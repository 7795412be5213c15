"""What the READMEs say is true: their settings tables are the declarations, their commands run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs_parts import ROOT, TESTED, run_as_it_stands
from rexray.testing.readme import with_tables

READMES = sorted([ROOT / "README.md", *ROOT.glob("rexray-*/README.md")])


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_settings_tables_are_what_the_code_declares(readme: Path) -> None:
    text = readme.read_text()
    fresh = with_tables(text)
    if os.environ.get("REXRAY_WRITE_DOCS"):
        readme.write_text(fresh)
        return
    assert text == fresh, f"say: REXRAY_WRITE_DOCS=1 .venv/bin/pytest {Path(__file__).name}"


def test_every_distributions_settings_are_in_its_readme() -> None:
    for readme in READMES[1:]:
        package = next((readme.parent / "src").iterdir())
        declared = [path for path in package.rglob("*settings.py") if "setting(" in path.read_text()]
        for path in declared:
            if path.name == "settings.py" and path.parent.name == "rexray":
                continue  # the machinery itself
            if "testing" in path.parts:
                continue  # of drivers that are for tests, and no entry point has
            module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            assert f"{module}:" in readme.read_text(), f"{readme} lacks the settings of {module}"


@pytest.mark.needs("root")
@pytest.mark.needs("curl")
@pytest.mark.parametrize("number", range(len(TESTED.findall((ROOT / "README.md").read_text()))))
def test_the_readmes_commands_run_as_they_stand(home: Path, number: int) -> None:
    run_as_it_stands(TESTED.findall((ROOT / "README.md").read_text())[number][1], home)
