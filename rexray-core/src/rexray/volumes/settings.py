"""The settings of the volume workflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rexray.errors import SettingsError
from rexray.settings import setting

MAKEABLE = ("ext4", "xfs", "btrfs", "ext3", "ext2", "vfat")
"""The filesystems that can be asked for; whether this host has their tools is the OS driver's to say."""


_OPERATIONS = "libstorage.integration.volume.operations."
"""What the keys of later releases of the original begin with, of which the variables follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """Settings under ``rexray.volume`` and ``rexray.docker``."""

    mount_path: Path = setting(
        Path(),
        key="rexray.volume.mount.path",
        older=(_OPERATIONS + "mount.path", "rexray.docker.mountDirPath"),
        help="Where volumes are mounted; /var/lib/rexray/volumes if empty",
    )
    root_path: str = setting(
        "",
        key="rexray.volume.mount.rootPath",
        older=(_OPERATIONS + "mount.rootPath", "linux.volume.rootpath"),
        help="A directory inside each volume that callers get instead of its root, such as /data",
    )
    file_mode: int = setting(
        0o700,
        key="rexray.volume.mount.fileMode",
        older=("linux.volume.filemode",),
        octal=True,
        help="The mode of that directory when it is made",
    )
    preempt: bool = setting(
        False,
        key="rexray.volume.mount.preempt",
        older=(_OPERATIONS + "mount.preempt",),
        env=("REXRAY_VOLUME_MOUNT_PREEMPT", "REXRAY_PREEMPT"),
        help="Take a volume that is attached to another instance from there",
    )
    retry_count: int = setting(
        0,
        key="rexray.volume.mount.retryCount",
        older=(_OPERATIONS + "mount.retryCount",),
        help="How often a mount that failed for a passing reason is tried again",
    )
    retry_wait: float = setting(
        5.0,
        key="rexray.volume.mount.retryWait",
        older=(_OPERATIONS + "mount.retryWait",),
        duration=True,
        help="How long to wait before that",
    )
    attach_timeout: float = setting(
        60.0,
        key="rexray.volume.mount.attachTimeout",
        older=("libstorage.device.attachTimeout",),
        duration=True,
        help="How long each step may take: attaching, waiting for the device, detaching",
    )
    ignore_used_count: bool = setting(
        False,
        key="rexray.volume.unmount.ignoreUsedCount",
        older=(_OPERATIONS + "unmount.ignoreusedcount",),
        help="Unmount when the first holder lets go, whoever else holds the volume",
    )
    create_disable: bool = setting(
        False,
        key="rexray.volume.create.disable",
        older=(_OPERATIONS + "create.disable",),
        help="Make no volumes: creating succeeds for those that exist and is refused for others",
    )
    create_implicit: bool = setting(
        False,
        key="rexray.volume.create.implicit",
        older=(_OPERATIONS + "create.implicit",),
        help="Make a volume that is to be mounted and does not exist",
    )
    remove_disable: bool = setting(
        False,
        key="rexray.volume.remove.disable",
        older=(_OPERATIONS + "remove.disable",),
        help="Delete no volumes: removing succeeds and does nothing",
    )
    remove_force: bool = setting(
        False,
        key="rexray.volume.remove.force",
        older=(_OPERATIONS + "remove.force",),
        help="Tell the platform to delete a volume with whatever hangs on it",
    )
    min_size: str = setting(
        "0",
        key="rexray.minVolSize",
        older=("minVolSize",),
        help="The smallest volume that is made: GiB, or with a unit such as 512MiB",
    )
    size: str = setting(
        "16",
        key="rexray.docker.size",
        older=("dockerSize", _OPERATIONS + "create.default.size"),
        help="The size of a new volume without one: GiB, or with a unit",
    )
    type: str = setting(
        "",
        key="rexray.docker.volumeType",
        older=("dockerVolumeType", _OPERATIONS + "create.default.type"),
        help="The type of a new volume without one, in the platform's words",
    )
    iops: int = setting(
        0,
        key="rexray.docker.iops",
        older=("dockerIops", _OPERATIONS + "create.default.IOPS"),
        help="The I/O operations a second of a new volume without a number",
    )
    zone: str = setting(
        "",
        key="rexray.docker.availabilityZone",
        older=("dockerAvailabilityZone", _OPERATIONS + "create.default.availabilityZone"),
        help="The zone of a new volume without one; this host's if empty",
    )
    fs_type: str = setting(
        "ext4",
        key="rexray.docker.fsType",
        older=(_OPERATIONS + "create.default.fsType",),
        env=("REXRAY_DOCKER_FSTYPE", "REXRAY_FSTYPE"),
        help="The filesystem that is made on a blank volume",
    )

    def __post_init__(self) -> None:
        """``SettingsError`` names a value that makes no sense."""
        for key, value in (("mount.retryCount", self.retry_count), ("mount.retryWait", self.retry_wait)):
            if value < 0:
                raise SettingsError(f"rexray.volume.{key}: {value:g} is less than none")
        if self.iops < 0:
            raise SettingsError(f"rexray.docker.iops: {self.iops} is less than none")
        if self.fs_type not in MAKEABLE:
            raise SettingsError(f"rexray.docker.fsType: {self.fs_type!r} is not one of {', '.join(MAKEABLE)}")
        if self.mount_path != Path() and not self.mount_path.is_absolute():
            raise SettingsError(f"rexray.volume.mount.path: {str(self.mount_path)!r} is not an absolute path")
        if ".." in Path(self.root_path).parts:
            raise SettingsError(f"rexray.volume.mount.rootPath: {self.root_path!r} leads out of the volume")
