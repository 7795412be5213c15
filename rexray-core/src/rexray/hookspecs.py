"""Every hook of REX-Ray.

Hooks **register classes**, which a plug-in's light ``plugin.py`` implements with :data:`rexray.hookimpl`, and **tell
observers** what happened. They never carry storage calls: those are plain method calls on a driver. Vendor SDKs are
imported inside a hook's body or later.

Arguments are only ever added to a hook, and an implementation names those that it wants. A hook or an argument that is
to go is marked (``hookspec(warn_on_impl=...)``, ``warn_on_impl_args``) one release before, and whoever implements it is
told so in a line that names the distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from rexray.cli.commands import CommandSpec
    from rexray.csi.plugin import CSIPlugin
    from rexray.drivers import NodeDriver, OSDriver, StorageDriver, VolumeDriver
    from rexray.types import Attachment, InstanceId, Volume

hookspec = pluggy.HookspecMarker("rexray")
hookimpl = pluggy.HookimplMarker("rexray")


@hookspec
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:  # type: ignore[empty-body]
    """The storage drivers of this plug-in."""


@hookspec
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:  # type: ignore[empty-body]
    """The node drivers of this plug-in, each bearing the name of the storage driver that it belongs to."""


@hookspec
def rexray_os_drivers() -> Sequence[type[OSDriver]]:  # type: ignore[empty-body]
    """The OS drivers of this plug-in."""


@hookspec
def rexray_volume_drivers() -> Sequence[type[VolumeDriver]]:  # type: ignore[empty-body]
    """The volume drivers of this plug-in."""


@hookspec
def rexray_csi_plugins() -> Sequence[type[CSIPlugin]]:  # type: ignore[empty-body]
    """The native CSI plug-ins of this plug-in."""


@hookspec
def rexray_commands() -> Sequence[CommandSpec]:  # type: ignore[empty-body]
    """Commands for the ``rexray`` program; their modules are imported only when they run."""


@hookspec
def rexray_settings() -> Sequence[type]:  # type: ignore[empty-body]
    """Settings dataclasses that belong to no driver (a driver names its own in ``Driver.settings``)."""


@hookspec
def rexray_volume_created(driver: str, volume: Volume) -> None:
    """A volume was created, or found to exist as asked."""


@hookspec
def rexray_volume_removed(driver: str, name: str) -> None:
    """A volume and its data were deleted."""


@hookspec
def rexray_volume_attached(driver: str, attachment: Attachment) -> None:
    """A volume was attached to an instance."""


@hookspec
def rexray_volume_detached(driver: str, name: str, instance_id: InstanceId) -> None:
    """A volume was detached from an instance."""


@hookspec
def rexray_volume_mounted(driver: str, name: str, holder: str, path: Path) -> None:
    """A holder got a volume's mount."""


@hookspec
def rexray_volume_unmounted(driver: str, name: str, holder: str) -> None:
    """A holder let a volume's mount go."""


@hookspec
def rexray_operation_failed(driver: str, operation: str, name: str, error: Exception) -> None:
    """An operation on a volume failed, and what it had changed was undone as far as that was possible.

    ``operation`` is a word such as ``create``, ``remove``, ``attach``, ``mount``, ``unmount`` or ``detach``.
    """
