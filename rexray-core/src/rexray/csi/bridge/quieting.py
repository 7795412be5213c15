"""Snapshots of volumes that are mounted on the very host that serves the Controller: their writes are held up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from rexray.csi.bridge.staged import StagedVolumes
from rexray.drivers import OSDriver
from rexray.types import VolumeId
from rexray.volumes.quiet import QuietVolumes

Quiet = Callable[[Collection[VolumeId], str], AbstractContextManager[None]]
"""Holds up the writes to volumes during the call of that name."""


def not_here(volume_ids: Collection[VolumeId], call: str) -> AbstractContextManager[None]:
    """For a controller beside no node: what is written elsewhere is not its to hold up."""
    return contextlib.nullcontext()


class QuietHost:
    """A :data:`Quiet` for this host's volumes, staged by an orchestrator or mounted by anybody else."""

    def __init__(self, volumes: QuietVolumes, staged: StagedVolumes, os_driver: OSDriver) -> None:
        self._volumes = volumes
        self._staged = staged
        self._os = os_driver

    @contextlib.contextmanager
    def __call__(self, volume_ids: Collection[VolumeId], call: str) -> Iterator[None]:
        """Nothing is unstaged meanwhile: an unmounted filesystem that is frozen holds its device for ever."""
        with self._staged.lock_all(volume_ids, call):
            known = {volume_id: path for volume_id in volume_ids if (path := self._staging_of(volume_id))}
            with self._volumes.hold(volume_ids, known):
                yield

    def _staging_of(self, volume_id: VolumeId) -> Path | None:
        staged = self._staged.find(volume_id)
        if staged is None or not staged.of_this_boot or staged.access != "mount" or staged.record.read_only:
            return None
        path = Path(staged.staging)
        return path if self._os.mounted(path) else None
