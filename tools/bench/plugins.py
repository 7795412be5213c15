"""What installed drivers cost those who use none of them: ``--help`` and ``driver ls`` with one and with twenty."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

from figures import timed

MANY = 20
COMMANDS = (("--help",), ("driver", "ls"))

PLUGIN = '''"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver."""
    from rexray_driver_NAME.storage import Storage

    return [Storage]
'''
SETTINGS = '''"""The settings."""

from __future__ import annotations

from dataclasses import dataclass

from rexray.settings import Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings under ``NAME``."""

    endpoint: str = setting("", key="NAME.endpoint", help="Where the array's API is")
    user: str = setting("", key="NAME.user", help="The account")
    password: Secret = setting(Secret(""), key="NAME.password", help="Its password")
    timeout: float = setting(30.0, key="NAME.timeout", duration=True, help="How long a call may take")
    pool: str = setting("", key="NAME.pool", help="The pool of new volumes")
'''
VIABILITY = '''"""Whether this host looks like one where the array is of use."""

from __future__ import annotations

import os
from pathlib import Path

from rexray.types import Viability


def viability(*, dev: Path = Path("/dev")) -> Viability:
    """Whether the environment names an array, or this host has a device of one."""
    if os.environ.get("NAME_ENDPOINT") or (dev / "NAME0").exists():
        return Viability(ok=True)
    return Viability(ok=False, reason="no array is known: neither $NAME_ENDPOINT is set, nor is there /dev/NAME0")
'''
ERRORS = '''"""The array's errors as ours."""

from __future__ import annotations

from rexray import errors

TABLE = {404: errors.NotFound, 409: errors.AlreadyExists, 423: errors.InUse, 507: errors.OutOfCapacity}


def translated(status: int, message: str) -> errors.RexrayError:
    """The error that a status means."""
    return TABLE.get(status, errors.Unavailable)(message)
'''
API = '''"""Calls of the array."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rexray_driver_NAME.errors import translated
from rexray_driver_NAME.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A volume as the array tells it."""

    id: str
    name: str
    size: int


class Api:
    """The array's API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, path: str) -> Mapping[str, object]:
        """What is at a path."""
        with urllib.request.urlopen(self._settings.endpoint + path, timeout=self._settings.timeout) as answer:
            if answer.status != 200:
                raise translated(answer.status, path)
            found: Mapping[str, object] = json.load(answer)
        return found

    def volumes(self) -> Iterator[Row]:
        """Every volume."""
        for row in self.get("/volumes")["volumes"]:
            yield Row(**row)
'''
STORAGE = '''"""The storage driver."""

from __future__ import annotations

from rexray.drivers import StorageDriver
from rexray.errors import NotFound, Unsupported
from rexray.mixins import Clone, Expand, Snapshots
from rexray.types import Volume, VolumeId
from rexray_driver_NAME.api import Api
from rexray_driver_NAME.settings import Settings
from rexray_driver_NAME.viability import viability


class Storage(Snapshots, Expand, Clone, StorageDriver):
    """The volumes of an array."""

    name = "NAME"
    settings = Settings
    viable = staticmethod(viability)

    def __init__(self, settings: Settings) -> None:
        self._api = Api(settings)

    def instances(self): return iter(())
    def volumes(self): return (Volume(id=VolumeId(r.id), name=r.name, size_bytes=r.size) for r in self._api.volumes())
    def volume(self, volume_id): raise NotFound(volume_id)
    def create(self, spec): raise Unsupported("create")
    def remove(self, volume_id, *, force=False): ...
    def attach(self, volume_id, instance_id, *, device="", read_only=False, force=False): raise Unsupported("attach")
    def detach(self, volume_id, instance_id=None, *, force=False): ...
    def attachments(self, volume_id, instance_id=None): return ()
    def snapshots(self, *, volume_id=None): return iter(())
    def create_snapshot(self, volume_id, name, description=""): raise Unsupported("create_snapshot")
    def remove_snapshot(self, snapshot_id): ...
    def expand(self, volume_id, size_bytes, *, limit_bytes=0): raise Unsupported("expand")
'''
MODULES = {
    "__init__": '"""A driver."""\n',
    "plugin": PLUGIN,
    "settings": SETTINGS,
    "viability": VIABILITY,
    "errors": ERRORS,
    "api": API,
    "storage": STORAGE,
}


def install(site: Path, name: str) -> None:
    """One made-up driver distribution, with its bytecode, as pip leaves it."""
    package, info = site / f"rexray_driver_{name}", site / f"rexray_driver_{name}-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    for module, source in MODULES.items():
        (package / f"{module}.py").write_text(source.replace("NAME", name))
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: rexray-driver-{name}\nVersion: 1.0\nSummary: A driver\n"
        "Requires-Python: >=3.11\nRequires-Dist: rexray-core<0.2,>=0.1\n\nA driver.\n"
    )
    (info / "RECORD").write_text("")
    (info / "entry_points.txt").write_text(f"[rexray.storage]\n{name} = rexray_driver_{name}.plugin\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(package)], check=True)


def base_site(site: Path) -> None:
    """What the core requires and the core itself, without the drivers that this workspace installs beside it."""
    site.mkdir()
    for item in Path(sysconfig.get_path("purelib")).iterdir():
        ours = item.name.startswith(("rexray_", "_editable_impl_")) and not item.name.startswith("rexray_core-")
        if not ours and item.suffix != ".pth":
            (site / item.name).symlink_to(item)


def measure_plugins(folder: Path, scale: float) -> None:
    """Whole processes, warm, interleaved so that a busy moment hits all alike."""
    core = Path(__file__).resolve().parents[2] / "rexray-core/src"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("REXRAY_")}
    samples: dict[tuple[int, tuple[str, ...]], list[float]] = {}
    runs = {}
    for count in (1, MANY):
        home = folder / str(count)
        home.mkdir()
        base_site(home / "base")
        (home / "site").mkdir()
        for number in range(count):
            install(home / "site", f"acme{number:02}")
        path = os.pathsep.join(map(str, (home / "site", core, home / "base")))
        own = {"PYTHONPATH": path, "REXRAY_HOME": str(home), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        for words in COMMANDS:
            command = [sys.executable, "-S", "-m", "rexray", *words]
            runs[count, words] = partial(subprocess.run, command, env=environ | own, check=True, capture_output=True)
            samples[count, words] = []
    cold: dict[tuple[int, tuple[str, ...]], list[float]] = {key: [] for key in runs}
    for _ in range(max(3, int(7 * scale))):
        for key, run in runs.items():
            shutil.rmtree(folder / str(key[0]) / "cache", ignore_errors=True)
            cold[key].append(timed(run))
    for _ in range(max(5, int(40 * scale))):
        for key, run in runs.items():
            samples[key].append(timed(run))
    print(f"\n{'median ms':24} {'1 driver':>9} {f'{MANY} drivers':>11} {'ratio':>6}")
    for title, figures in (("", samples), (", first time", cold)):
        for words in COMMANDS:
            one, many = (statistics.median(figures[count, words]) * 1000 for count in (1, MANY))
            print(f"{'rexray ' + ' '.join(words) + title:24} {one:9.1f} {many:11.1f} {many / one:6.2f}")
