"""Clones: EC2 makes a volume of a snapshot, so that a clone has one that is there only until it is made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import NotFound
from rexray.locks import Locks
from rexray.types import VolumeId
from rexray_driver_ec2.snapping import SnappingCalls
from rexray_driver_ec2.words import CLONE, SOURCE

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SnapshotTypeDef

FRESH_SECONDS = 300.0
"""How old a killed clone's snapshot may be for the next try to use it: later, the source has changed since."""
LOCK_SECONDS = 3600.0


class CloneCalls(SnappingCalls):
    """The snapshots that clones are made through, and one maker at a time for each name."""

    _locks: Locks

    def _making(self, tag: str) -> AbstractContextManager[None]:
        """Between the threads of this process; EC2's tokens, and the Name tag, are what holds between hosts."""
        return self._locks.hold(tag, owner=f"making {tag!r}", timeout=LOCK_SECONDS)

    def _clone_snapshot(self, source: VolumeId, tag: str) -> str:
        """A completed snapshot of the source that is only there until the clone is made."""
        for item in self._clone_snapshots(tag):
            age = (datetime.now(UTC) - item["StartTime"]).total_seconds()
            if item["VolumeId"] == source and item["State"] != "error" and age < FRESH_SECONDS:
                with suppress(NotFound):  # it is listed, and was deleted
                    return self._until_completed(item["SnapshotId"])["SnapshotId"]
        self._drop_clone_snapshots(tag)
        tags = {CLONE: tag, SOURCE: source}
        made = self._snap(source, tags, f"for a clone of {source}", lambda: self._clone_snapshots(tag))
        self._known(self._describer, made["SnapshotId"])
        faults.point("ec2-clone-snapshot")
        return self._until_completed(made["SnapshotId"])["SnapshotId"]

    def _clone_snapshots(self, tag: str) -> Sequence[SnapshotTypeDef]:
        return self._describer.snapshots_tagged(CLONE, tag)

    def _drop_clone_snapshots(self, tag: str) -> None:
        for item in self._clone_snapshots(tag):
            faults.point("ec2-clone-made")
            self._delete_snapshot(item["SnapshotId"])
