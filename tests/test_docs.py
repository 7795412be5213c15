"""What the READMEs say is true: their settings tables are the declarations, their commands run."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rexray.settings import options_of

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted([ROOT / "README.md", *ROOT.glob("rexray-*/README.md")])
SETTINGS = re.compile(r"<!-- settings: (.+?) -->\n(.*?)<!-- end of settings -->", re.DOTALL)
TESTED = re.compile(r"<!-- tested: root -->\n```sh\n(.*?)```", re.DOTALL)


def settings_table(names: str) -> str:
    """The table of settings dataclasses, each named as ``module:class``."""
    lines = ["| Key | Variable | Flag | Default | What it is |", "|---|---|---|---|---|"]
    for name in names.split():
        module, _, attribute = name.partition(":")
        for option in options_of(getattr(importlib.import_module(module), attribute)):
            default = option.show(option.default)
            shown = f"`{default}`" if default else ""
            flags = f"`{option.flags[0]}`" if option.flags else ""
            older = f" (also {', '.join(f'`{key}`' for key in option.older)})" if option.older else ""
            lines.append(f"| `{option.key}`{older} | `{option.env[0]}` | {flags} | {shown} | {option.help} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_settings_tables_are_what_the_code_declares(readme: Path) -> None:
    text = readme.read_text()
    fresh = SETTINGS.sub(
        lambda found: f"<!-- settings: {found[1]} -->\n{settings_table(found[1])}<!-- end of settings -->", text
    )
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
            module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            assert f"{module}:" in readme.read_text(), f"{readme} lacks the settings of {module}"


@pytest.mark.needs("root")
@pytest.mark.needs("curl")
@pytest.mark.parametrize("number", range(len(TESTED.findall((ROOT / "README.md").read_text()))))
def test_the_readmes_commands_run_as_they_stand(home: Path, number: int) -> None:
    script = TESTED.findall((ROOT / "README.md").read_text())[number]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI_", "CSI_"))}
    environ = {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "HOME": str(home),
        "REXRAY_HOME": str(home / "rexray"),
    }
    try:
        answer = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=home,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert ("rexray start" in script) == ("is running at PID" in answer.stdout)
        assert ("rexray stop" in script) == answer.stdout.rstrip().endswith("REX-Ray is stopped")
    finally:
        subprocess.run(["rexray", "stop"], env=environ, check=False, capture_output=True)
    assert str(home) not in Path("/proc/self/mountinfo").read_text()
