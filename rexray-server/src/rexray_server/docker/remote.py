"""The remote volume driver protocol: volumes for hosts whose agents do the device's and the mount's side themselves.

Its calls and fields are those of REX-Ray 0.2.0's ``DockerRemoteVolumeDriverModule``. The original answered errors as
``Error``, which no client of Docker's looks at, without escaping them; here they are Docker's ``Err``.
"""

from __future__ import annotations

from collections.abc import Mapping

from rexray.drivers import VolumeDriver
from rexray.errors import InvalidRequest
from rexray.types import InstanceId
from rexray_server.docker import wire
from rexray_server.docker.base import PluginApplication, name_of


class RemoteApplication(PluginApplication):
    """The remote protocol's endpoints: nothing is mounted, and the caller names the instance that it is about."""

    def __init__(self, driver: VolumeDriver) -> None:
        self._driver = driver
        methods = {
            "/RemoteVolumeDriver.Attach": self._attach,
            "/RemoteVolumeDriver.Create": self._create,
            "/RemoteVolumeDriver.Detach": self._detach,
            "/RemoteVolumeDriver.NetworkName": self._network_name,
            "/RemoteVolumeDriver.Remove": self._remove,
        }
        super().__init__("RemoteVolumeDriver", methods)

    def _create(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.create(name_of(call), call.options)
        return {}

    def _remove(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.remove(name_of(call))
        return {}

    def _attach(self, call: wire.Call) -> Mapping[str, object]:
        """A volume that another instance has is ``InUse``: the protocol has no word for taking it from there."""
        name, instance = name_of(call), _instance(call)
        self._driver.attach(name, instance)
        return self._network_name(call)

    def _detach(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.detach(name_of(call), _instance(call))
        return {}

    def _network_name(self, call: wire.Call) -> Mapping[str, object]:
        """What the agent finds the device by, empty while the volume is not attached to its instance."""
        return {"Networkname": self._driver.network_name(name_of(call), _instance(call))}


def _instance(call: wire.Call) -> InstanceId:
    if not call.instance_id:
        raise InvalidRequest("Instanceid is missing: say which instance is meant, by its id on the platform")
    return InstanceId(call.instance_id)
