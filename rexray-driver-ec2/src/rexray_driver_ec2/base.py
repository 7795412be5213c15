"""What every part of the storage driver has: EC2's API, what it knows, and who this host is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rexray.core_settings import CoreSettings
from rexray.errors import Forbidden, NotFound, Unavailable
from rexray.settings import Sources
from rexray.types import Volume, VolumeId
from rexray_driver_ec2.api import Api
from rexray_driver_ec2.describing import Describer
from rexray_driver_ec2.metadata import Host
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.words import CLONE, ENDED, PROVIDER, describe_volume, is_visible, name_tag

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SnapshotTypeDef, VolumeTypeDef


class Ec2Calls:
    """A driver of one region with one set of credentials. Nothing is asked of anybody before the first call."""

    def __init__(self, settings: Ec2Settings, *, remote: bool = False) -> None:
        settings.check()
        self._settings = settings
        self._host = Host(settings, remote=remote)
        self._api = Api(settings, self._host)
        self._describer = Describer(self._api, settings)
        self._elsewhere: dict[str, Describer] = {}

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it."""
        return cls(sources.load(Ec2Settings), remote=sources.load(CoreSettings).remote_management)

    @property
    def _here(self) -> str:
        """This host's instance id, empty where it is no instance."""
        try:
            return self._host.identity.instance_id
        except Unavailable:
            return ""

    def _tag(self, name: str) -> str:
        return name_tag(name, self._settings.tag)

    def _described(self, item: VolumeTypeDef) -> Volume:
        return describe_volume(item, tag=self._settings.tag, here=self._here)

    def _volume(self, volume_id: VolumeId) -> VolumeTypeDef:
        """The volume as it is now; ``NotFound`` if it does not exist, or is not this service's to see."""
        found = self._describer.volume(volume_id)
        if found is None or found["State"] in ENDED or not is_visible(found, self._settings.tag):
            raise self._unknown(volume_id)
        return found

    def _unknown(self, volume_id: str) -> NotFound:
        of = f" that is tagged {self._settings.tag!r}" if self._settings.tag else ""
        return NotFound(f"volume {volume_id!r}{of} does not exist in {PROVIDER} region {self._api.region!r}")

    def _refuse_foreign(self, volume_id: VolumeId) -> None:
        """``Forbidden`` for a volume that this service must not touch; without a tag it may touch every one."""
        if self._settings.tag:
            found = self._describer.volume(volume_id)
            if found is not None and not is_visible(found, self._settings.tag):
                raise Forbidden(f"volume {volume_id!r} is not tagged {self._settings.tag!r} (ec2.tag): it is another's")

    def _snapshot(self, snapshot_id: str) -> SnapshotTypeDef:
        """The snapshot as it is now; ``NotFound`` if it does not exist, or is not this service's to see."""
        found = self._describer.snapshot(snapshot_id)
        if found is None or not is_visible(found, self._settings.tag, own=CLONE):
            raise NotFound(f"snapshot {snapshot_id!r} does not exist in {PROVIDER} region {self._api.region!r}")
        return found
