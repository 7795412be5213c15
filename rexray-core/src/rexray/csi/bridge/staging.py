"""The calls of CSI's Node service that stage attached volumes on this host, as filesystems or devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc

from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import words
from rexray.csi.bridge.staged import Staged
from rexray.csi.bridge.targets import TargetCalls
from rexray.errors import AlreadyExists, InUse
from rexray.mounts import split_options
from rexray.volumes.preparing import ignore_in_use, undone_on_error

Context = grpc.ServicerContext


class StagingCalls(TargetCalls):
    """A volume is noted before it is connected, and forgotten after it has been disconnected."""

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest, _: Context) -> pb.NodeStageVolumeResponse:
        """Connect the device; for a mount, make a filesystem where it is blank, and mount it at the staging path."""
        volume_id = words.required(request.volume_id, "volume_id")
        wanted = self._wanted(volume_id, request)
        default_fs_type = request.volume_context.get("fstype", self._settings.fs_type)
        with self._staged.lock(volume_id, "NodeStageVolume", wanted.staging):
            known = self._staged.find(volume_id)
            if known is not None and self._is_live(known):
                self._refuse_other(known, wanted)
                again = known.with_publish_context(request.publish_context)
                self._connect_and_mount(again, default_fs_type)
                self._staged.keep(again)
            else:
                self._stage(wanted, known, default_fs_type)
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest, _: Context) -> pb.NodeUnstageVolumeResponse:
        """Unmount and disconnect; not staged is success. The directory is the orchestrator's and stays.

        A volume has one staging path, and what is asked for any is done to that one unless it is in use.
        """
        volume_id = words.required(request.volume_id, "volume_id")
        staging = words.path_of(request.staging_target_path, "staging_target_path")
        with self._staged.lock(volume_id, "NodeUnstageVolume"):
            staged = self._staged.find(volume_id)
            if staged is None:
                return pb.NodeUnstageVolumeResponse()
            if live := self._live_targets(staged):
                if staged.staging != staging:
                    return pb.NodeUnstageVolumeResponse()
                raise InUse(f"volume {volume_id!r} is published at {', '.join(live)}: unpublish it first")
            self._take_back(staged)
        return pb.NodeUnstageVolumeResponse()

    def _wanted(self, volume_id: str, request: pb.NodeStageVolumeRequest) -> Staged:
        capability = words.capability_of(request)
        plan = self._staged.plan(
            volume_id,
            request.publish_context,
            staging=words.path_of(request.staging_target_path, "staging_target_path"),
            access=capability.WhichOneof("access_type") or "",
        )
        options = (*split_options(request.volume_context.get("mountoptions", "")), *words.mount_flags(capability))
        return Staged(
            replace(
                plan.record,
                read_only=words.reads_only(capability) or self._attachment(plan).read_only,
                fs_type=capability.mount.fs_type,
                mount_options=options if plan.access == "mount" else (),
            )
        )

    def _stage(self, wanted: Staged, before: Staged | None, default_fs_type: str) -> None:
        """Stage a volume of which nothing is here; ``before`` is what is known of a former staging."""
        was_mounted = wanted.access == "mount" and self._os.mounted(Path(wanted.staging))
        if wanted.access == "mount":
            self._staged.refuse_taken(wanted.staging, wanted.record.volume_id)
        if was_mounted:
            # Only a mount of this very volume is taken for its own; anything else is refused before it is noted.
            with undone_on_error(lambda: self._disconnect(wanted)):
                self._connect_and_mount(wanted, default_fs_type)
        if before is not None:
            wanted = wanted.with_paths_of(before)
        self._staged.keep(wanted)
        faults.point("csi-stage-noted")

        def undo() -> None:
            if wanted.access == "mount" and not was_mounted:
                self._os.unmount(Path(wanted.staging))
            self._disconnect(wanted)
            if before is not None:
                self._staged.keep(before)
            else:
                self._staged.forget(wanted.record.volume_id)

        with undone_on_error(undo):
            self._connect_and_mount(wanted, default_fs_type)

    def _connect_and_mount(self, staged: Staged, default_fs_type: str) -> None:
        source = self._preparer.connect(self._attachment(staged))
        faults.point("csi-stage-connected")
        if staged.access == "mount":
            self._preparer.mount(
                source,
                Path(staged.staging),
                fs_type=staged.record.fs_type,
                default_fs_type=default_fs_type,
                options=(*staged.record.mount_options, *(["ro"] if staged.record.read_only else [])),
            )

    def _take_back(self, staged: Staged) -> None:
        """Unmount the staging path and disconnect; a device that somebody else here mounts stays connected."""
        if staged.access == "mount" and staged.of_this_boot:
            self._os.unmount(Path(staged.staging))
        faults.point("csi-unstage-unmounted")
        self._disconnect(staged)
        faults.point("csi-unstage-disconnected")
        for target in staged.paths:
            self._hide(staged, target)
        self._staged.forget(staged.record.volume_id)

    def _disconnect(self, staged: Staged) -> None:
        ignore_in_use(lambda: self._preparer.disconnect(self._attachment(staged)))

    def _is_live(self, staged: Staged) -> bool:
        """Whether anything of a staged volume is still mounted, or for a device, may be connected."""
        if staged.access == "block" or not staged.of_this_boot:
            return staged.of_this_boot
        return self._os.mounted(Path(staged.staging)) or bool(self._live_targets(staged))

    def _refuse_other(self, known: Staged, wanted: Staged) -> None:
        """``AlreadyExists`` has both states."""
        if _described(known) != _described(wanted):
            raise AlreadyExists(
                f"volume {known.record.volume_id!r} is staged {_described(known)}, not {_described(wanted)} as asked"
            )
        asked = wanted.record.fs_type
        if asked not in ("", known.record.fs_type):
            found = [mount.fs_type for mount in self._os.mounts(target=Path(known.staging))][-1:]
            if asked not in found:
                raise AlreadyExists(
                    f"volume {known.record.volume_id!r} is staged as {found[0] if found else known.record.fs_type}, "
                    f"not as {asked}"
                )


def _described(staged: Staged) -> str:
    """What has to be the same when a volume is staged again."""
    flags = sorted(set(staged.record.mount_options) - {"ro", "rw"})
    how = "read-only" if staged.record.read_only else "for writing"
    return f"at {staged.staging} with access type {staged.access}, {how}, mount flags {','.join(flags) or 'none'}"
