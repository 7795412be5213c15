"""What a storage driver is checked on: its class, its settings, and what the kit makes and tidies up there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from rexray.drivers import StorageDriver
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.settings import Sources
from rexray.testing.kit.check import Skipped
from rexray.testing.kit.driver_rig import DriverRig
from rexray.testing.kit.made import Made
from rexray.testing.kit.runs import secret_values, together
from rexray.types import InstanceId, Snapshot, SnapshotGroup, Volume, VolumeId, VolumeSpec

GIB = 1 << 30

M = TypeVar("M")
T = TypeVar("T")

TROUBLES = ("unreachable", "hanging", "denied")
"""What settings can be given for: a platform that cannot be reached, one that never answers, wrong credentials."""


class Contents(Protocol):
    """Reads and writes a volume's data as a host that has it would; the volume may be attached or not."""

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        """Write the data there; it is on the platform when this returns."""

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        """Read that many bytes; what was never written is zeros."""


class StorageRig(DriverRig[StorageDriver]):
    """A storage driver under test.

    ``driver`` is its class; ``sources`` configure it, for this process and for others. ``hosts`` are instances that
    volumes can be attached to, by default those that the driver lists. ``size_bytes`` is what volumes are made with,
    ``step_bytes`` what they grow by, ``zone`` where they are made if the driver has to be told. ``troubles`` has
    sources for some of :data:`TROUBLES`. ``contents`` reads and writes volumes where that can be done.
    ``modification`` is what :class:`~rexray.mixins.Modify` can change of a volume, ``region`` where
    :class:`~rexray.mixins.SnapshotCopy` can copy to. ``patience`` is how many seconds one check may take, ``deadline``
    how many one call may take while the platform is in one of its troubles. ``too_large_bytes`` is a size that the
    platform cannot make, ``many`` how many volumes the checks of long lists make. ``calls`` tells how many calls the
    platform has got so far, where somebody counts them.

    It is a context manager: what the checks made, and nothing else, is removed at its end.
    """

    def __init__(
        self,
        driver: type[StorageDriver],
        sources: Sources,
        *,
        size_bytes: int = GIB,
        step_bytes: int = GIB,
        hosts: Sequence[str] = (),
        troubles: Mapping[str, Sources] | None = None,
        contents: Contents | None = None,
        modification: Mapping[str, str] | None = None,
        region: str = "",
        zone: str = "",
        patience: float = 120.0,
        deadline: float = 30.0,
        too_large_bytes: int = 1 << 66,
        many: int = 60,
        calls: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(driver, sources, patience)
        self.size_bytes = size_bytes
        self.step_bytes = step_bytes
        self.troubles = troubles or {}
        self.modification = modification or {}
        self.region = region
        self.zone = zone
        self.deadline = deadline
        self.too_large_bytes = too_large_bytes
        self.many = many
        self._hosts = tuple(InstanceId(host) for host in hosts)
        self._contents = contents
        self._calls = calls
        self._made = Made(self.restarted)

    def having(self, mixin: type[M]) -> M:
        """The driver as one that has a capability; the check is skipped if it does not declare it."""
        if not isinstance(self.driver, mixin):
            raise Skipped(f"{self.target.__name__} does not declare {mixin.__name__}")
        return self.driver

    def troubled(self, trouble: str) -> StorageDriver:
        """The driver with a platform in :data:`TROUBLES`; the check is skipped where no such settings are given."""
        if trouble not in self.troubles:
            raise Skipped(f"no settings are given for a platform that is {trouble}")
        return self.target.make(self.troubles[trouble])

    @property
    def contents(self) -> Contents:
        """What reads and writes volumes; the check is skipped where nothing does."""
        if self._contents is None:
            raise Skipped("nothing is given that reads and writes volumes")
        return self._contents

    @property
    def has_contents(self) -> bool:
        """Whether something reads and writes volumes."""
        return self._contents is not None

    def hosts(self, count: int) -> tuple[InstanceId, ...]:
        """So many different instances that volumes can be attached to; the check is skipped where they are fewer."""
        if not self._hosts:
            self._hosts = tuple(instance.id for instance in self.driver.instances())
        if len(self._hosts) < count:
            raise Skipped(f"the platform has {len(self._hosts)} of the {count} instances that this takes")
        return self._hosts[:count]

    def secrets(self) -> tuple[str, ...]:
        """The values of the driver's secret settings that are set."""
        return secret_values(self.sources, [self.target.settings] if self.target.settings is not None else [])

    def calls(self) -> int:
        """How many calls the platform has got; the check is skipped where nobody counts them."""
        if self._calls is None:
            raise Skipped("nothing is given that counts the platform's calls")
        return self._calls()

    def name(self, ending: str = "") -> str:
        """A new name for a volume, a snapshot or a group; what gets it is removed at the end."""
        return self._made.name(ending)

    def claim(self, name: str) -> str:
        """Let what bears this name be removed at the end; it must have one of :meth:`name` in it."""
        return self._made.claim(name)

    def spec(self, name: str = "", **fields: Any) -> VolumeSpec:
        """A wish for a volume of the rig's size and of that or a new name."""
        return VolumeSpec(**{"name": name or self.name(), "size_bytes": self.size_bytes, "zone": self.zone, **fields})

    def create(self, name: str = "", **fields: Any) -> Volume:
        """A volume, made with the driver."""
        self._made.look_around()
        volume = self.driver.create(self.spec(name, **fields))
        self._made.keep(volume)
        return volume

    def snapshot(self, volume: Volume, name: str = "") -> Snapshot:
        """A snapshot of the volume."""
        return self.having(Snapshots).create_snapshot(volume.id, name or self.name("-s"))

    def group(self, volumes: Iterable[Volume], name: str = "") -> SnapshotGroup:
        """A group snapshot of the volumes."""
        taken = self.having(GroupSnapshots).create_snapshot_group(
            name or self.name("-g"), [volume.id for volume in volumes]
        )
        self.keep_group(taken)
        return taken

    def keep_group(self, group: SnapshotGroup) -> None:
        """Let the group be removed at the end."""
        self._made.keep_group(group)

    def named(self, name: str, driver: StorageDriver | None = None) -> list[Volume]:
        """The volumes of that name in the list of all."""
        return [volume for volume in (driver or self.driver).volumes() if volume.name == name]

    def holders(self, volume: Volume, driver: StorageDriver | None = None) -> set[InstanceId]:
        """The instances that have the volume, by its attachments."""
        return {attachment.instance_id for attachment in (driver or self.driver).attachments(volume.id)}

    def together(self, *calls: Callable[[], T]) -> list[T | Exception]:
        """What comes of calls that begin at the same moment, each in a thread: results and errors in their order."""
        return together(*calls)

    def tidy(self) -> None:
        """Remove what the checks made, and nothing else."""
        self._made.tidy()


def times(count: int, call: Callable[[], T]) -> list[T]:
    """What comes of the same call, made that many times."""
    return [call() for _ in range(count)]
