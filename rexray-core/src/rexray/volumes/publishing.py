"""Mounting a storage platform's volume for its holders on this host: attach, connect, prepare, mount, and back."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path

from rexray import faults, mounts
from rexray.errors import Busy, InUse, NotFound, NotReady, RexrayError, TimedOut, Unavailable
from rexray.locks import Locks
from rexray.registry import registry
from rexray.state import Record
from rexray.types import Attachment, Instance, MountRequest, VolumeId
from rexray.volumes.platform import Platform
from rexray.volumes.preparing import Preparer, ignore_in_use, undone_on_error
from rexray.volumes.settings import VolumeSettings

_PASSING = (Busy, TimedOut, Unavailable)
"""Errors that the same call may not meet again."""


class BlockPublisher:
    """Publishes volumes of one platform at ``<mount root>/NAME``; the callers hold the volume's lock."""

    def __init__(self, platform: Platform, settings: VolumeSettings, mount_root: Path, locks: Locks) -> None:
        self._platform = platform
        self._settings = settings
        self._mount_root = mount_root
        self.preparer = Preparer(platform.node, platform.os, locks, attach_timeout=settings.attach_timeout)

    @functools.cached_property
    def instance(self) -> Instance:
        """This host as the platform knows it; asked for once, when it is first needed."""
        return self._platform.node.instance()

    def target(self, name: str) -> Path:
        """Where a volume of that name is mounted when it is."""
        return self._mount_root / name

    def is_published(self, name: str) -> bool:
        """Whether something is mounted there, whatever a record says."""
        return mounts.is_mount_point(self.target(name))

    def mounted_names(self) -> list[str]:
        """The names under the mount root where something is mounted."""
        try:
            names = sorted(os.listdir(self._mount_root))
        except FileNotFoundError:
            return []
        return [name for name in names if self.is_published(name)]

    def is_attached_here(self, record: Record) -> bool:
        """Whether the volume is attached to this host already."""
        return self._attachment(record) is not None

    def publish(self, record: Record, request: MountRequest) -> Path:
        """Attach and mount, trying again as often as the settings say when the reason may pass."""
        for tries_left in range(self._settings.retry_count, -1, -1):
            try:
                return self._publish(record, request)
            except _PASSING:
                if not tries_left:
                    raise
                time.sleep(self._settings.retry_wait)
        raise AssertionError("unreachable")

    def _publish(self, record: Record, request: MountRequest) -> Path:
        target = self.target(record.name)
        options = _options(record, request)
        with undone_on_error(lambda: self._take_back(record)):
            attachment = self.attach(record, force=request.preempt or self._settings.preempt)
            faults.point("volume-attached")
            source = self.preparer.connect(attachment)
            faults.point("volume-connected")
            self._mount_root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.preparer.mount(
                source,
                target,
                fs_type=request.fs_type,
                default_fs_type=record.context.get("fstype", self._settings.fs_type),
                options=options,
                overwrite=request.overwrite_fs,
            )
            if not self.is_published(record.name):
                raise NotReady(f"{target}: nothing is mounted there although the mount succeeded")
            self._make_root(target, read_only=request.read_only)
        return target

    def unpublish(self, record: Record) -> bool:
        """Unmount, disconnect and detach; what was attached before the mount stays so.

        False if something else on this host has the device mounted, such as a container or an orchestrator.
        """
        target = self.target(record.name)
        self.thaw(record.name)  # an unmounted filesystem that is frozen holds its device for ever
        self._platform.os.unmount(target)
        faults.point("volume-unmounted")
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(target)  # what is written to an unmounted volume's path must not vanish below the next mount
        if self.is_published(record.name):
            raise NotReady(f"{target}: still mounted after it was unmounted")
        if record.attached_before:
            return True
        try:
            attachment = self._attachment(record)
        except NotFound:
            return True  # somebody deleted the volume: there is nothing to let go of
        if attachment is not None:
            try:
                self.detach(record, attachment)
            except InUse:
                return False
        return True

    def thaw(self, name: str) -> None:
        """End a freeze that an interrupted snapshot left, where the volume is mounted and can be frozen at all."""
        if self.is_published(name):
            with contextlib.suppress(RexrayError):
                self._platform.os.thaw(self.target(name))

    def attach(self, record: Record, *, force: bool = False) -> Attachment:
        """Attach to this host; attached here already is success."""
        found = self._attachment(record)
        if found is not None:
            return found
        attachment = self._platform.storage.attach(
            VolumeId(record.volume_id), self.instance.id, device=self._platform.node.next_device(), force=force
        )
        registry().tell("rexray_volume_attached", driver=self._platform.storage.name, attachment=attachment)
        return attachment

    def detach(self, record: Record, attachment: Attachment, *, force: bool = False) -> None:
        """Disconnect the device and detach from this host; ``InUse`` while anything of it is mounted."""
        self.preparer.disconnect(attachment)
        faults.point("volume-disconnected")
        self._platform.storage.detach(VolumeId(record.volume_id), self.instance.id, force=force)
        faults.point("volume-detached")
        event = {"name": record.name, "instance_id": self.instance.id}
        registry().tell("rexray_volume_detached", driver=self._platform.storage.name, **event)

    def _attachment(self, record: Record) -> Attachment | None:
        here = self._platform.storage.attachments(VolumeId(record.volume_id), self.instance.id)
        return here[0] if here else None

    def _take_back(self, record: Record) -> None:
        with contextlib.suppress(RexrayError):
            self._platform.os.unmount(self.target(record.name))
        ignore_in_use(lambda: self.unpublish(record))

    def _make_root(self, target: Path, *, read_only: bool) -> None:
        """The directory inside the volume that callers get, where one is configured."""
        root = self.visible(target)
        if root != target and not read_only and not root.is_dir():
            root.mkdir(parents=True)
            root.chmod(self._settings.file_mode)

    def visible(self, target: Path) -> Path:
        """What callers get of a mounted volume."""
        return target / self._settings.root_path.strip("/") if self._settings.root_path.strip("/") else target


def _options(record: Record, request: MountRequest) -> tuple[str, ...]:
    """The options of the volume itself, those of the request, and the request's access mode."""
    own = tuple(option for option in record.context.get("mountoptions", "").split(",") if option)
    return (*own, *request.mount_options, *(["ro"] if request.read_only else []))
