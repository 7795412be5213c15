"""The CSI plug-in ``libstorage``: a storage driver's controller side and a node driver's node side as CSI services."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Self

from rexray.core_settings import CoreSettings
from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.errors import NotInstalled
from rexray.locks import Locks
from rexray.paths import Paths, find_paths
from rexray.registry import registry
from rexray.settings import Sources
from rexray.volumes.platform import Platform, find_service, os_name
from rexray.volumes.settings import VolumeSettings

if TYPE_CHECKING:
    from rexray.csi.bridge.quieting import Quiet
    from rexray.drivers import NodeDriver, OSDriver, StorageDriver, VolumeDriver


class Bridge(CSIPlugin):
    """Serves the configured storage driver or service; each half makes only the drivers that it needs."""

    name = "libstorage"
    docker_driver = "docker"

    def __init__(self, sources: Sources, paths: Paths | None = None) -> None:
        self._service = find_service(sources)
        self._sources = self._service.sources
        self._host_paths = paths or find_paths()
        self._paths = self._host_paths.of_service(self._service.name)
        self._settings = self._sources.load(VolumeSettings)
        self._storage: StorageDriver | None = None
        self._node: tuple[NodeDriver, OSDriver] | None = None

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The bridge to what the sources configure; ``NotInstalled`` says what to install."""
        try:
            return cls(sources)
        except NotInstalled as error:
            hint = "or set X_CSI_NATIVE=true to serve directories of this host (csi-vfs)"
            raise NotInstalled(f"CSI plug-in {cls.name!r} bridges to storage drivers: {error}; {hint}") from None

    @property
    def offered(self) -> tuple[str, ...]:
        """What the storage driver's mixins stand for."""
        from rexray.csi.bridge import abilities

        storage = self._storage_class
        plugin = abilities.of_plugin(storage, controller=True)
        controllers = (*abilities.of_controller(storage), *abilities.of_group_controller(storage))
        return tuple(dict.fromkeys((*plugin, *controllers, *abilities.NODE)))

    def storage(self) -> StorageDriver:
        """The storage driver, made when a controller first needs it: it holds credentials."""
        if self._storage is None:
            self._storage = self._storage_class.make(self._sources)
        return self._storage

    def node(self) -> tuple[NodeDriver, OSDriver]:
        """This host's drivers, made when the node side first needs them."""
        if self._node is None:
            node = registry().node_driver(self._service.driver).make(self._sources)
            self._node = node, registry().os_driver(os_name(self._sources)).make(self._sources)
        return self._node

    @property
    def _storage_class(self) -> type[StorageDriver]:
        return registry().storage_driver(self._service.driver)

    def _platform(self, storage: StorageDriver) -> Platform:
        node, os_driver = self.node()
        return Platform(
            storage=storage,
            node=node,
            make_os=lambda: os_driver,
            remote=self._sources.load(CoreSettings).remote_management,
            service=self._service.name,
        )

    def volume_driver(self) -> VolumeDriver:
        """The default volume driver over the same drivers."""
        from rexray.volumes.driver import DefaultVolumes

        return DefaultVolumes(self._settings, self._platform(self.storage()), self._host_paths)

    def services(self, wanted: Collection[str] = SERVICES) -> Mapping[str, object]:
        """The wanted services; a wrong setting of a driver that they need is an error here."""
        from rexray.csi.bridge.controller import Controller
        from rexray.csi.bridge.groups import GroupController
        from rexray.csi.bridge.identity import Identity
        from rexray.csi.bridge.node import Node
        from rexray.csi.bridge.quieting import not_here
        from rexray.mixins import GroupSnapshots

        found: dict[str, object] = {}
        storage = self.storage() if "Controller" in wanted else None
        if storage is not None:
            quiet = self._quiet(storage) if "Node" in wanted else not_here
            found["Controller"] = Controller(storage, self._settings, self._paths, quiet)
            if isinstance(storage, GroupSnapshots):
                found["GroupController"] = GroupController(storage, quiet)
        if "Node" in wanted:
            node, os_driver = self.node()
            found["Node"] = Node(node, os_driver, self._settings, self._paths, self._storage_class)
        found["Identity"] = Identity(self._storage_class, controller=storage is not None, service=self._service.name)
        return found

    def _quiet(self, storage: StorageDriver) -> Quiet:
        """A controller on a host that is a node as well can hold up what is written to its volumes there."""
        from rexray.csi.bridge.quieting import QuietHost
        from rexray.csi.bridge.staged import StagedVolumes
        from rexray.volumes.quiet import QuietVolumes

        node, os_driver = self.node()
        volumes = QuietVolumes(self._platform(storage), Locks(self._paths.run / "locks"))
        return QuietHost(volumes, StagedVolumes(self._paths, node.name), os_driver)
