"""Rigs for installed drivers, from configuration files: what the kit needs to know is below ``conformance``.

::

    conformance:
      size: 8GiB
      hosts: [i-1, i-2]
      modification: [type=fast]
      unreachable: {acme: {endpoint: https://192.0.2.1}}

Below ``unreachable``, ``hanging`` and ``denied`` are settings of the driver with which the platform is that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rexray.errors import SettingsError
from rexray.paths import find_paths
from rexray.registry import registry
from rexray.settings import Sources, check_files, read_files, setting
from rexray.sizes import parse_size
from rexray.testing.kit.rig import TROUBLES, StorageRig

_ROOT = "conformance."


@dataclass(frozen=True, slots=True, kw_only=True)
class KitSettings:
    """Settings of the kit."""

    size: str = setting("1GiB", key="conformance.size", help="The size of the volumes that are made")
    step: str = setting("1GiB", key="conformance.step", help="By how much volumes are grown")
    hosts: tuple[str, ...] = setting(
        (), key="conformance.hosts", help="Instances that volumes can be attached to; none: those that the driver lists"
    )
    modification: tuple[str, ...] = setting(
        (), key="conformance.modification", help="What can be changed of a volume, as NAME=VALUE"
    )
    region: str = setting("", key="conformance.region", help="Where snapshots can be copied to")
    patience: float = setting(120.0, key="conformance.patience", duration=True, help="How long one check may take")


def sources_of(config: Path | None) -> Sources:
    """The usual files with the one given over them, the environment, and no flags."""
    sources = Sources(files=read_files(find_paths().config_files, config))
    check_files(
        sources, [KitSettings, *registry().settings()], elsewhere=tuple(_ROOT + each + "." for each in TROUBLES)
    )
    return sources


def storage_rig(name: str, config: Path | None = None) -> StorageRig:
    """The rig of an installed storage driver; ``SettingsError`` and ``PluginError`` say what is wrong."""
    driver, sources = registry().storage_driver(name), sources_of(config)
    kit = sources.load(KitSettings)
    return StorageRig(
        driver,
        sources,
        size_bytes=parse_size(kit.size),
        step_bytes=parse_size(kit.step),
        hosts=kit.hosts,
        troubles={trouble: _below(sources, trouble) for trouble in TROUBLES if _is_said(sources, trouble)},
        modification=dict(_pair(word) for word in kit.modification),
        region=kit.region,
        patience=kit.patience,
    )


def _is_said(sources: Sources, trouble: str) -> bool:
    return any(key.startswith(f"{_ROOT}{trouble}.") for _, content in sources.files for key in content)


def _below(sources: Sources, trouble: str) -> Sources:
    return replace(sources, scopes=(f"{_ROOT}{trouble}.",))


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise SettingsError(f"conformance.modification: {word!r} is not NAME=VALUE")
    return name, value
