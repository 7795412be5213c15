"""The storage driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest
from rexray.locks import Locks
from rexray.mixins import Clone, Encrypted, HasCapacity, HasPolicy, Topology
from rexray.settings import Sources
from rexray.types import Capacity, Volume, VolumeId, VolumeSpec
from rexray_driver_ec2.attaching import AttachCalls
from rexray_driver_ec2.changing import ChangeCalls
from rexray_driver_ec2.policy import document
from rexray_driver_ec2.rollback import RollbackCalls
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.slots import Slots
from rexray_driver_ec2.snapshots import SnapshotCalls
from rexray_driver_ec2.tokens import Tokens
from rexray_driver_ec2.viability import viability
from rexray_driver_ec2.wishes import CREATE_OPTIONS, DEFAULT_TYPE, LARGEST_GIB
from rexray_driver_ec2.words import GIB, PROVIDER, names_only

WAITERS = 10_000
"""Threads that wait for one name: who asks for the same gets the same answer, and the callers' pools limit them."""


class Ec2Storage(
    RollbackCalls,
    SnapshotCalls,
    AttachCalls,
    ChangeCalls,
    Clone,
    Encrypted,
    HasCapacity,
    HasPolicy,
    Topology,
    StorageDriver,
):
    """EBS volumes of one region. A volume's id is EC2's, its name its Name tag."""

    name = PROVIDER
    aliases = ("aws", "ebs")
    settings = Ec2Settings
    viable = staticmethod(viability)
    create_options = CREATE_OPTIONS

    def __init__(self, settings: Ec2Settings, *, remote: bool = False) -> None:
        super().__init__(settings, remote=remote)
        self._locks = Locks(waiters=WAITERS)
        self._slots = Slots(self._names_in_use, large=settings.use_large_device_range)
        self._tokens = Tokens()

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        """The least IAM policy that the configured operations need, as IAM takes it."""
        return document(sources)

    def create(self, spec: VolumeSpec) -> Volume:
        """As the contract says, for a wish that this class honours."""
        self.check_spec(spec)
        return super().create(spec)

    def volumes(self) -> Iterator[Volume]:
        """Every volume of the region that this service may see, by pages of hundreds."""
        return map(self._described, self._describer.volumes())

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._volume(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volumes of that name, of which EC2 may have several."""
        try:
            tag = self._tag(name)
        except InvalidRequest:  # EC2 cannot have it
            return iter(())
        return map(self._described, names_only(self._describer.volumes_named(tag)))

    def zones(self) -> tuple[str, ...]:
        """The zones of the region that are available to the account."""
        with self._api.calling("DescribeAvailabilityZones") as ec2:
            found = ec2.describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])
        return tuple(sorted(zone["ZoneName"] for zone in found["AvailabilityZones"]))

    def capacity(self, zone: str = "") -> Capacity:
        """As much as the largest volume of the default type: EC2 has no pool that could be full, only quotas."""
        largest = LARGEST_GIB[DEFAULT_TYPE] * GIB
        return Capacity(available_bytes=largest, largest_volume_bytes=largest)
