"""The settings of csi-vfs, by the names that the original gave them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from rexray.errors import SettingsError
from rexray.settings import setting

MAX_NODE_ID_BYTES = 256
_DATA = "~/.csi-vfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class VFSSettings:
    """Settings under ``csi.vfs``."""

    data: str = setting(_DATA, key="csi.vfs.data", env="X_CSI_VFS_DATA", help="The directory that holds the others")
    vol: str = setting("", key="csi.vfs.vol", env="X_CSI_VFS_VOL", help="The volumes; DATA/vol if empty")
    dev: str = setting("", key="csi.vfs.dev", env="X_CSI_VFS_DEV", help="The attached volumes; DATA/dev if empty")
    mnt: str = setting("", key="csi.vfs.mnt", env="X_CSI_VFS_MNT", help="The private mounts; DATA/mnt if empty")
    snap: str = setting("", key="csi.vfs.snap", env="X_CSI_VFS_SNAP", help="The snapshots; DATA/snap if empty")
    vol_glob: str = setting(
        "*", key="csi.vfs.volGlob", env="X_CSI_VFS_VOL_GLOB", help="Which directories below VOL are volumes"
    )
    node_id: str = setting(
        "", key="csi.vfs.nodeID", env="X_CSI_VFS_NODE_ID", help="This host's node id; its host name if empty"
    )
    max_volumes: int = setting(
        0,
        key="csi.vfs.maxVolumes",
        env="X_CSI_VFS_MAX_VOLUMES",
        help="How many volumes may be attached at once; any number if 0",
    )
    bindfs: str = setting(
        "",
        key="csi.vfs.bindfs",
        env="X_CSI_VFS_BINDFS",
        help="Refused: the original ran bindfs on macOS, this version mounts by system call on Linux",
    )

    def check(self) -> None:
        """Refuse what cannot be honoured."""
        if self.bindfs:
            raise SettingsError("$X_CSI_VFS_BINDFS: bindfs is not used on Linux: unset it")
        if self.max_volumes < 0:
            raise SettingsError(f"$X_CSI_VFS_MAX_VOLUMES: {self.max_volumes} is negative")
        if len(self.node.encode()) > MAX_NODE_ID_BYTES:
            raise SettingsError(f"$X_CSI_VFS_NODE_ID: longer than {MAX_NODE_ID_BYTES} bytes")
        for inner, outer in permutations(("vol", "dev", "mnt", "snap"), 2):
            if self.directory(inner).is_relative_to(self.directory(outer)):
                raise SettingsError(f"$X_CSI_VFS_{inner.upper()}: {self.directory(inner)} is inside of {outer.upper()}")

    @property
    def node(self) -> str:
        """This host's node id."""
        return self.node_id or socket.gethostname()

    def directory(self, name: str) -> Path:
        """The directory of one of the kinds ``vol``, ``dev``, ``mnt`` and ``snap``, absolute."""
        chosen: str = getattr(self, name)
        return (Path(chosen) if chosen else Path(self.data or _DATA) / name).expanduser().absolute()
