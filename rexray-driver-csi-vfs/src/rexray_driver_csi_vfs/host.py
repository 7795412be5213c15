"""What all services share: the stores, this node, and the facts of the filesystem below them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray import mounts
from rexray.errors import BrokenPlugin, InUse
from rexray.locks import Locks
from rexray_driver_csi_vfs.metafiles import FileLock, MetaFiles
from rexray_driver_csi_vfs.model import GroupMeta, NodeMeta, SnapshotMeta, VolumeMeta
from rexray_driver_csi_vfs.settings import VFSSettings
from rexray_driver_csi_vfs.store import OURS, Store

TOPOLOGY_KEY = "topology.com.rexray.vfs/node"


class Host:
    """The directories of csi-vfs on this host."""

    def __init__(self, settings: VFSSettings) -> None:
        self.node_id = settings.node
        self.max_volumes = settings.max_volumes
        self.topology: Mapping[str, str] = {TOPOLOGY_KEY: self.node_id}
        self.dev = settings.directory("dev")
        self.mnt = settings.directory("mnt")
        self.volumes = Store(settings.directory("vol"), VolumeMeta, "volume", settings.vol_glob)
        self.snapshots = Store(settings.directory("snap"), SnapshotMeta, "snapshot")
        self.groups = MetaFiles(self.snapshots.root / OURS / "groups", GroupMeta)
        self.nodes = MetaFiles(self.mnt / OURS / "meta", NodeMeta)
        self.node_lock = FileLock(self.mnt / OURS / "lock")
        """Held around changes of what is mounted; taken before a store's lock, never after it."""
        self.group_locks = Locks(self.snapshots.root / OURS / "locks")
        """Held around whole changes of a group, which take as long as its copies; taken before all others."""

    def prepare(self) -> None:
        """Make the directories and delete leftovers; ``BrokenPlugin`` names a directory that cannot be used."""
        try:
            self.volumes.prepare()
            self.snapshots.prepare()
            for folder in (self.dev, self.mnt, self.mnt / OURS, self.nodes.folder, self.groups.folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.node_lock.hold():
                self.nodes.tidy()
        except OSError as error:
            raise BrokenPlugin(f"csi-vfs: {error.filename}: {error.strerror}") from None
        self.fs_type = _fs_type(self.volumes.root)
        self.roots = tuple(
            os.path.realpath(root) for root in (self.volumes.root, self.snapshots.root, self.dev, self.mnt)
        )

    def is_complete(self, group: str) -> bool:
        """Whether all members of a group snapshot are taken."""
        meta = self.groups.load(group)
        return meta is not None and bool(meta.snapshots)

    def record(self, name: str) -> NodeMeta:
        """What this node noted of a volume, whether or not a reboot ended it."""
        return self.nodes.load(name) or NodeMeta()

    def keep(self, name: str, record: NodeMeta) -> None:
        """Note that, or nothing at all if it is empty."""
        if record.staged or record.targets:
            self.nodes.save(name, record)
        else:
            self.nodes.forget(name)

    def live(self, name: str) -> NodeMeta:
        """Where a volume is really staged and published on this node; what a reboot ended is left out."""
        record = self.record(name)
        return NodeMeta(
            staged={path: read_only for path, read_only in record.staged.items() if self._shows(path, name)},
            targets={path: mode for path, mode in record.targets.items() if self._shows(path, name)},
        )

    def refuse_if_mounted(self, name: str) -> None:
        """``InUse`` while the volume is staged or published somewhere on this node."""
        live = self.live(name)
        places = [*live.targets, *live.staged]
        if places:
            raise InUse(f"volume {name!r} is mounted at {', '.join(places)}: unmount it there first")

    def _shows(self, path: str, name: str) -> bool:
        """Whether the volume is mounted at a path, be it that its directory was deleted meanwhile."""
        if not mounts.is_mount_point(path):
            return False
        return mounts.is_bound(self.volumes.path(name), path) or _is_of_deleted(path)

    def size(self) -> tuple[int, int]:
        """The free and the total bytes of the volumes' filesystem."""
        facts = os.statvfs(self.volumes.root)
        return facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize


def _is_of_deleted(path: str) -> bool:
    """Whether what is mounted at a path is a directory that is no more, which mountinfo says behind its name."""
    real = os.path.realpath(path)
    roots = [mount.root for mount in mounts.mount_table() if mount.target == real]
    return bool(roots) and roots[-1].endswith("//deleted")


def _fs_type(path: Path) -> str:
    """The type of the filesystem that a path is on, by the longest mount point above it."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for mount in mounts.mount_table():
        above = real == mount.target or real.startswith(mount.target.rstrip("/") + "/")
        if above and len(mount.target) >= len(best):
            best, kind = mount.target, mount.fs_type
    return kind


class HostCalls:
    """Calls of a service that work on this host's directories."""

    def __init__(self, host: Host) -> None:
        self._host = host
