"""Rigs for installed drivers, from configuration files: what the kit needs to know is below ``conformance``.

::

    conformance:
      size: 8GiB
      hosts: [i-1, i-2]
      modification: [type=fast]
      filesystem: xfs
      unreachable: {acme: {endpoint: https://192.0.2.1}}

Below ``unreachable``, ``hanging`` and ``denied`` are settings of the driver with which the platform is that.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rexray import catalog
from rexray.drivers import OSDriver
from rexray.errors import InvalidRequest, SettingsError, Unsupported
from rexray.paths import find_paths
from rexray.registry import DRIVER_KINDS, registry
from rexray.settings import Sources, check_files, read_files, setting
from rexray.sizes import parse_size
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.disks import LoopDisks
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.os_rig import OSRig
from rexray.testing.kit.rig import TROUBLES, StorageRig
from rexray.testing.kit.volume_rig import VolumeRig

if TYPE_CHECKING:
    from rexray.testing.kit.csi_rig import CSIRig

_ROOT = "conformance."
_IS_LINUX = sys.platform == "linux"


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
    zone: str = setting("", key="conformance.zone", help="Where volumes are made, if the driver has to be told")
    region: str = setting("", key="conformance.region", help="Where snapshots can be copied to")
    filesystem: str = setting(
        "ext4", key="conformance.filesystem", help="A filesystem that the OS driver can make and grow here"
    )
    other_filesystem: str = setting("ext3", key="conformance.otherFilesystem", help="Another one that it can make")
    options: tuple[str, ...] = setting(
        (), key="conformance.options", help="What a volume driver or a CSI plug-in makes volumes with, as NAME=VALUE"
    )
    different: tuple[str, ...] = setting(
        (), key="conformance.different", help="Options with which a volume driver makes another volume, as NAME=VALUE"
    )
    files: bool = setting(
        False, key="conformance.files", help="Whether what is mounted can be seen and written to by the checks"
    )
    patience: float = setting(120.0, key="conformance.patience", duration=True, help="How long one check may take")


def kinds_of(name: str, kind: str = "") -> tuple[str, ...]:
    """The kinds of the drivers of that name that there is something to check of.

    A storage driver brings its node driver where that can work on this host. ``InvalidRequest`` where drivers of
    several kinds have the name and none of them was chosen, ``NotInstalled`` where no driver has it.
    """
    found = [each for each in DRIVER_KINDS if any(entry.name == name for entry in catalog.entries(each))]
    if len(found) > 1 and not kind:
        raise InvalidRequest(f"drivers of several kinds are called {name!r}: choose one of {', '.join(found)}")
    chosen = kind or next(iter(found), "storage")
    if chosen not in (*DRIVER_KINDS, "node"):
        raise InvalidRequest(f"{chosen!r} is no kind of driver: it is one of {', '.join((*DRIVER_KINDS, 'node'))}")
    catalog.find("storage" if chosen == "node" else chosen, name)
    with_node = chosen == "storage" and registry().node_driver(name).viable().ok
    return (chosen, "node") if with_node else (chosen,)


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
        zone=kit.zone,
        patience=kit.patience,
    )


def node_rig(name: str, config: Path | None = None) -> NodeRig:
    """The rig of the node driver that belongs to an installed storage driver, for this host.

    Its devices are looked at as Linux shows them, and found by the OS driver of this host, where one is installed.
    """
    storage = storage_rig(name, config)
    return NodeRig(
        registry().node_driver(name),
        storage.sources,
        storage,
        os=_os_of(storage.sources),
        devices=BlockDevices() if _IS_LINUX else None,
        patience=storage.patience,
    )


def os_rig(name: str, config: Path | None = None) -> OSRig:
    """The rig of an installed OS driver, with loop devices of this host; ``Unsupported`` on what is not Linux."""
    driver, sources = registry().os_driver(name), sources_of(config)
    if not _IS_LINUX:
        raise Unsupported(f"OS drivers are checked with loop devices, which {sys.platform} does not have")
    kit = sources.load(KitSettings)
    return OSRig(
        driver,
        sources,
        LoopDisks(Path(tempfile.mkdtemp(prefix="rexray-kit-"))),
        Path(tempfile.gettempdir()),
        fs_type=kit.filesystem,
        other_fs_type=kit.other_filesystem,
        size_bytes=parse_size(kit.size),
        patience=kit.patience,
    )


def _os_of(sources: Sources) -> OSDriver | None:
    for entry in catalog.entries("os"):
        found = registry().os_driver(entry.name)
        if found.viable().ok:
            return found.make(sources)
    return None


def volume_rig(name: str, config: Path | None = None) -> VolumeRig:
    """The rig of an installed volume driver over what the files configure; errors as of :func:`storage_rig`."""
    driver, sources = registry().volume_driver(name), sources_of(config)
    kit = sources.load(KitSettings)
    return VolumeRig(
        driver,
        sources,
        composed=registry().settings(),
        options=dict(_pair(word) for word in kit.options),
        different=dict(_pair(word) for word in kit.different),
        files=kit.files,
        other_filesystem=kit.other_filesystem,
        troubles={trouble: _below(sources, trouble) for trouble in TROUBLES if _is_said(sources, trouble)},
        patience=kit.patience,
    )


def csi_rig(name: str, config: Path | None = None) -> CSIRig:
    """The rig of an installed CSI plug-in; errors as of :func:`storage_rig`, ``NotInstalled`` without gRPC."""
    from rexray.testing.kit.csi_rig import CSIRig

    plugin, sources = registry().csi_plugin(name), sources_of(config)
    kit = sources.load(KitSettings)
    return CSIRig(
        plugin,
        sources,
        composed=registry().settings(),
        size_bytes=parse_size(kit.size),
        step_bytes=parse_size(kit.step),
        parameters=dict(_pair(word) for word in kit.options),
        files=kit.files,
        patience=kit.patience,
    )


def _is_said(sources: Sources, trouble: str) -> bool:
    return any(key.startswith(f"{_ROOT}{trouble}.") for _, content in sources.files for key in content)


def _below(sources: Sources, trouble: str) -> Sources:
    return replace(sources, scopes=(f"{_ROOT}{trouble}.",))


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise SettingsError(f"conformance: {word!r} is not NAME=VALUE")
    return name, value
