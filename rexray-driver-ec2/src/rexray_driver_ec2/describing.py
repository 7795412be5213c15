"""What EC2 knows, asked for in few calls: many callers' questions in one, by id or by name, lists by pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rexray.errors import RexrayError, TimedOut
from rexray_driver_ec2.api import Api
from rexray_driver_ec2.batching import Batcher
from rexray_driver_ec2.refusals import code_of, text_of
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.words import ENDED, NAME, name_pattern, tag_of

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import (
        FilterTypeDef,
        InstanceTypeDef,
        SnapshotTypeDef,
        VolumeModificationTypeDef,
        VolumeTypeDef,
    )

V = TypeVar("V")

MOST_IDS = 500
"""Ids in a call, as many as the EBS CSI driver puts there."""
MOST_VALUES = 200
"""Values of a filter, EC2's own limit."""
PAGE = 500
LONGEST_DELAY = 4.0

_ID = re.compile(r"(vol|snap|i)-([0-9a-f]{17}|[0-9a-f]{8})")


class Describer:
    """Questions to EC2 in one region. What does not exist is None or left out, and never an error."""

    def __init__(self, api: Api, settings: Ec2Settings, region: str = "") -> None:
        self._api = api
        self._settings = settings
        self._region = region
        self._volumes: Batcher[VolumeTypeDef] = Batcher(self._volumes_by_id, most=MOST_IDS)
        self._volumes_named: Batcher[list[VolumeTypeDef]] = Batcher(self._volumes_by_name, most=MOST_VALUES)
        self._snapshots: Batcher[SnapshotTypeDef] = Batcher(self._snapshots_by_id, most=MOST_IDS)
        self._snapshots_named: Batcher[list[SnapshotTypeDef]] = Batcher(self._snapshots_by_name, most=MOST_VALUES)
        self._instances: Batcher[InstanceTypeDef] = Batcher(self._instances_by_id, most=50)
        self._changes: Batcher[VolumeModificationTypeDef] = Batcher(self._changes_by_id, most=MOST_IDS)

    def volume(self, volume_id: str) -> VolumeTypeDef | None:
        """The volume of that id."""
        return self._volumes.get(volume_id) if is_id(volume_id, "vol") else None

    def volumes_named(self, tag: str) -> Sequence[VolumeTypeDef]:
        """The volumes whose Name tag that is, those that are being deleted left out."""
        return self._volumes_named.get(tag) or []

    def volumes(self, *, instance: str = "") -> Iterator[VolumeTypeDef]:
        """The volumes that this service may see, all of them or those of an instance, page by page."""
        filters = self._visible()
        if instance:
            filters.append({"Name": "attachment.instance-id", "Values": [instance]})
        yield from self._volume_pages(filters)

    def snapshot(self, snapshot_id: str) -> SnapshotTypeDef | None:
        """The snapshot of that id, which may be another account's."""
        return self._snapshots.get(snapshot_id) if is_id(snapshot_id, "snap") else None

    def snapshots_named(self, tag: str) -> Sequence[SnapshotTypeDef]:
        """The account's snapshots whose Name tag that is."""
        return self._snapshots_named.get(tag) or []

    def snapshots_tagged(self, key: str, value: str) -> Sequence[SnapshotTypeDef]:
        """The account's snapshots with that tag."""
        found = self._snapshot_pages([{"Name": f"tag:{key}", "Values": [name_pattern(value)]}])
        return [item for item in found if tag_of(item, key) == value]  # a compatible cloud may filter otherwise

    def snapshots(self, *, volume: str = "") -> Iterator[SnapshotTypeDef]:
        """The account's snapshots that this service may see, all of them or those of a volume, page by page."""
        filters = self._visible()
        if volume:
            filters.append({"Name": "volume-id", "Values": [volume]})
        yield from self._snapshot_pages(filters)

    def instance(self, instance_id: str) -> InstanceTypeDef | None:
        """The instance of that id."""
        return self._instances.get(instance_id) if is_id(instance_id, "i") else None

    def instances(self) -> Iterator[InstanceTypeDef]:
        """Every instance that volumes can be attached to, page by page."""
        alive: list[FilterTypeDef] = [
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
        ]
        with self._api.calling("DescribeInstances", region=self._region) as ec2:
            pages = ec2.get_paginator("describe_instances").paginate(Filters=alive, PaginationConfig={"PageSize": PAGE})
            for page in pages:
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def change(self, volume_id: str) -> VolumeModificationTypeDef | None:
        """The latest modification of a volume."""
        return self._changes.get(volume_id)

    def volumes_tagged(self, key: str, value: str) -> Sequence[VolumeTypeDef]:
        """The volumes with that tag, those that are being deleted left out."""
        found = self._volume_pages([{"Name": f"tag:{key}", "Values": [name_pattern(value)]}])
        return [item for item in found if tag_of(item, key) == value]

    def until(
        self,
        what: str,
        ask: Callable[[], V],
        done: Callable[[V], bool],
        *,
        limit: tuple[float, str] | None = None,
    ) -> V:
        """Ask again and again, at growing intervals, until the answer is ``done``; ``TimedOut`` after some time.

        ``what`` says what is waited for. ``limit`` is another time limit than usual, in seconds, and its setting.
        ``done`` may raise, which ends the waiting.
        """
        settings = self._settings
        delay, most = settings.status_initial_delay, None if limit else settings.status_max_attempts
        timeout, setting = limit or (settings.status_timeout, "ec2.statusTimeout")
        until = time.monotonic() + timeout
        asked = 0
        while True:
            left = until - time.monotonic()
            if left <= 0 or asked == most:
                raise TimedOut(f"{what}: not done within {timeout:g} s ({setting}) and {asked} looks at it")
            time.sleep(min(delay, left))
            answer = ask()
            asked += 1
            if done(answer):
                return answer
            delay = min(delay * 2, LONGEST_DELAY)

    def _visible(self) -> list[FilterTypeDef]:
        return (
            [{"Name": f"tag:{NAME}", "Values": [name_pattern(self._settings.tag) + "/*"]}] if self._settings.tag else []
        )

    def _volume_pages(self, filters: Sequence[FilterTypeDef]) -> Iterator[VolumeTypeDef]:
        with self._api.calling("DescribeVolumes", region=self._region) as ec2:
            pages = ec2.get_paginator("describe_volumes").paginate(
                **_filtered(filters), PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                yield from (item for item in page["Volumes"] if item.get("State") not in ENDED)

    def _snapshot_pages(self, filters: Sequence[FilterTypeDef]) -> Iterator[SnapshotTypeDef]:
        with self._api.calling("DescribeSnapshots", region=self._region) as ec2:
            pages = ec2.get_paginator("describe_snapshots").paginate(
                OwnerIds=["self"], **_filtered(filters), PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                yield from page["Snapshots"]

    def _volumes_by_id(self, ids: Collection[str]) -> Mapping[str, VolumeTypeDef]:
        def ask(some: list[str]) -> list[VolumeTypeDef]:
            with self._api.calling("DescribeVolumes", _shown(some), region=self._region) as ec2:
                return ec2.describe_volumes(VolumeIds=some)["Volumes"]

        return {item["VolumeId"]: item for item in _without_unknown(ids, ask)}

    def _snapshots_by_id(self, ids: Collection[str]) -> Mapping[str, SnapshotTypeDef]:
        def ask(some: list[str]) -> list[SnapshotTypeDef]:
            with self._api.calling("DescribeSnapshots", _shown(some), region=self._region) as ec2:
                return ec2.describe_snapshots(SnapshotIds=some)["Snapshots"]

        return {item["SnapshotId"]: item for item in _without_unknown(ids, ask)}

    def _instances_by_id(self, ids: Collection[str]) -> Mapping[str, InstanceTypeDef]:
        def ask(some: list[str]) -> list[InstanceTypeDef]:
            with self._api.calling("DescribeInstances", _shown(some), region=self._region) as ec2:
                found = ec2.describe_instances(InstanceIds=some)["Reservations"]
            return [item for reservation in found for item in reservation["Instances"]]

        return {item["InstanceId"]: item for item in _without_unknown(ids, ask)}

    def _changes_by_id(self, ids: Collection[str]) -> Mapping[str, VolumeModificationTypeDef]:
        """By filter, for an id that was never modified would be an error."""
        with self._api.calling("DescribeVolumesModifications", _shown(ids), region=self._region) as ec2:
            found: dict[str, VolumeModificationTypeDef] = {}
            for some in _parts(sorted(ids), MOST_VALUES):
                pages = ec2.get_paginator("describe_volumes_modifications").paginate(
                    Filters=[{"Name": "volume-id", "Values": some}]
                )
                for page in pages:
                    found.update((item["VolumeId"], item) for item in page["VolumesModifications"])
            return found

    def _volumes_by_name(self, tags: Collection[str]) -> Mapping[str, list[VolumeTypeDef]]:
        found: dict[str, list[VolumeTypeDef]] = {}
        for item in self._volume_pages(_named(tags)):
            found.setdefault(tag_of(item, NAME), []).append(item)
        return found

    def _snapshots_by_name(self, tags: Collection[str]) -> Mapping[str, list[SnapshotTypeDef]]:
        found: dict[str, list[SnapshotTypeDef]] = {}
        for item in self._snapshot_pages(_named(tags)):
            found.setdefault(tag_of(item, NAME), []).append(item)
        return found


def is_id(text: str, kind: str) -> bool:
    """Whether that can be an id of EC2's, of kind ``vol``, ``snap`` or ``i``: nothing else is worth a call."""
    return text.startswith(f"{kind}-") and _ID.fullmatch(text) is not None


def _filtered(filters: Sequence[FilterTypeDef]) -> dict[str, Any]:
    return {"Filters": filters} if filters else {}


def _named(tags: Collection[str]) -> list[FilterTypeDef]:
    return [{"Name": f"tag:{NAME}", "Values": [name_pattern(tag) for tag in sorted(tags)]}]


def _shown(ids: Collection[str]) -> str:
    return next(iter(ids)) if len(ids) == 1 else ""


def _parts(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _without_unknown(ids: Collection[str], ask: Callable[[list[str]], list[V]]) -> list[V]:
    """The things of those ids that exist: one that does not fails the whole call, whose error names it."""
    left = sorted(ids)
    while left:
        try:
            return ask(left)
        except RexrayError as error:
            code = code_of(error)
            if not code.endswith((".NotFound", ".Malformed")) and not code.startswith("InvalidParameter"):
                raise
            if len(left) == 1 and not code.endswith((".NotFound", ".Malformed")):
                raise
            unknown = set(_named_ids(text_of(error))) & set(left)
        if len(left) == 1:
            return []
        if not unknown or len(unknown) == len(left):  # the error does not say which
            middle = len(left) // 2
            return _without_unknown(left[:middle], ask) + _without_unknown(left[middle:], ask)
        left = [item for item in left if item not in unknown]
    return []


def _named_ids(text: str) -> Iterator[str]:
    return (match.group() for match in _ID.finditer(text))
