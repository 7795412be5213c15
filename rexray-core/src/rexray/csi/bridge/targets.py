"""The calls of CSI's Node service that show staged volumes at target paths."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol

import grpc

from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import words
from rexray.csi.bridge.nodecalls import NodeCalls
from rexray.csi.bridge.staged import Staged
from rexray.csi.mountgroup import give_to_group
from rexray.errors import AlreadyExists, InvalidRequest, NotReady
from rexray.mounts import MOUNT_FLAGS
from rexray.volumes.preparing import undone_on_error

Context = grpc.ServicerContext
_SINGLE_WRITER = words.Modes.SINGLE_NODE_SINGLE_WRITER
_GROUP_SECONDS = 60.0
"""How long giving a volume to a group may take for a caller without a deadline."""


class _HasDeadline(Protocol):
    def time_remaining(self) -> float | None: ...


class TargetCalls(NodeCalls):
    """A target is noted before it is bound, and forgotten after it has been removed."""

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest, context: Context) -> pb.NodePublishVolumeResponse:
        """Bind the staged filesystem, or the device node, at the target path, which is made."""
        volume_id = words.required(request.volume_id, "volume_id")
        target = words.path_of(request.target_path, "target_path")
        staging = words.path_of(request.staging_target_path, "staging_target_path")
        capability = words.capability_of(request)
        mode = int(capability.access_mode.mode)
        with self._staged.lock(volume_id, "NodePublishVolume", target):
            staged = self._staged.need(volume_id)
            _refuse_other_staging(staged, staging, capability)
            self._refuse_second_writer(staged, target, mode)
            read_only = request.readonly or words.reads_only(capability) or staged.record.read_only
            self._refuse_target(staged, target, read_only=read_only)
            source = self._source_of(staged, read_only=read_only)
            group = capability.mount.volume_mount_group
            if group and not read_only:
                self._give(source, group, context)
            flags = (*staged.record.mount_options, *words.mount_flags(capability))
            self._show(staged, source, target, mode, _of_a_bind(flags, read_only=read_only))
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest, _: Context) -> pb.NodeUnpublishVolumeResponse:
        """Undo that, and remove the target; not published is success, and touches nothing."""
        volume_id = words.required(request.volume_id, "volume_id")
        target = words.path_of(request.target_path, "target_path")
        with self._staged.lock(volume_id, "NodeUnpublishVolume", target):
            staged = self._staged.find(volume_id)
            if staged is not None and target in staged.paths:
                self._hide(staged, target)
        return pb.NodeUnpublishVolumeResponse()

    def _show(self, staged: Staged, source: Path, target: str, mode: int, options: tuple[str, ...]) -> None:
        fresh = target not in staged.targets
        was_mounted = self._os.mounted(Path(target))
        if fresh and was_mounted:
            # Only a mount of this very volume is taken for the target; anything else is refused before it is noted.
            self._os.bind(source, Path(target), options=options)
        made = not was_mounted and not os.path.lexists(target)
        self._staged.keep(staged.with_target(target, mode))
        faults.point("csi-publish-noted")

        def undo() -> None:
            if not was_mounted:
                self._os.unmount(Path(target))
            if made:
                _remove(target)
            self._staged.keep(staged)

        with undone_on_error(undo if fresh else lambda: None):
            self._os.bind(source, Path(target), options=options)

    def _hide(self, staged: Staged, target: str) -> None:
        """Unmount a target, remove it, and forget it; what is mounted there in place of an earlier boot's stays."""
        if target != staged.staging:
            if target in staged.targets:
                self._os.unmount(Path(target))
            faults.point("csi-unpublish-unmounted")
            if not self._os.mounted(Path(target)):
                _remove(target)
        self._staged.keep(staged.without_target(target))

    def _source_of(self, staged: Staged, *, read_only: bool) -> Path:
        """What is shown at a target: the staging path when it really is the mount, or the device."""
        if staged.access == "block":
            if read_only and not staged.record.read_only:
                raise InvalidRequest("readonly: a device is only read-only where ControllerPublishVolume made it so")
            return self._device(staged).path
        if not self._os.mounts(target=Path(staged.staging)):
            raise NotReady(f"nothing is mounted at {staged.staging}: NodeStageVolume comes first")
        return Path(staged.staging)

    def _give(self, root: Path, group: str, context: _HasDeadline) -> None:
        """Before the volume is shown: a walk through a large tree is asked to be ended, and done, later."""
        seconds = context.time_remaining()
        self._waiting.wait(
            f"{group}:{root}",
            lambda: give_to_group(root, group),
            seconds=_GROUP_SECONDS if seconds is None else seconds,
            action=f"volume_mount_group {group} of {root}",
        )

    def _refuse_target(self, staged: Staged, target: str, *, read_only: bool) -> None:
        volume_id = staged.record.volume_id
        self._staged.refuse_taken(target, volume_id)
        there = self._os.mounts(target=Path(target))
        same = target == staged.staging or (there and there == self._os.mounts(target=Path(staged.staging)))
        if same or target.startswith(staged.staging + "/"):
            raise InvalidRequest(f"target_path {target!r} is the staging path of volume {volume_id!r}, or inside of it")
        if target in staged.targets:
            for mount in there:
                if mount.read_only != read_only:
                    how = "read-only" if mount.read_only else "for writing"
                    raise AlreadyExists(f"volume {volume_id!r} is published at {target} {how}")

    def _refuse_second_writer(self, staged: Staged, target: str, mode: int) -> None:
        others = {path: other for path, other in self._live_targets(staged).items() if path != target}
        if others and (mode == _SINGLE_WRITER or _SINGLE_WRITER in others.values()):
            raise NotReady(f"volume {staged.record.volume_id!r} has a single writer at {', '.join(others)}")


def _refuse_other_staging(staged: Staged, staging: str, capability: pb.VolumeCapability) -> None:
    volume_id = staged.record.volume_id
    if staged.staging != staging:
        raise NotReady(f"volume {volume_id!r} is staged at {staged.staging}, not at {staging}")
    if staged.access != capability.WhichOneof("access_type"):
        raise InvalidRequest(f"volume {volume_id!r} is staged with access type {staged.access}")


def _of_a_bind(flags: tuple[str, ...], *, read_only: bool) -> tuple[str, ...]:
    """The flags that each mount has of its own; the others are the filesystem's, and were given when it was staged."""
    own = tuple(flag for flag in dict.fromkeys(flags) if flag in MOUNT_FLAGS and flag not in ("ro", "rw"))
    return (*own, "ro" if read_only else "rw")


def _remove(target: str) -> None:
    """Remove an unmounted target; files that were in it, or are by now, are somebody's and stay."""
    try:
        facts = os.lstat(target)
        if stat.S_ISDIR(facts.st_mode):
            os.rmdir(target)
        elif stat.S_ISREG(facts.st_mode) and not facts.st_size:
            os.unlink(target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
