"""Which attachments an orchestrator asked for on this host's controller: those are not ours to take away.

One empty file for each, ``<volume>/<instance>``, by the hashes of their ids.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from rexray.types import InstanceId, VolumeId


class Claims:
    """The claims below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, volume_id: VolumeId, instance_id: InstanceId) -> bool:
        """An orchestrator wants the attachment; False if that was known."""
        path = self._path(volume_id, instance_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def drop(self, volume_id: VolumeId, instance_id: InstanceId | None) -> None:
        """It wants the attachment no more, or none of the volume's."""
        if instance_id is None:
            shutil.rmtree(self._directory / _hash(volume_id), ignore_errors=True)
        else:
            self._path(volume_id, instance_id).unlink(missing_ok=True)

    def has(self, volume_id: VolumeId, instance_id: InstanceId) -> bool:
        """Whether an orchestrator wants the attachment."""
        return self._path(volume_id, instance_id).exists()

    def _path(self, volume_id: VolumeId, instance_id: InstanceId) -> Path:
        return self._directory / _hash(volume_id) / _hash(instance_id)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
