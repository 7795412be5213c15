"""What a node driver is checked on: its class, its settings, and its platform with volumes for this host."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rexray.drivers import NodeDriver, OSDriver
from rexray.errors import RexrayError
from rexray.settings import Option, Sources
from rexray.testing.kit.check import Skipped, expect
from rexray.testing.kit.devices import DeviceContents
from rexray.testing.kit.driver_rig import HostRig
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.watching import secret_options
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, Directory, InstanceId, Volume

T = TypeVar("T")

_PAUSE = 0.05


class NodeRig(HostRig[NodeDriver]):
    """A node driver under test, on the host where its volumes are to show.

    ``driver`` is its class; ``sources`` configure it. ``storage`` is the rig of the same platform's storage driver,
    which makes volumes and attaches them to this host. ``os`` locates devices that the node driver gives by what they
    are found by. ``devices`` reads and writes devices where that can be done. ``stall`` gives a block in which the
    attached volume's device cannot appear. ``deadline`` is how many seconds a device may take to appear, ``slack`` by
    how many a call may outlast its deadline, on a host that is busy.

    It is a context manager: what the checks connected is disconnected at its end, and the storage rig tidied up.
    """

    def __init__(
        self,
        driver: type[NodeDriver],
        sources: Sources,
        storage: StorageRig,
        *,
        os: OSDriver | None = None,
        devices: DeviceContents | None = None,
        stall: Callable[[Attachment], AbstractContextManager[object]] | None = None,
        deadline: float = 20.0,
        slack: float = 5.0,
        patience: float = 120.0,
    ) -> None:
        super().__init__(driver, sources, patience, slack)
        self.storage = storage
        self.deadline = deadline
        self._os = os
        self._devices = devices
        self._stall = stall
        self._attached: list[Attachment] = []

    def restarted(self, sources: Sources | None = None) -> NodeDriver:
        """Another one, with the same settings if no others are given: as after a restart of the process."""
        return self.target.make(self.sources if sources is None else sources)

    @property
    def here(self) -> InstanceId:
        """This host's id; the platform knows the host from now on."""
        return self.driver.instance().id

    def elsewhere(self) -> InstanceId:
        """Another instance that has volumes of the same kind; the check is skipped where there is none."""
        here = self.here
        others = [instance for instance in self.storage.driver.instances() if instance.id != here]
        mine = [instance for instance in self.storage.driver.instances() if instance.id == here]
        near = [instance for instance in others if not mine or instance.zone == mine[0].zone]
        if not near:
            raise Skipped("the platform has no other instance that could have this one's volumes")
        return near[0].id

    @property
    def devices(self) -> DeviceContents:
        """What reads and writes devices; the check is skipped where nothing does."""
        if self._devices is None:
            raise Skipped("nothing is given that reads and writes devices")
        return self._devices

    def stalled(self, attachment: Attachment) -> AbstractContextManager[object]:
        """A block in which the volume's device cannot appear; the check is skipped where that cannot be had."""
        if self._stall is None:
            raise Skipped("nothing is given that keeps a device from appearing")
        return self._stall(attachment)

    def attach(self, volume: Volume | None = None, **arguments: Any) -> Attachment:
        """That or a new volume's attachment to this host, by the name that the node driver proposes."""
        here = self.here
        volume = volume or self.storage.create()
        if "device" not in arguments:
            arguments["device"] = self.driver.next_device()
        attachment = self.storage.driver.attach(volume.id, here, **arguments)
        self._attached.append(attachment)
        return attachment

    def connect(self, attachment: Attachment, driver: NodeDriver | None = None) -> Device | Directory:
        """What :meth:`NodeDriver.connect` says, with the device's node where the device was given without one."""
        return self.locate((driver or self.driver).connect(attachment, deadline=self.deadline))

    def locate(self, found: Device | Directory, deadline: float | None = None) -> Device | Directory:
        """The same with the device's node, once that is there; skipped where nothing is given that finds it."""
        if isinstance(found, Directory) or found.path != Path():
            return found
        if self._os is None:
            raise Skipped("no OS driver is given that finds the device by its identity")
        return self._os.locate(found, deadline=self.deadline if deadline is None else deadline)

    def device(self, attachment: Attachment, driver: NodeDriver | None = None) -> Device:
        """The connected volume's device; the check is skipped for a directory."""
        found = self.connect(attachment, driver)
        if isinstance(found, Directory):
            raise Skipped("the platform's volumes are directories and no devices")
        return found

    def entries(self, attachment: Attachment, driver: NodeDriver | None = None) -> list[BlockDevice]:
        """The entries of the volume in the node driver's map of devices."""
        return [entry for entry in (driver or self.driver).devices() if entry.volume_id == attachment.volume_id]

    def eventually(self, holds: Callable[[], object], message: str) -> None:
        """Fail unless it holds within the deadline: a platform takes a device away a moment after it says so."""
        until = time.monotonic() + self.deadline
        while not holds():
            expect(time.monotonic() < until, f"{message}, {self.deadline:g} s later still")
            time.sleep(_PAUSE)

    def secret_options(self) -> tuple[Option, ...]:
        """The secret settings of the driver; the check is skipped where there is none."""
        found = secret_options(self.target.settings)
        if not found:
            raise Skipped(f"{self.target.__name__} has no secret settings")
        return found

    def with_secrets(self, value: str) -> Sources:
        """The sources with every secret setting of the driver replaced; unset if the value is empty."""
        options = self.secret_options()
        names = {name for option in options for name in option.env}
        flags = {flag for option in options for flag in option.flags}
        keys = tuple(key.lower() for option in options for key in option.keys)
        fresh = {option.env[0]: value for option in options if value}
        return replace(
            self.sources,
            files=tuple(
                (path, {key: said for key, said in content.items() if not key.endswith(keys)})
                for path, content in self.sources.files
            ),
            environ={**{name: said for name, said in self.sources.environ.items() if name not in names}, **fresh},
            flags={flag: said for flag, said in self.sources.flags.items() if flag not in flags},
        )

    def tidy(self) -> None:
        """Disconnect what the checks attached, and remove what they made."""
        if self._attached:
            driver = self.restarted()
            for attachment in self._attached:
                with contextlib.suppress(RexrayError):  # detaching says what is wrong
                    driver.disconnect(attachment)
            self._attached.clear()
        self.storage.tidy()


def words_of(identity: DeviceIdentity) -> tuple[str, ...]:
    """The fields of an identity that are set."""
    values = (getattr(identity, field.name) for field in dataclasses.fields(identity))
    return tuple(value for value in values if value)


def place_of(found: Device | Directory) -> str:
    """Where a connected volume is, for comparison."""
    return found.source if isinstance(found, Directory) else str(found.path)
