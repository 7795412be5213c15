"""Made-up distributions for tests of plug-ins, in a directory that ``rexray`` sees beside the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GOOD = """
from rexray import hookimpl
from rexray.types import Viability

@hookimpl
def rexray_os_drivers():
    from rexray.drivers import OSDriver

    class Acme(OSDriver):
        name = {name!r}

        @classmethod
        def viable(cls):
            return Viability(ok={viable}, reason={reason!r})

        def locate(self, device, *, deadline): return device
        def mounts(self, *, source="", target=None): return ()
        def mounted(self, target): return False
        def mount(self, source, target, *, fs_type="", options=()): raise AssertionError
        def unmount(self, target): print("unmounted", target)
        def bind(self, source, target, *, options=()): ...
        def remount(self, target, *, read_only): ...
        def probe(self, device): return ""
        def format(self, device, fs_type, *, overwrite=False): print("formatted", device.path, fs_type, overwrite)
        def grow(self, device, target): ...
        def filesystem_stats(self, target): raise AssertionError
        def device_size(self, device): return 0
        def freeze(self, target): ...
        def thaw(self, target): ...
        def trim(self, target): return 0

    return [Acme]
"""


def good(name: str, viable: bool = True, reason: str = "") -> str:
    """A plug-in with one OS driver that keeps to the contract."""
    return GOOD.format(name=name, viable=viable, reason=reason)


class Site:
    """A directory of made-up distributions, seen by ``rexray`` beside the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        plugins: Mapping[str, str],
        *,
        group: str = "rexray.os",
        requires: str = "rexray-core",
        more: Mapping[str, str] | None = None,
    ) -> None:
        """A distribution 1.2 with an entry point and a module for each plug-in, and ``more`` modules beside them."""
        module = distribution.replace("-", "_")
        (self.folder / module).mkdir()
        info = self.folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.2\nRequires-Dist: {requires}\n")
        (info / "RECORD").write_text("")
        lines = [f"{name} = {module}.{name}_plugin" for name in plugins]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        for name, source in plugins.items():
            (self.folder / module / f"{name}_plugin.py").write_text(source)
        for name, source in (more or {}).items():
            (self.folder / module / f"{name}.py").write_text(source)

    def environ(self, **environ: str) -> dict[str, str]:
        """The environment in which the directory is seen."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "REXRAY_HOME": f"{self.folder}.home",
            "XDG_CACHE_HOME": f"{self.folder}.cache",  # beside it: a folder that changes is looked at anew
            **environ,
        }

    def python(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """What a run of Python says, of this checkout's, with those words."""
        return subprocess.run(
            [sys.executable, *words],
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def rexray(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """What ``rexray`` says."""
        return self.python("-m", "rexray", *arguments, **environ)

    def rows(self, **environ: str) -> list[dict[str, Any]]:
        """What ``driver ls`` lists."""
        answer = self.rexray("driver", "ls", "--format", "json", **environ)
        assert answer.returncode == 0, answer.stderr
        rows: list[dict[str, Any]] = json.loads(answer.stdout)
        return rows

    def drivers(self, **environ: str) -> dict[str, dict[str, Any]]:
        """The same by distribution, the last line of each."""
        return {row["distribution"]: row for row in self.rows(**environ)}
