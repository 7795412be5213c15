"""CSI's capabilities, derived from what a storage driver is an instance of."""

from __future__ import annotations

from rexray.drivers import StorageDriver
from rexray.mixins import (
    Clone,
    Expand,
    GroupSnapshots,
    HasCapacity,
    Modify,
    ReadOnlyAttach,
    Snapshots,
    Topology,
    VolumeHealth,
)

ALWAYS = (
    "CREATE_DELETE_VOLUME",
    "PUBLISH_UNPUBLISH_VOLUME",
    "LIST_VOLUMES",
    "LIST_VOLUMES_PUBLISHED_NODES",
    "GET_VOLUME",
    "SINGLE_NODE_MULTI_WRITER",
)
"""What every storage driver can do as a controller."""

BY_MIXIN: tuple[tuple[type, tuple[str, ...]], ...] = (
    (Snapshots, ("CREATE_DELETE_SNAPSHOT", "LIST_SNAPSHOTS", "GET_SNAPSHOT")),
    (Clone, ("CLONE_VOLUME",)),
    (Expand, ("EXPAND_VOLUME",)),
    (HasCapacity, ("GET_CAPACITY",)),
    (Modify, ("MODIFY_VOLUME",)),
    (ReadOnlyAttach, ("PUBLISH_READONLY",)),
    (VolumeHealth, ("GET_VOLUME_HEALTH", "LIST_VOLUME_HEALTH")),
)
"""What a mixin adds to that."""

GROUP = ("CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT",)
"""What a storage driver with ``GroupSnapshots`` can do for groups of volumes."""

NODE = (
    "STAGE_UNSTAGE_VOLUME",
    "GET_VOLUME_STATS",
    "EXPAND_VOLUME",
    "SINGLE_NODE_MULTI_WRITER",
    "VOLUME_MOUNT_GROUP",
    "GET_VOLUME_HEALTH",
    "GET_STORAGE_HEALTH",
)
"""What this host can do for the volumes of any platform."""


def of_controller(storage: type[StorageDriver]) -> tuple[str, ...]:
    """The capabilities of the controller service."""
    return (*ALWAYS, *(name for mixin, names in BY_MIXIN if issubclass(storage, mixin) for name in names))


def of_group_controller(storage: type[StorageDriver]) -> tuple[str, ...]:
    """The capabilities of the group controller service, none without one."""
    return GROUP if issubclass(storage, GroupSnapshots) else ()


def of_plugin(storage: type[StorageDriver], *, controller: bool) -> tuple[str, ...]:
    """The services and constraints that the plug-in as a whole reports."""
    found = ["CONTROLLER_SERVICE"] if controller else []
    if issubclass(storage, Topology):
        found.append("VOLUME_ACCESSIBILITY_CONSTRAINTS")
        if issubclass(storage, Snapshots):
            found.append("SNAPSHOT_ACCESSIBILITY_CONSTRAINTS")
    if controller and issubclass(storage, GroupSnapshots):
        found.append("GROUP_CONTROLLER_SERVICE")
    return tuple(found)
