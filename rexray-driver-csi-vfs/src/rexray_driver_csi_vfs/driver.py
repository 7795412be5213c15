"""The plug-in: what it can do, and how its parts are put together. Light: listing drivers imports this."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.types import Viability
from rexray_driver_csi_vfs.settings import VFSSettings

PLUGIN_CAPABILITIES = (
    "CONTROLLER_SERVICE",
    "VOLUME_ACCESSIBILITY_CONSTRAINTS",
    "GROUP_CONTROLLER_SERVICE",
    "SNAPSHOT_ACCESSIBILITY_CONSTRAINTS",
)
EXPANSION = ("ONLINE",)
CONTROLLER_CAPABILITIES = (
    "CREATE_DELETE_VOLUME",
    "PUBLISH_UNPUBLISH_VOLUME",
    "LIST_VOLUMES",
    "GET_CAPACITY",
    "CREATE_DELETE_SNAPSHOT",
    "LIST_SNAPSHOTS",
    "CLONE_VOLUME",
    "PUBLISH_READONLY",
    "EXPAND_VOLUME",
    "LIST_VOLUMES_PUBLISHED_NODES",
    "GET_VOLUME",
    "SINGLE_NODE_MULTI_WRITER",
    "MODIFY_VOLUME",
    "GET_SNAPSHOT",
    "GET_VOLUME_HEALTH",
    "LIST_VOLUME_HEALTH",
)
GROUP_CAPABILITIES = ("CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT",)
NODE_CAPABILITIES = (
    "STAGE_UNSTAGE_VOLUME",
    "GET_VOLUME_STATS",
    "EXPAND_VOLUME",
    "SINGLE_NODE_MULTI_WRITER",
    "VOLUME_MOUNT_GROUP",
    "GET_VOLUME_HEALTH",
    "GET_STORAGE_HEALTH",
)


class VFSPlugin(CSIPlugin):
    """Volumes are directories below one root, attached and mounted by bind mounts."""

    name = "csi-vfs"
    settings = VFSSettings
    capabilities: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys((*PLUGIN_CAPABILITIES, *CONTROLLER_CAPABILITIES, *GROUP_CAPABILITIES, *NODE_CAPABILITIES))
    )

    def __init__(self, settings: VFSSettings) -> None:
        self._settings = settings

    @classmethod
    def viable(cls) -> Viability:
        """Bind mounts are Linux's."""
        system = platform.system()
        return Viability(ok=system == "Linux", reason="" if system == "Linux" else f"needs Linux, this is {system}")

    def start(self) -> None:
        """Make the directories, and remove what an interrupted operation left."""
        from rexray_driver_csi_vfs.groups import GroupController
        from rexray_driver_csi_vfs.host import Host

        self._settings.check()
        self._host = Host(self._settings)
        self._host.prepare()
        GroupController(self._host).drop_interrupted()

    def services(self, wanted: Collection[str] = SERVICES) -> Mapping[str, object]:
        """All services of CSI but snapshot metadata, which is for block volumes; none of them costs anything."""
        from rexray_driver_csi_vfs.controller import Controller
        from rexray_driver_csi_vfs.groups import GroupController
        from rexray_driver_csi_vfs.identity import Identity
        from rexray_driver_csi_vfs.node import Node

        makers: Mapping[str, Callable[[], object]] = {
            "Identity": Identity,
            "Controller": lambda: Controller(self._host),
            "GroupController": lambda: GroupController(self._host),
            "Node": lambda: Node(self._host),
        }
        return {name: make() for name, make in makers.items() if name in wanted}
