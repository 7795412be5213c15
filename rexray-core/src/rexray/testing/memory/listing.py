"""Looking volumes up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rexray.testing.memory.array import page
from rexray.testing.memory.base import StorageCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import VolumeRecord
from rexray.types import InstanceId, Volume, VolumeId


class ListCalls(StorageCalls):
    """``volumes``, ``volume``, ``volumes_named`` and ``attached`` of the contract."""

    def volumes(self) -> Iterator[Volume]:
        """Every volume, page by page, sorted by id."""
        return self._listed("volumes", None)

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        """The volumes that are attached to the instance, page by page: the platform can filter by that."""
        return self._listed("attached", instance_id)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._ask("volume", lambda array: array.volume(volume_id)))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volume of that name, of which there is one at most."""
        found = self._ask("volumes_named", lambda array: array.volume_named(name))
        if found is not None:
            yield self._described(found)

    def _listed(self, call: str, instance_id: InstanceId | None) -> Iterator[Volume]:
        after: str | None = ""
        while after is not None:
            found = self._volume_page(call, after, instance_id)
            after = found[-1].id if len(found) == self._settings.page_size else None
            yield from map(self._described, found)

    def _volume_page(self, call: str, after: str, instance_id: InstanceId | None) -> Sequence[VolumeRecord]:
        def work(array: Array) -> Sequence[VolumeRecord]:
            known = array.state.volumes
            wanted = {key: item for key, item in known.items() if instance_id is None or instance_id in item.links}
            return page(wanted, after, self._settings.page_size)

        return self._ask(call, work)
