"""What checks of several modules need: ids of nothing, data to look for, and what can be told of an attachment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rexray.errors import Busy
from rexray.mixins import Snapshots
from rexray.testing.kit.check import Failed, expect
from rexray.testing.kit.rig import StorageRig
from rexray.types import Attachment, InstanceId, Snapshot, SnapshotId, Volume, VolumeId

T = TypeVar("T")

BLOCK = 4096
"""How many bytes are written at the beginning of a volume, in its middle and at its end."""
_PAUSE = 0.2


def gone_volume(rig: StorageRig) -> VolumeId:
    """An id that is right in its form and that no volume has: one had it, and was removed."""
    volume = rig.create()
    rig.driver.remove(volume.id)
    return volume.id


def gone_snapshot(rig: StorageRig) -> SnapshotId:
    """The same of a snapshot."""
    snapshot = rig.snapshot(rig.create())
    rig.having(Snapshots).remove_snapshot(snapshot.id)
    return snapshot.id


def nobody(rig: StorageRig) -> InstanceId:
    """What no instance is called."""
    return InstanceId(rig.name("-nobody"))


def facts(attachment: Attachment) -> tuple[str, str, str, str, bool]:
    """What of an attachment stays as it is while that lasts."""
    return (
        attachment.volume_id,
        attachment.instance_id,
        attachment.token,
        attachment.device,
        attachment.read_only,
    )


def names_instance(rig: StorageRig, text: str, instance_id: InstanceId) -> bool:
    """Whether a message has the instance's id, or the name that the platform lists it by."""
    names = [instance.name for instance in rig.driver.instances() if instance.id == instance_id]
    return any(word in text for word in (instance_id, *names) if word)


def at_one_moment(rig: StorageRig, what: str, *calls: Callable[[], T]) -> list[T]:
    """The results of calls that begin at the same moment; one that is ``Busy`` is made again, as that asks for."""
    results: list[T] = []
    for call, found in zip(calls, rig.together(*calls), strict=True):
        if isinstance(found, Busy):
            found = call()
        if isinstance(found, Exception):
            raise Failed(f"{what} beside others raised {type(found).__name__}: {found}") from found
        results.append(found)
    return results


def larger_than(rig: StorageRig, volume: Volume) -> int:
    """A size beyond the volume's, in bytes."""
    return volume.size_bytes + rig.step_bytes


def until_ready(rig: StorageRig, snapshot: Snapshot) -> Snapshot:
    """The snapshot once volumes can be made of it; that may take most of the rig's patience."""
    driver, seconds = rig.having(Snapshots), rig.patience * 0.8
    end = time.monotonic() + seconds
    while not snapshot.ready:
        if time.monotonic() >= end:
            raise Failed(
                f"snapshot {snapshot.id!r} is not ready after {seconds:g} s: its status is {snapshot.status!r}"
            )
        time.sleep(_PAUSE)
        found = list(driver.snapshots(snapshot_id=snapshot.id))
        expect(found, f"snapshot {snapshot.id!r}, which was not ready yet, is not listed any more")
        snapshot = found[0]
    return snapshot


def ready_snapshot(rig: StorageRig, volume: Volume) -> Snapshot:
    """A snapshot of the volume of which volumes can be made."""
    return until_ready(rig, rig.snapshot(volume))


def write(rig: StorageRig, volume: Volume, mark: bytes) -> None:
    """Fill the first, the middle and the last block of the volume with the one byte; skipped where nothing writes."""
    for offset in _places(volume):
        rig.contents.write(volume.id, offset, mark * BLOCK)


def mark(rig: StorageRig, volume: Volume, with_byte: bytes) -> None:
    """The same where something writes, and nothing where nothing does: for checks that are not of data alone."""
    if rig.has_contents:
        write(rig, volume, with_byte)


def expect_mark(rig: StorageRig, volume_id: VolumeId, of: Volume, with_byte: bytes, what: str) -> None:
    """Fail unless the volume has what :func:`mark` wrote, where it could."""
    if rig.has_contents:
        expect_data(rig, volume_id, of, with_byte, what)


def expect_data(rig: StorageRig, volume_id: VolumeId, of: Volume, mark: bytes, what: str) -> None:
    """Fail unless the volume has what :func:`write` wrote to a volume of the size of ``of``."""
    for offset in _places(of):
        found = rig.contents.read(volume_id, offset, BLOCK)
        expect(
            found == mark * BLOCK,
            f"{what}: at byte {offset} there is {found[:8]!r}…, where {(mark * 8)!r}… was expected",
        )


def _places(volume: Volume) -> tuple[int, int, int]:
    return (0, volume.size_bytes // 2 // BLOCK * BLOCK, volume.size_bytes - BLOCK)
