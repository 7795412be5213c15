"""Mounting a storage platform's volume for its holders on this host: attach, connect, prepare, mount, and back."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rexray import faults, mounts
from rexray.deadlines import within
from rexray.errors import Busy, InUse, NotFound, NotReady, RexrayError, TimedOut, Unavailable
from rexray.locks import Locks
from rexray.names import file_key
from rexray.registry import registry
from rexray.state import Record
from rexray.types import Attachment, BlockDevice, Device, Directory, Instance, InstanceId, MountRequest, VolumeId
from rexray.volumes.claims import Claims
from rexray.volumes.mapping import block_devices
from rexray.volumes.platform import Platform
from rexray.volumes.preparing import GRACE_SECONDS, Preparer, undone_on_error, working_on
from rexray.volumes.settings import VolumeSettings

log = logging.getLogger(__name__)

_PASSING = (Busy, TimedOut, Unavailable)
"""Errors that the same call may not meet again."""
_ON_ITS_WAY = ("attaching", "busy", "detaching")
"""States of an attachment in which a device may be there, and gone a moment later."""


class BlockPublisher:
    """Publishes volumes of one platform at ``<mount root>/NAME``; the callers hold the volume's lock."""

    def __init__(
        self, platform: Platform, settings: VolumeSettings, mount_root: Path, locks: Locks, claims: Claims
    ) -> None:
        self._platform = platform
        self._claims = claims
        self._settings = settings
        self._mount_root = mount_root
        self._locks = locks

    @functools.cached_property
    def preparer(self) -> Preparer:
        """The steps from an attachment to a mounted filesystem."""
        return Preparer(
            self._platform.node, self._platform.os, self._locks, attach_timeout=self._settings.attach_timeout
        )

    @functools.cached_property
    def instance(self) -> Instance:
        """This host as the platform knows it; asked for once, when it is first needed."""
        return self._platform.node.instance()

    def target(self, record: Record) -> Path:
        """Where the volume is mounted when it is: where it was mounted, if the record says."""
        return Path(record.target) if record.target else self._mount_root / file_key(record.name)

    def is_published(self, record: Record) -> bool:
        """Whether something is mounted there, whatever the record says."""
        return mounts.is_mount_point(self.target(record))

    def adoptable(self) -> Iterator[Record]:
        """The volumes of this host whose devices are mounted below the mount root."""
        if self._platform.remote:
            return
        try:
            names = sorted(os.listdir(self._mount_root))
        except FileNotFoundError:
            return
        volumes = {device.device: device.volume_id for device in (self._devices() if names else ())}
        for name in names:
            for mount in self._platform.os.mounts(target=self._mount_root / name)[-1:]:
                if mount.source in volumes:
                    yield Record(name=name, volume_id=volumes[mount.source])

    def _devices(self) -> tuple[BlockDevice, ...]:
        """The devices of this host's volumes; only those that the node sees while the platform cannot be reached."""
        try:
            return within(
                self._settings.attach_timeout,
                "list the volumes of this host",
                lambda: block_devices(self._platform, self.instance),
            )
        except RexrayError as error:
            log.warning("the volumes of this host are not known from the platform: %s", error)
            return self._platform.node.devices()

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
        target, preparer = self.target(record), self.preparer  # what is not installed is said before anything is done
        with contextlib.ExitStack() as undo:
            undo.enter_context(undone_on_error(lambda: self._let_go(record)))
            attachment = self.attach(record, force=request.preempt or self._settings.preempt)
            faults.point("volume-attached")
            source = preparer.connect(attachment)
            faults.point("volume-connected")
            self._refuse_foreign_mount(target, source)
            undo.enter_context(undone_on_error(lambda: self._platform.os.unmount(target)))
            self._mount_root.mkdir(parents=True, exist_ok=True, mode=0o700)
            preparer.mount(
                source,
                target,
                fs_type=request.fs_type,
                default_fs_type=record.context.get("fstype", self._settings.fs_type),
                options=_options(record, request),
                overwrite=request.overwrite_fs,
            )
            if not self.is_published(record):
                raise NotReady(f"{target}: nothing is mounted there although the mount succeeded")
            self._make_root(target, read_only=request.read_only)
        return target

    def _refuse_foreign_mount(self, target: Path, source: Device | Directory) -> None:
        """What somebody else mounted at the path is not covered, and not unmounted either when the mount fails."""
        wanted = str(source.path) if isinstance(source, Device) else source.source
        for mount in self._platform.os.mounts(target=target):
            if mount.source != wanted:
                raise InUse(f"{target} has {mount.source} mounted, not {wanted}: unmount that first")

    def grow(self, record: Record) -> None:
        """Use all of a mounted volume that has grown: its device, then the filesystem on it."""
        source = self.preparer.connect(self._attachment(record) or self.attach(record))
        if isinstance(source, Device) and not record.read_only:
            self._platform.os.grow(source, self.target(record))

    def unpublish(self, record: Record) -> bool:
        """Unmount, disconnect and detach; what was attached before the mount stays so.

        False if something else on this host has the device mounted, such as a container or an orchestrator.
        """
        target = self.target(record)
        self.thaw(record)  # an unmounted filesystem that is frozen holds its device for ever
        self._platform.os.unmount(target)
        faults.point("volume-unmounted")
        _remove_mount_point(target)
        if self.is_published(record):
            raise NotReady(f"{target}: still mounted after it was unmounted")
        return self._let_go(record, connected=True)

    def _let_go(self, record: Record, *, connected: bool = False) -> bool:
        """Disconnect and detach, unless the volume was attached before; False while something else needs it.

        What was ``connected`` is disconnected even where the platform says that it was taken from here: a device that
        stays would be the next mount's, and is of no use any more.
        """
        if record.attached_before or self._claims.has(VolumeId(record.volume_id), self.instance.id):
            return True
        try:
            attachment = self._attachment(record)
            if attachment is not None:
                self.detach(record, attachment)
            elif connected:
                self.disconnect(record)
        except NotFound:  # somebody deleted the volume: there is nothing but the device to let go of
            if connected:
                with contextlib.suppress(RexrayError):
                    self.disconnect(record)
        except InUse:
            return False
        return True

    def disconnect(self, record: Record) -> None:
        """Take away what an attachment that the platform does not know of any more may have left on this host."""
        self.preparer.disconnect(Attachment(volume_id=VolumeId(record.volume_id), instance_id=self.instance.id))

    def thaw(self, record: Record) -> None:
        """End a freeze that an interrupted snapshot left, where the volume is mounted and can be frozen at all."""
        if self.is_published(record):
            with contextlib.suppress(RexrayError):
                self._platform.os.thaw(self.target(record))

    def attach(self, record: Record, *, force: bool = False) -> Attachment:
        """Attach to this host; attached here already, and nowhere else, is success.

        What is on its way is the driver's to wait for, and what other instances have as well is its to judge: ``InUse``
        unless the volume may have several.
        """
        found = self._attachment(record)
        stands = found is not None and found.status not in _ON_ITS_WAY
        if found is not None and stands and not self.is_shared(record):
            return found
        volume_id, here = VolumeId(record.volume_id), self.instance.id
        device = "" if stands else self._platform.node.next_device()
        attachment = within(
            self._settings.attach_timeout,
            working_on(volume_id),
            lambda: self._platform.storage.attach(volume_id, here, device=device, force=force),
            undo=None if stands else lambda _: self._platform.storage.detach(volume_id, here),
        )
        if not stands:
            registry().tell("rexray_volume_attached", driver=self._platform.storage.name, attachment=attachment)
        return attachment

    def is_shared(self, record: Record) -> bool:
        """Whether a volume that is attached here is attached to another instance as well."""
        return len(self._attachments(record, None)) > 1

    def detach(self, record: Record, attachment: Attachment, *, force: bool = False) -> None:
        """Disconnect the device and detach from this host; ``InUse`` while anything of it is mounted."""
        volume_id, here = VolumeId(record.volume_id), self.instance.id
        within(
            self._settings.attach_timeout + GRACE_SECONDS,
            working_on(volume_id),
            lambda: self._platform.node.disconnect(attachment),
        )
        faults.point("volume-disconnected")
        within(
            self._settings.attach_timeout,
            working_on(volume_id),
            lambda: self._platform.storage.detach(volume_id, here, force=force),
        )
        faults.point("volume-detached")
        event = {"name": record.name, "instance_id": self.instance.id}
        registry().tell("rexray_volume_detached", driver=self._platform.storage.name, **event)

    def _attachment(self, record: Record) -> Attachment | None:
        found = self._attachments(record, self.instance.id)
        return found[0] if found else None

    def _attachments(self, record: Record, instance_id: InstanceId | None) -> tuple[Attachment, ...]:
        volume_id = VolumeId(record.volume_id)
        ask = functools.partial(self._platform.storage.attachments, volume_id, instance_id)
        return within(self._settings.attach_timeout, working_on(volume_id), ask)

    def _make_root(self, target: Path, *, read_only: bool) -> None:
        """The directory inside the volume that callers get, where one is configured; no link leads out of it."""
        folder = target
        for part in self.visible(target).relative_to(target).parts:
            folder = folder / part
            if folder.is_symlink():
                raise NotReady(f"{folder} is a symbolic link, which rexray.volume.mount.rootPath does not follow")
            if not read_only and not folder.is_dir():
                folder.mkdir()
                folder.chmod(self._settings.file_mode)

    def visible(self, target: Path) -> Path:
        """What callers get of a mounted volume."""
        return target / self._settings.root_path.strip("/") if self._settings.root_path.strip("/") else target


def _remove_mount_point(target: Path) -> None:
    """Leave nothing to write to by mistake; what somebody wrote there already is theirs, and will be covered."""
    try:
        os.rmdir(target)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s stays after its volume was unmounted: %s", target, error.strerror)


def _options(record: Record, request: MountRequest) -> tuple[str, ...]:
    """The options of the volume itself, those of the request, and the request's access mode."""
    own = tuple(option for option in record.context.get("mountoptions", "").split(",") if option)
    return (*own, *request.mount_options, *(["ro"] if request.read_only else []))
