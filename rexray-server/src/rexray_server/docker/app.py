"""The Docker volume plug-in API v1.1 as a WSGI application over a volume driver."""

from __future__ import annotations

from collections.abc import Mapping

from rexray.drivers import VolumeDriver
from rexray.errors import RexrayError, TimedOut, Unavailable
from rexray.types import MountRequest
from rexray_server.docker import wire
from rexray_server.docker.base import PluginApplication, name_of
from rexray_server.docker.patience import Patience

ANONYMOUS = "docker"
"""The holder of a mount whose caller gives no ID, as Docker before 1.12 does."""

_LOCAL_SECONDS = 1.0
"""What is known on this host is known by then."""


class DockerApplication(PluginApplication):
    """Docker's endpoints. ``scope`` tells swarm whether a volume is the same on every node."""

    def __init__(self, driver: VolumeDriver, *, scope: str) -> None:
        self._driver = driver
        self._scope = scope
        self._platform, self._host = Patience(), Patience(_LOCAL_SECONDS)
        methods = {
            "/VolumeDriver.Capabilities": self._capabilities,
            "/VolumeDriver.Create": self._create,
            "/VolumeDriver.Get": self._get,
            "/VolumeDriver.List": self._list,
            "/VolumeDriver.Mount": self._mount,
            "/VolumeDriver.Path": self._path,
            "/VolumeDriver.Remove": self._remove,
            "/VolumeDriver.Unmount": self._unmount,
        }
        super().__init__("VolumeDriver", methods, instant=["/VolumeDriver.Capabilities"])

    def _capabilities(self, _: wire.Call) -> Mapping[str, object]:
        return {"Capabilities": {"Scope": self._scope}}

    def _create(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.create(name_of(call), call.options)
        return {}

    def _get(self, call: wire.Call) -> Mapping[str, object]:
        """A volume that is mounted here is one, whether the platform can tell more about it or not."""
        name = name_of(call)
        try:
            volume = self._platform.look(name, f"volume {name!r}", lambda: self._driver.get(name))
        except (TimedOut, Unavailable) as error:
            if mounted := self._mounted_here(name):
                return {"Volume": {"Name": name, "Mountpoint": mounted, "Status": {"error": str(error)}}}
            raise
        return {"Volume": wire.describe(volume, detailed=True)}

    def _mounted_here(self, name: str) -> str:
        """Where the volume is mounted, empty if this host knows nothing of that by itself."""
        try:
            return str(self._host.look(name, f"volume {name!r}", lambda: self._driver.path(name)) or "")
        except RexrayError:
            return ""

    def _list(self, _: wire.Call) -> Mapping[str, object]:
        return {"Volumes": [wire.describe(volume) for volume in self._driver.list()]}

    def _mount(self, call: wire.Call) -> Mapping[str, object]:
        mounted = self._driver.mount(MountRequest(name=name_of(call), holder=call.id or ANONYMOUS))
        return {"Mountpoint": str(mounted.path)}

    def _path(self, call: wire.Call) -> Mapping[str, object]:
        path = self._driver.path(name_of(call))
        return {"Mountpoint": str(path or "")}

    def _remove(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.remove(name_of(call))
        return {}

    def _unmount(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.unmount(name_of(call), call.id or ANONYMOUS)
        return {}
