"""Drivers that lose what they were not asked to touch, and the check that finds each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broken_storage import memory_rig
from rexray.testing.kit.running import Result, run_all
from rexray.testing.kit.suites import STORAGE
from rexray.testing.memory.content import BLOCK
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, InstanceId, SnapshotId, Volume, VolumeId, VolumeSpec


class CopiesTheEnds(MemoryStorage):
    """Copies of volumes and of snapshots have the beginning and the end, and nothing between."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        if spec.source_volume or spec.source_snapshot:
            with self.platform.array() as array:
                record = array.state.volumes[volume.id]
                ends = ("0", str(record.size_bytes // BLOCK - 1))
                kept = {key: block for key, block in record.content.items() if key in ends}
                array.state.volumes[volume.id] = replace(record, content=kept)
        return volume


class MakesAnew(MemoryStorage):
    """A create that is said again makes the volume blank."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        if not (spec.source_volume or spec.source_snapshot):
            with self.platform.array() as array:
                array.state.volumes[volume.id] = replace(array.state.volumes[volume.id], content={})
        return volume


class LogsOutByForce(MemoryStorage):
    """``detach`` by force takes all volumes from the instance."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        super().detach(volume_id, instance_id, force=force)
        if force and instance_id:
            for volume in list(self.attached(instance_id)):
                super().detach(volume.id, instance_id)


class FencesByForce(MemoryStorage):
    """``attach`` by force takes all volumes from the instance that has the one."""

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        holders = [held.instance_id for held in self.attachments(volume_id)] if force else []
        for holder in holders:
            for volume in list(self.attached(holder)) if holder != instance_id else []:
                super().detach(volume.id, holder)
        return super().attach(volume_id, instance_id, device=device, read_only=read_only, force=force)


class SharesWithTheSnapshot(MemoryStorage):
    """What was made of a snapshot loses its data with that."""

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        super().remove_snapshot(snapshot_id)
        with self.platform.array() as array:
            for key, record in list(array.state.volumes.items()):
                if record.source_snapshot == snapshot_id:
                    array.state.volumes[key] = replace(record, content={})


class SharesWithTheSource(MemoryStorage):
    """What depends on a volume stays by its name, and loses its data with the volume."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(volume_id, force=force)
        with self.platform.array() as array:
            for key, record in list(array.state.volumes.items()):
                if record.source_volume == volume_id:
                    array.state.volumes[key] = replace(record, content={})
            for name, snapshot in list(array.state.snapshots.items()):
                if snapshot.volume_id == volume_id:
                    array.state.snapshots[name] = replace(snapshot, content={})


FOUND_BY = [
    (SharesWithTheSnapshot, "a_volume_outlives_the_snapshot_that_it_was_made_of"),
    (SharesWithTheSource, "a_clone_outlives_its_source"),
    (SharesWithTheSource, "a_snapshot_is_never_lost_with_its_volume"),
    (CopiesTheEnds, "a_clone_has_its_sources_data"),
    (CopiesTheEnds, "a_volume_of_a_snapshot_has_its_data"),
    (MakesAnew, "data_stays_while_a_volume_moves"),
    (LogsOutByForce, "detach_of_one_volume_leaves_the_others"),
    (FencesByForce, "attach_by_force_takes_the_volume_from_its_holder"),
]


def _result(driver: type[MemoryStorage], name: str, folder: Path) -> Result:
    (result,) = run_all([check for check in STORAGE.checks() if check.name == name], lambda: memory_rig(folder, driver))
    return result


@pytest.mark.parametrize(("driver", "name"), FOUND_BY)
def test_the_loss_is_found(driver: type[MemoryStorage], name: str, tmp_path: Path) -> None:
    assert _result(MemoryStorage, name, tmp_path / "healthy").outcome == "passed"
    result = _result(driver, name, tmp_path / "broken")
    assert result.outcome == "failed"
    assert "raised" not in result.reason
