"""What the drivers declare is what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from loop_parts import Host, run_script
from rexray.drivers import NodeDriver, StorageDriver
from rexray.errors import Forbidden, SettingsError
from rexray.mixins import (
    Clone,
    Encrypted,
    Expand,
    HasCapacity,
    Modify,
    ReadOnlyAttach,
    Rollback,
    SnapshotCopy,
    Snapshots,
    Topology,
    VolumeHealth,
)
from rexray.registry import registry
from rexray.settings import Sources
from rexray_driver_loop.node import LoopNode
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage


def test_it_is_found_by_its_name() -> None:
    assert registry().storage_driver("loop") is LoopStorage
    assert registry().node_driver("loop") is LoopNode
    assert LoopSettings in registry().settings()


def test_it_has_every_capability_but_regions(host: Host) -> None:
    for capability in (
        Snapshots,
        Clone,
        Rollback,
        Expand,
        HasCapacity,
        Modify,
        Topology,
        Encrypted,
        VolumeHealth,
        ReadOnlyAttach,
    ):
        assert isinstance(host.storage, capability), capability
    assert not issubclass(LoopStorage, SnapshotCopy)
    assert isinstance(host.storage, StorageDriver)
    assert isinstance(host.node, NodeDriver)


def test_being_found_imports_little_and_makes_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from rexray.registry import registry; driver = registry().storage_driver('loop');"
        "driver(driver.settings(root=sys.argv[1] + '/root'));"
        "print([name for name in ('ctypes.util', 'yaml', 'grpc', 'werkzeug') if name in sys.modules])"
    )
    ended = run_script(script, tmp_path)
    assert ended.output == "[]\n", ended.errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"LOOP_MAXVOLUMES": "-1"}, "negative"),
        ({"LOOP_INSTANCEID": "../x"}, "instance id"),
        ({"LOOP_INSTANCEID": "x" * 129}, "instance id"),
        ({"LOOP_ZONE": "a/b"}, "zone"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(tmp_path: Path, environ: Mapping[str, str], word: str) -> None:
    settings = Sources(environ={"LOOP_ROOT": str(tmp_path / "root"), **environ}).load(LoopSettings)
    with pytest.raises(SettingsError, match=word):
        LoopNode(settings).instance()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path))
    settings = Sources(environ={}).load(LoopSettings)
    assert settings.directory == tmp_path.resolve() / "var/lib/loop"
    assert settings.keys == settings.directory / "keys"
    assert settings.instance == os.uname().nodename
    assert LoopSettings(key_directory="/k").keys == Path("/k")


@pytest.mark.needs("root")
def test_a_user_without_rights_is_told_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    (tmp_path / "root").mkdir(mode=0o700)
    script = (
        "import os, sys; from rexray_driver_loop.node import LoopNode; from rexray_driver_loop.settings import *;"
        "import rexray_driver_loop.storage; os.setgid(65534); os.setuid(65534);"
        "print(LoopNode.viable().reason);"
        "LoopNode(LoopSettings(root=sys.argv[1])).instance()"
    )
    ended = run_script(script, tmp_path / "root")
    assert "run as root" in ended.output
    assert f"{Forbidden.__name__}: using {tmp_path}" in ended.errors
