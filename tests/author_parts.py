"""An author of a driver: an empty folder and a fresh environment with the wheels, outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


@dataclass(frozen=True)
class Author:
    """Somebody with an empty folder and a fresh environment, in which rexray-core and pytest are installed."""

    folder: Path
    bin: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, *words: str, inside: str = ".", status: int = 0, **environ: str) -> str:
        """What a command prints, on both streams; it has to end with that status."""
        begin = time.monotonic()
        done = subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.folder / inside,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.seconds[" ".join(words)] = time.monotonic() - begin
        assert done.returncode == status, f"{words}:\n{done.stdout}"
        return done.stdout

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the checkout's: not its environment, its settings or its path."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        kept = {key: value for key, value in kept.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        home = self.folder.parent / "home"
        return {
            **kept,
            "PATH": f"{self.bin}:{kept['PATH']}",
            "HOME": str(home),
            "REXRAY_HOME": str(home / "rexray"),
            "PIP_CONSTRAINT": CONSTRAINTS.as_uri(),  # a list of words, in which a path may have no blank
            "PIP_BUILD_CONSTRAINT": CONSTRAINTS.as_uri(),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "COLUMNS": "200",
        }


def uv(tool: str, *words: str | Path) -> None:
    """Run uv from the root of the checkout."""
    done = subprocess.run([tool, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def new_author(base: Path, tool: str) -> Author:
    """An author before the first step, below an empty directory; ``tool`` is uv."""
    out = base / "wheels"
    uv(tool, "build", "--quiet", "--wheel", "--no-sources", "-b", CONSTRAINTS, "--out-dir", out, "rexray-core")
    wheel = f"{next(out.glob('*.whl'))}[testing]"
    environment = base / "venv"
    uv(tool, "venv", "--quiet", "--python", sys.executable, environment)
    uv(tool, "pip", "install", "--quiet", "--python", environment, "--no-sources", "-c", CONSTRAINTS, wheel, "pip")
    folder = base / "empty"
    folder.mkdir()
    (base / "home").mkdir()
    return Author(folder, environment / "bin")
