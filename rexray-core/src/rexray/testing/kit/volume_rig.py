"""What a volume driver is checked on: its class, what configures it, and what the kit makes and tidies up there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rexray.drivers import VolumeDriver
from rexray.errors import NotFound, RexrayError, Unsupported
from rexray.settings import Sources
from rexray.testing.kit.check import Skipped
from rexray.testing.kit.driver_rig import DriverRig
from rexray.testing.kit.rig import TROUBLES
from rexray.testing.kit.runs import Names, secret_values, together
from rexray.types import SHELL_HOLDER, MountPoint, MountRequest, Volume

M = TypeVar("M")
T = TypeVar("T")


class VolumeRig(DriverRig[VolumeDriver]):
    """A volume driver under test, with the drivers that it composes.

    ``driver`` is its class; ``sources`` configure it and those below it, for this process and for others. ``composed``
    are the settings classes of those below it, whose secrets it must keep too. ``options`` is what volumes are
    created with, ``different`` options that make another volume than those do. ``files`` says that what it mounts is
    seen by this process, which may write there, as root on a real kernel; ``other_filesystem`` is a filesystem that its
    volumes do not have. ``troubles`` has sources for some of :data:`~rexray.testing.kit.rig.TROUBLES`. ``patience`` is
    how many seconds one check may take.

    It is a context manager: what the checks made, and nothing else, is removed at its end.
    """

    def __init__(
        self,
        driver: type[VolumeDriver],
        sources: Sources,
        *,
        composed: Sequence[type] = (),
        options: Mapping[str, str] | None = None,
        different: Mapping[str, str] | None = None,
        files: bool = False,
        other_filesystem: str = "",
        troubles: Mapping[str, Sources] | None = None,
        patience: float = 120.0,
    ) -> None:
        super().__init__(driver, sources, patience)
        self.options = options or {}
        self._composed = composed
        self._different = different or {}
        self._files = files
        self._other_filesystem = other_filesystem
        self._troubles = troubles or {}
        self._names = Names()
        self._holders = Names()

    def offering(self, mixin: type[M]) -> M:
        """What offers a capability; the check is skipped where nothing does."""
        try:
            return self.driver.capability(mixin)
        except Unsupported as error:
            raise Skipped(str(error)) from None

    def troubled(self, trouble: str) -> VolumeDriver:
        """The driver over a platform in such trouble; the check is skipped where no such settings are given."""
        if trouble not in TROUBLES:
            raise ValueError(trouble)
        if trouble not in self._troubles:
            raise Skipped(f"no settings are given for a platform that is {trouble}")
        return self.target.make(self._troubles[trouble])

    @property
    def different(self) -> Mapping[str, str]:
        """Options that make another volume; the check is skipped where none are given."""
        if not self._different:
            raise Skipped("no options are given that make a volume differ")
        return {**self.options, **self._different}

    @property
    def other_filesystem(self) -> str:
        """A filesystem that the volumes do not have; the check is skipped where none is given."""
        if not self._other_filesystem:
            raise Skipped("no filesystem is given that volumes do not have")
        return self._other_filesystem

    def need_files(self) -> None:
        """Skip the check where what is mounted cannot be seen by this process."""
        if not self._files:
            raise Skipped("what the driver mounts cannot be seen here")

    def need_idle_host(self) -> None:
        """Skip the check where volumes are mounted that are not the kit's."""
        others = [volume.name for volume in self.driver.list() if mount_points(volume)]
        if others:
            raise Skipped(f"{', '.join(others)} is mounted here, which the check would unmount")

    def secrets(self) -> tuple[str, ...]:
        """The secrets that are set; the check is skipped where none are."""
        classes = [each for each in (self.target.settings, *self._composed) if each is not None]
        found = secret_values(self.sources, classes)
        if not found:
            raise Skipped("no secret settings are set")
        return found

    def name(self, ending: str = "") -> str:
        """A new name for a volume; what gets it is removed at the end."""
        return self._names.new(ending)

    def missing(self) -> str:
        """A name that no volume has, or gets."""
        return self._names.unused("-missing")

    def claim(self, name: str) -> str:
        """Let what bears this name be removed at the end; it must begin as :meth:`name`'s do."""
        return self._names.claim(name)

    def holder(self) -> str:
        """A new holder's id; what it holds it lets go at the end."""
        return self._holders.new("-h")

    def create(self, name: str = "", **options: str) -> Volume:
        """A volume of that or a new name, made with the rig's options and these."""
        return self.driver.create(name or self.name(), {**self.options, **options})

    def request(self, name: str, holder: str = "", **fields: Any) -> MountRequest:
        """A wish to mount a volume for that or a new holder."""
        return MountRequest(name=name, holder=holder or self.holder(), **fields)

    def mount(self, name: str, holder: str = "", *, driver: VolumeDriver | None = None, **fields: Any) -> MountPoint:
        """Mount a volume for that or a new holder."""
        return (driver or self.driver).mount(self.request(name, holder, **fields))

    def listed(self, name: str, driver: VolumeDriver | None = None) -> list[Volume]:
        """The volumes of that name in the list of all."""
        return [volume for volume in (driver or self.driver).list() if volume.name == name]

    def together(self, *calls: Callable[[], T]) -> list[T | Exception]:
        """What comes of calls that begin at the same moment."""
        return together(*calls)

    def tidy(self) -> None:
        """Let all holders go, detach and remove what the checks made."""
        names = self._names.given()
        if not names:
            return
        driver = self.restarted()
        here = driver.instance_id()
        for name in names:
            for holder in (*self._holders.given(), SHELL_HOLDER):
                with contextlib.suppress(RexrayError):  # the removal says what is wrong
                    driver.unmount(name, holder)
            with contextlib.suppress(RexrayError):
                driver.detach(name, here)
            with contextlib.suppress(NotFound):
                driver.remove(name)
        self._names.clear()
        self._holders.clear()


def mount_points(volume: Volume) -> set[Path]:
    """Where a volume is mounted, by its attachments."""
    return {Path(attachment.mount_point) for attachment in volume.attachments if attachment.mount_point}
