"""The contract of a native CSI plug-in: a CSI service in Python that the server hosts as it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from rexray.drivers import Driver, VolumeDriver

SERVICES = ("Identity", "Controller", "GroupController", "Node", "SnapshotMetadata")
"""The services of CSI v1, by the names that the specification gives them."""


class CSIPlugin(Driver):
    """A native CSI plug-in.

    The constructor takes an instance of the class's ``settings`` and is free of effects; :meth:`start` comes
    before the first call and may create directories and repair what a crash left.
    """

    capabilities: ClassVar[tuple[str, ...]] = ()
    """The capabilities that its services report, by their names in ``csi.proto``; ``driver ls`` prints them."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The capabilities of this instance, where they depend on how it is configured."""
        return self.capabilities

    def volume_driver(self) -> VolumeDriver | None:
        """What serves Docker beside this plug-in; None, and the volume driver ``csi`` does, through its services."""
        return None

    docker_driver: ClassVar[str] = "csi"
    """The name of the volume driver that serves Docker beside it."""

    @abstractmethod
    def services(self, wanted: Collection[str] = SERVICES) -> Mapping[str, object]:
        """An object for each of :data:`SERVICES` that the plug-in has and that is wanted.

        A service object has a method for each call that it serves, by the call's name in ``csi.proto``, with the
        signature of a gRPC servicer: ``CreateVolume(request, context) -> CreateVolumeResponse``. It may be an
        instance of a generated servicer class. Methods raise :class:`~rexray.errors.RexrayError`, which the
        server translates (:mod:`rexray.csi.status`), or call ``context.abort``; a missing one is UNIMPLEMENTED.
        Calls come from many threads at once.
        """

    def start(self) -> None:
        """Make ready to serve."""

    def close(self) -> None:
        """Let go of what :meth:`start` took; mounts and data stay."""
