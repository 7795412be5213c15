"""Volumes whose filesystems stand still on this host while a snapshot of them is taken."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from rexray.deadlines import within
from rexray.errors import NotFound, Unsupported
from rexray.locks import Locks
from rexray.types import InstanceId, VolumeId
from rexray.volumes.platform import Platform
from rexray.volumes.preparing import working_on

log = logging.getLogger(__name__)

ASK_SECONDS = 30.0
"""How long a platform may take to say where a volume is attached."""
LOCK_SECONDS = 100.0
"""How long a snapshot waits for another one of the same volume."""


class QuietVolumes:
    """Freezes volumes wherever they are mounted here: all mounts of a filesystem stand still with the first.

    ``locks`` are those of the host: a snapshot that ends before another one of the same volume must not thaw it.
    """

    def __init__(self, platform: Platform, locks: Locks) -> None:
        self._platform = platform
        self._locks = locks

    @contextlib.contextmanager
    def hold(self, volume_ids: Collection[VolumeId], known: Mapping[VolumeId, Path] | None = None) -> Iterator[None]:
        """Freeze all of the volumes, and thaw them all whatever happens: in between is one moment for all of them.

        ``known`` has mount points of some of them; the others are looked for by their devices. One that is not
        mounted here for writing has nothing to hold up.
        """
        wanted = sorted(set(volume_ids))
        owner = f"Snapshot of {', '.join(map(repr, wanted))}"
        with (
            self._locks.hold(*map(_lock_of, wanted), owner=owner, timeout=LOCK_SECONDS),
            contextlib.ExitStack() as stack,
        ):
            for volume_id in wanted:
                target = (known or {}).get(volume_id) or self._mount_of(volume_id)
                if target is not None:
                    stack.enter_context(self._frozen(target))
            yield

    @contextlib.contextmanager
    def _frozen(self, target: Path) -> Iterator[None]:
        try:
            self._platform.os.freeze(target)
        except Unsupported as error:
            log.warning("a snapshot is taken as after a power failure: %s", error)
            yield
            return
        try:
            yield
        finally:
            self._platform.os.thaw(target)

    def _mount_of(self, volume_id: VolumeId) -> Path | None:
        """A mount through which the volume can be written to on this host."""
        if self._platform.remote:
            return None
        try:
            ask = functools.partial(self._platform.storage.attachments, volume_id, self._instance)
            attachments = within(ASK_SECONDS, working_on(volume_id), ask)
        except NotFound:
            return None
        if not attachments:
            return None
        seen = [device.device for device in self._platform.node.devices() if device.volume_id == volume_id]
        devices = seen or [attachment.device for attachment in attachments]  # the platform's word may be another name
        mounts = (mount for device in devices if device for mount in self._platform.os.mounts(source=device))
        return next((mount.path for mount in mounts if not mount.read_only), None)

    @functools.cached_property
    def _instance(self) -> InstanceId:
        return self._platform.node.instance().id


def _lock_of(volume_id: VolumeId) -> str:
    return "quiet-" + hashlib.sha256(volume_id.encode()).hexdigest()
