"""From an attachment to a mounted filesystem on this host, and back: the steps that Docker, CSI and the shell share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from rexray import faults
from rexray.deadlines import within
from rexray.drivers import NodeDriver, OSDriver
from rexray.errors import AlreadyExists, InUse, NotReady, RexrayError, Unsupported, WrongDevice
from rexray.locks import Locks
from rexray.types import Attachment, Device, Directory, MountPoint

log = logging.getLogger(__name__)

LOCK_SECONDS = 60.0
"""How long a mount waits for another one of the same device."""

GRACE_SECONDS = 1.0
"""How much longer than its own deadline a driver's call may take before it is left behind."""

FILESYSTEMS = frozenset({"btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "ntfs", "udf", "vfat", "xfs"})
"""What is mounted when a probe finds it; anything else that it finds, such as ``crypto_LUKS``, is left alone."""


class Preparer:
    """Makes attached volumes usable on this host. Every method is idempotent."""

    def __init__(self, node: NodeDriver, os_driver: OSDriver, locks: Locks, *, attach_timeout: float) -> None:
        self._node = node
        self._os = os_driver
        self._locks = locks
        self._attach_timeout = attach_timeout

    def connect(self, attachment: Attachment) -> Device | Directory:
        """The device or directory of an attached volume, verified to be the volume's."""
        source = within(
            self._attach_timeout + GRACE_SECONDS,
            working_on(attachment.volume_id),
            lambda: self._node.connect(attachment, deadline=self._attach_timeout),
            undo=lambda _: self._node.disconnect(attachment),
        )
        if isinstance(source, Directory):
            return source
        return self._os.locate(source, deadline=self._attach_timeout)

    def disconnect(self, attachment: Attachment) -> None:
        """Undo :meth:`connect`; ``InUse`` while the device is mounted anywhere."""
        seconds = self._attach_timeout + GRACE_SECONDS
        within(seconds, working_on(attachment.volume_id), lambda: self._node.disconnect(attachment))

    def mount(
        self,
        source: Device | Directory,
        target: Path,
        *,
        fs_type: str,
        default_fs_type: str,
        options: tuple[str, ...] = (),
        overwrite: bool = False,
    ) -> MountPoint:
        """Mount the source, with a filesystem made first when the device is proven blank.

        ``fs_type`` is what the caller insists on: another filesystem on the device is ``AlreadyExists``. Empty, any
        filesystem is mounted, and a blank device gets the default one. ``overwrite`` makes it in any case.
        """
        if isinstance(source, Directory):
            return self._os.mount(source, target, fs_type=source.fs_type, options=options)
        if self._os.mounts(target=target):
            return self._os.mount(source, target, fs_type=fs_type, options=options)
        with self._locks.hold(source.path.name, owner=f"mount at {target}", timeout=LOCK_SECONDS):
            # Docker and an orchestrator may want one volume at once, and only one of them may find it blank.
            found = self._filesystem(source, fs_type, default_fs_type, options=options, overwrite=overwrite)
            faults.point("volume-formatted")
            mounted = self._os.mount(source, target, fs_type=found, options=options)
        faults.point("volume-mounted")
        if "ro" not in options:
            self._grow(source, target)
        return mounted

    def _grow(self, device: Device, target: Path) -> None:
        """Use all of a device that has grown; a filesystem that cannot, keeps its size and its data are there."""
        try:
            self._os.grow(device, target)
        except Unsupported:
            return
        except WrongDevice:
            self._os.unmount(target)
            raise
        except RexrayError as error:
            log.warning("%s keeps its size: %s", target, error)

    def _filesystem(
        self, device: Device, fs_type: str, default: str, *, options: tuple[str, ...], overwrite: bool
    ) -> str:
        """The filesystem on the device, made if there is none."""
        found = "" if overwrite else self._os.probe(device)
        if not found:
            if "ro" in options:
                raise NotReady(f"{device.path}: it is blank, and mounted read-only it would stay so")
            faults.point("volume-probed")
            self._os.format(device, fs_type or default, overwrite=overwrite)
            return fs_type or default
        if found not in FILESYSTEMS:
            raise AlreadyExists(f"{device.path}: it holds {found}, no filesystem to mount; nothing was changed")
        if fs_type and found != fs_type:
            raise AlreadyExists(f"{device.path}: it holds {found}, not {fs_type} as asked; nothing was changed")
        return found


def working_on(volume_id: str) -> str:
    """What a call to a driver does, in words: one volume's calls take turns, and a hung one holds up the next ones."""
    return f"work on volume {volume_id!r}"


@contextlib.contextmanager
def undone_on_error(undo: Callable[[], object]) -> Iterator[None]:
    """Undo a step when a later one fails; that the undoing fails too is logged, for the first error is told."""
    try:
        yield
    except BaseException:
        try:
            undo()
        except (RexrayError, OSError) as error:
            log.warning("undoing a failed mount: %s", error)
        raise


def ignore_in_use(step: Callable[[], object]) -> None:
    """Take a step back unless somebody else on this host still needs it: then it is theirs to take."""
    with contextlib.suppress(InUse):
        step()
