"""The managed Docker plugin: made by one command, and driven by a real Docker engine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_parts import Engine
from docker_plugin_parts import Registry, make_root, make_wheels
from rexray.core_settings import CoreSettings
from rexray.registry import registry
from rexray.settings import options_of
from rexray.volumes.settings import VolumeSettings
from service_parts import REXRAY, eventually

WRITER = 'i=0; while :; do i=$((i+1)); echo "$i" >> /data/log; sync /data/log; sleep 0.05; done'
CANARY = "canary-5f1d0c"

docker = pytest.mark.needs("root", "loop", "docker", "docker-registry", "uml")


def deploy(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REXRAY, "deploy", "docker-plugin", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environ},
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A root that REX-Ray is in already, as far as anybody looks."""
    program = tmp_path / "root/usr/local/bin/rexray"
    program.parent.mkdir(parents=True)
    program.touch()
    return tmp_path / "root"


@pytest.mark.parametrize("driver", ["loop", "ec2", "rbd"])
def test_every_setting_of_the_core_and_of_the_driver_can_be_set(driver: str, installed: Path, tmp_path: Path) -> None:
    done = deploy(tmp_path / "out", "--driver", driver, "--rootfs", installed, "--mount", "/etc/ceph:ro")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads((tmp_path / "out/config.json").read_text())
    variables = {variable["name"]: variable for variable in made["env"]}
    settings = registry().storage_driver(driver).settings
    assert settings is not None
    options = [option for found in (CoreSettings, VolumeSettings, settings) for option in options_of(found)]
    fixed = {"REXRAY_STORAGEDRIVERS": driver}
    for option in options:
        if option.key in ("rexray.storageDrivers", "rexray.volume.mount.path"):
            assert {*option.env} & variables.keys() <= fixed.keys(), "they are not the operator's to say"
            continue
        for name in option.env:
            assert (variables[name]["settable"], variables[name]["value"]) == (["value"], ""), name
    assert all("file:" in variables[name]["description"] for option in options if option.secret for name in option.env)
    assert {name: variables[name]["value"] for name in variables if not variables[name]["settable"]} == fixed
    others = {"LOOP_ROOT", "EC2_REGION", "RBD_MAPPER", "SCALEIO_ENDPOINT", "XTREMIO_ENDPOINT"}
    assert len(others & variables.keys()) <= 1
    assert made["propagatedMount"] == "/var/lib/rexray"
    assert made["interface"] == {"types": ["docker.volumedriver/1.0"], "socket": "rexray.sock"}
    assert made["entrypoint"] == ["rexray", "start", "-f", "--nopid"]
    mounts = {mount["destination"]: mount["options"] for mount in made["mounts"]}
    assert mounts["/dev"] == mounts["/sys"] == ["rbind"]
    assert mounts["/etc/ceph"] == ["rbind", "ro"]


def test_what_is_there_already_is_not_written_over_and_a_failure_leaves_nothing(
    installed: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    refused = deploy(mine, "--driver", "loop", "--rootfs", installed)
    assert refused.returncode == 1
    assert f"{mine} has something in it already" in refused.stderr
    assert [path.name for path in mine.iterdir()] == ["file"]
    (tmp_path / "bare").mkdir()
    failed = deploy(tmp_path / "out", "--driver", "loop", "--rootfs", tmp_path / "bare")
    assert failed.returncode == 1
    assert "has no usr/local/bin/rexray" in failed.stderr
    assert not (tmp_path / "out").exists()
    assert "pip install" in deploy(tmp_path / "out", "--driver", "nosuch", "--rootfs", installed).stderr
    assert deploy(tmp_path / "out", "--driver", "loop", "--mount", "etc").returncode == 2


class Managed:
    """The plugin in the engine, and what became of it on this host; ``newer`` is in a registry."""

    def __init__(self, engine: Engine, name: str, newer: str) -> None:
        self.engine, self.name, self.newer = engine, name, newer
        self.run = engine.run

    @property
    def inspected(self) -> str:
        """All that Docker shows of it."""
        return self.run("plugin", "inspect", self.name).stdout

    @property
    def home(self) -> Path:
        """Where Docker keeps its state."""
        return self.engine.home / "root/plugins" / str(json.loads(self.inspected)[0]["Id"])

    @property
    def root(self) -> Path:
        """The root directory as the running plugin sees it."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.home.name in (folder / "cgroup").read_text() and b"rexray" in (folder / "cmdline").read_bytes():
                    return folder / "root"
        raise AssertionError(f"the plugin does not run: {self.engine.log()}")

    def is_mounted(self, volume: str) -> bool:
        """Whether the volume is mounted where containers on this host get it from."""
        target = f"{self.home}/propagated-mount/volumes/{volume}"
        return any(line.split()[4] == target for line in Path("/proc/self/mountinfo").read_text().splitlines())

    def volume(self, name: str) -> tuple[str, ...]:
        """The words for a container with the volume."""
        return ("--network=none", "-v", f"{name}:/data", "--volume-driver", self.name)

    def lines(self, container: str) -> int:
        """How far the container has come with writing."""
        return int(self.run("exec", container, "tail", "-n1", "/data/log", check=False).stdout or 0)

    def goes_on(self, container: str) -> None:
        """See that the container still writes."""
        before = self.lines(container)
        assert before
        assert eventually(lambda: self.lines(container) > before + 3), f"{container} no longer writes"


@pytest.fixture(scope="module")
def parts(tool: Callable[[str], str]) -> Iterator[Path]:
    """A folder with a ``root`` that has Python, and ``wheels``."""
    folder = Path(tempfile.mkdtemp(prefix="rxp"))
    make_root(folder / "root", tool("uv"))
    make_wheels(folder / "wheels", tool("uv"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def registry_of_engine(engine: Engine, parts: Path, tool: Callable[[str], str]) -> Iterator[Registry]:
    running = Registry(engine, parts, tool)
    yield running
    running.stop()


@pytest.fixture
def managed(engine: Engine, parts: Path, registry_of_engine: Registry) -> Iterator[Managed]:
    """Made by ``rexray deploy docker-plugin``; a newer version of it is in the registry."""
    older, newer = (f"{registry_of_engine.address}/rexray/loop:{version}" for version in ("1", "2"))
    out = parts / "out"
    try:
        (parts / "volumes").mkdir()
        base = ("--rootfs", parts / "root", "--wheels", parts / "wheels", "--mount", parts / "volumes")
        done = deploy(out, "--driver", "loop", *base, "--name", older, "--create", DOCKER_HOST=engine.address)
        assert done.returncode == 0, done.stderr
        assert f"docker plugin enable {older}" in done.stdout
        (out / "rootfs/etc/newer").touch()
        engine.run("plugin", "create", newer, str(out))
        engine.run("plugin", "push", newer)
        engine.run("plugin", "rm", newer)
        yield Managed(engine, older, newer)
    finally:
        containers = engine.run("ps", "-aq", check=False).stdout.split()
        engine.run("rm", "-f", *containers, "none", check=False)
        engine.run("plugin", "rm", "-f", older, check=False)


@docker
def test_volumes_outlive_the_disabling_and_the_upgrade_of_the_plugin_while_they_are_in_use(
    managed: Managed, parts: Path
) -> None:
    secrets = parts / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text(CANARY)
    managed.run("plugin", "set", managed.name, f"secrets.source={secrets}", f"LOOP_ROOT={parts / 'volumes'}")
    managed.run("plugin", "enable", managed.name)
    assert (managed.root / "etc/rexray/secrets/key").read_text() == CANARY
    assert CANARY not in managed.inspected

    managed.run("volume", "create", "-d", managed.name, "-o", "size=1", "shared")
    managed.run("run", "-d", "--name", "writer", *managed.volume("shared"), "bb:1", "/bin/sh", "-c", WRITER)
    assert eventually(lambda: managed.lines("writer") > 3)
    assert managed.is_mounted("shared")

    for words in (["disable"], ["rm"], ["upgrade", "--grant-all-permissions"]):
        newer = [managed.newer] if words[0] == "upgrade" else []
        refused = managed.run("plugin", *words, managed.name, *newer, check=False)
        assert refused.returncode == 1, f"Docker does not {words[0]} a plugin in use"
    managed.run("plugin", "disable", "--force", managed.name)
    managed.goes_on("writer")
    upgrade = ("plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check")
    managed.run(*upgrade, managed.name, managed.newer)
    managed.run("plugin", "enable", managed.name)
    assert (managed.root / "etc/newer").exists()
    managed.goes_on("writer")
    assert managed.is_mounted("shared"), "it is mounted again for the container that has it"

    log = managed.run("run", "--rm", *managed.volume("shared"), "bb:1", "cat", "/data/log").stdout
    assert len(log.splitlines()) > 3, "another container sees the same volume"
    assert managed.is_mounted("shared"), "the first container has it still"
    managed.engine.kill()
    managed.engine.start()
    managed.goes_on("writer")
    managed.run("stop", "-t", "1", "writer")
    assert not managed.is_mounted("shared"), "the last container has let go"
    log = managed.run("run", "--rm", *managed.volume("shared"), "bb:1", "cat", "/data/log").stdout
    numbers = [int(line) for line in log.splitlines()]
    assert numbers == [*range(1, len(numbers) + 1)], "a line was lost"
    managed.run("rm", "writer")
    managed.run("volume", "create", "-d", managed.name, "-o", "size=1", "other")
    managed.run("volume", "rm", "shared")
    assert [path.name for path in (parts / "volumes/volumes").iterdir()] == ["other"]
    managed.run("plugin", "rm", "--force", managed.name)
    assert (parts / "volumes/volumes/other/data").exists(), "volumes that are elsewhere outlive the plugin"


@docker
def test_an_image_is_what_it_can_be_built_on_as_well(engine: Engine, parts: Path) -> None:
    packed = parts / "root.tar"
    subprocess.run(["tar", "--create", "--directory", parts / "root", "--file", packed, "."], check=True)
    engine.run("import", str(packed), "base:1")
    words = ("--driver", "loop", "--base", "base:1", "--wheels", parts / "wheels")
    done = deploy(parts / "built", *words, DOCKER_HOST=engine.address)
    assert done.returncode == 0, done.stderr
    assert json.loads((parts / "built/config.json").read_text())["entrypoint"][0] == "rexray"
    root = parts / "built/rootfs"
    listed = subprocess.run(["chroot", root, "rexray", "driver", "ls"], capture_output=True, text=True, check=True)
    assert "loop" in listed.stdout
    assert not (root / "rexray-wheels").exists()
    assert engine.run("ps", "-aq").stdout == ""
