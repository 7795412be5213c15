"""Installed drivers as they are configured, and the checks of theirs that change nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexray.errors import SettingsError, Unsupported
from rexray.registry import registry
from rexray.settings import Sources
from rexray.testing.kit import suites
from rexray.testing.kit.check import Check, Skipped, Suite
from rexray.testing.kit.runs import secret_values
from rexray.types import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A driver class with its checks; ``make`` makes a rig whose checks may take so many seconds."""

    kind: str
    driver: type
    checks: Sequence[Check[Any]]
    make: Callable[[float], AbstractContextManager[Any]]


def live(kind: str, name: str, sources: Sources) -> Iterator[Live]:
    """The drivers of that name: a storage driver has a node driver beside it; ``PluginError`` says what is wrong."""
    if kind == "storage":
        yield from _platform(name, sources)
    elif kind == "volume":
        yield _volume(name, sources)
    elif kind == "os":
        yield _os(name, sources)
    else:
        raise Unsupported(
            f"CSI plug-in {name!r}: it has to be started to be checked, which may change something: "
            f"pytest --rexray-driver={name} does that"
        )


def _platform(name: str, sources: Sources) -> Iterator[Live]:
    from rexray.testing.kit.node_rig import NodeRig
    from rexray.testing.kit.rig import StorageRig

    storage, node = registry().storage_driver(name), registry().node_driver(name)
    yield Live(
        kind="storage",
        driver=storage,
        checks=_reading(suites.STORAGE),
        make=lambda seconds: StorageRig(storage, sources, patience=seconds),
    )
    if node.viable().ok:  # a controller has no devices of the platform's volumes
        yield Live(
            kind="node",
            driver=node,
            checks=_reading(suites.NODE),
            make=lambda seconds: NodeRig(node, sources, StorageRig(storage, sources), patience=seconds),
        )


def _volume(name: str, sources: Sources) -> Live:
    from rexray.testing.kit.volume_rig import VolumeRig

    driver = registry().volume_driver(name)
    return Live(
        kind="volume",
        driver=driver,
        checks=_reading(suites.VOLUME),
        make=lambda seconds: VolumeRig(driver, sources, patience=seconds),
    )


def _os(name: str, sources: Sources) -> Live:
    from rexray.testing.kit.disks import LoopDisks
    from rexray.testing.kit.os_rig import OSRig

    class NoDisks(LoopDisks):
        """Makes no device: none of these checks asks for one."""

        def make(self, size_bytes: int) -> Device:
            raise Skipped("no device is made on a host that is in use")

        def close(self) -> None:
            """Nothing was made."""

    driver, nowhere = registry().os_driver(name), Path(os.devnull)
    return Live(
        kind="os",
        driver=driver,
        checks=_reading(suites.OS),
        make=lambda seconds: OSRig(driver, sources, NoDisks(nowhere), nowhere, patience=seconds),
    )


def secrets_of(sources: Sources) -> tuple[str, ...]:
    """The values of all secret settings that are set, of whatever driver: none of them may show."""
    found: set[str] = set()
    for settings in registry().settings():
        with contextlib.suppress(SettingsError):  # of a driver that is not looked at
            found.update(secret_values(sources, [settings]))
    return tuple(sorted(found, key=len, reverse=True))


def _reading(suite: Suite[Any]) -> Sequence[Check[Any]]:
    return [check for check in suite.checks() if check.reads_only]
