"""What the parts of the bridge's Node service share."""

from __future__ import annotations

import functools
from pathlib import Path

from rexray.csi.bridge import words
from rexray.csi.bridge.staged import Staged, StagedVolumes
from rexray.csi.bridge.waiting import Waiting
from rexray.drivers import NodeDriver, OSDriver
from rexray.errors import InvalidRequest
from rexray.locks import Locks
from rexray.paths import Paths
from rexray.types import Attachment, Device, Directory, Instance
from rexray.volumes.preparing import Preparer
from rexray.volumes.settings import VolumeSettings


class NodeCalls:
    """It needs no credentials: what it must know of an attachment is in the publish context."""

    def __init__(self, node: NodeDriver, os_driver: OSDriver, settings: VolumeSettings, paths: Paths) -> None:
        self._node = node
        self._os = os_driver
        self._settings = settings
        locks = Locks(paths.run / "device-locks")
        self._preparer = Preparer(node, os_driver, locks, attach_timeout=settings.attach_timeout)
        self._staged = StagedVolumes(paths, node.name)
        self._waiting = Waiting()

    @functools.cached_property
    def _instance(self) -> Instance:
        return self._node.instance()

    def _attachment(self, staged: Staged) -> Attachment:
        return words.attachment_of(staged.record.volume_id, self._instance, staged.publish_context)

    def _device(self, staged: Staged) -> Device:
        """The device of a staged volume, verified again to be its own."""
        source = self._preparer.connect(self._attachment(staged))
        if isinstance(source, Directory):
            raise InvalidRequest(f"volume {staged.record.volume_id!r} is a directory and has no device")
        return source

    def _live_targets(self, staged: Staged) -> dict[str, int]:
        """The targets where the volume is mounted, each with its access mode."""
        return {path: mode for path, mode in staged.targets.items() if self._os.mounted(Path(path))}
