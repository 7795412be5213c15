"""The settings of the volume workflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rexray.errors import SettingsError
from rexray.settings import setting

MAKEABLE = ("ext4", "xfs", "btrfs", "ext3", "ext2", "vfat")
"""The filesystems that can be asked for; whether this host has their tools is the OS driver's to say."""


def _names(*names: str) -> tuple[str, ...]:
    """Our own variable, then those by which later releases of the original knew it."""
    own, *others = names
    operations = "LIBSTORAGE_INTEGRATION_VOLUME_OPERATIONS_"
    return (own, *(name if name.startswith(("REXRAY_", "LINUX_")) else operations + name for name in others))


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """Settings under ``rexray.volume`` and ``rexray.docker``."""

    mount_path: Path = setting(
        Path(),
        key="rexray.volume.mount.path",
        env=_names("REXRAY_VOLUME_MOUNT_PATH", "MOUNT_PATH"),
        help="Where volumes are mounted; /var/lib/rexray/volumes if empty",
    )
    root_path: str = setting(
        "",
        key="rexray.volume.mount.rootPath",
        env=_names("REXRAY_VOLUME_MOUNT_ROOTPATH", "MOUNT_ROOTPATH", "LINUX_VOLUME_ROOTPATH"),
        help="A directory inside each volume that callers get instead of its root, such as /data",
    )
    file_mode: int = setting(
        0o700,
        key="rexray.volume.mount.fileMode",
        env=_names("REXRAY_VOLUME_MOUNT_FILEMODE", "LINUX_VOLUME_FILEMODE"),
        octal=True,
        help="The mode of that directory when it is made",
    )
    preempt: bool = setting(
        False,
        key="rexray.volume.mount.preempt",
        env=_names("REXRAY_VOLUME_MOUNT_PREEMPT", "REXRAY_PREEMPT", "MOUNT_PREEMPT"),
        help="Take a volume that is attached to another instance from there",
    )
    retry_count: int = setting(
        0,
        key="rexray.volume.mount.retryCount",
        env=_names("REXRAY_VOLUME_MOUNT_RETRYCOUNT", "MOUNT_RETRYCOUNT"),
        help="How often a mount that failed for a passing reason is tried again",
    )
    retry_wait: float = setting(
        5.0,
        key="rexray.volume.mount.retryWait",
        env=_names("REXRAY_VOLUME_MOUNT_RETRYWAIT", "MOUNT_RETRYWAIT"),
        duration=True,
        help="How long to wait before that",
    )
    attach_timeout: float = setting(
        60.0,
        key="rexray.volume.mount.attachTimeout",
        duration=True,
        help="How long each step may take: attaching, waiting for the device, detaching",
    )
    ignore_used_count: bool = setting(
        False,
        key="rexray.volume.unmount.ignoreUsedCount",
        env=_names("REXRAY_VOLUME_UNMOUNT_IGNOREUSEDCOUNT", "UNMOUNT_IGNOREUSEDCOUNT"),
        help="Unmount when the first holder lets go, whoever else holds the volume",
    )
    create_disable: bool = setting(
        False,
        key="rexray.volume.create.disable",
        env=_names("REXRAY_VOLUME_CREATE_DISABLE", "CREATE_DISABLE"),
        help="Make no volumes: creating succeeds for those that exist and is refused for others",
    )
    create_implicit: bool = setting(
        False,
        key="rexray.volume.create.implicit",
        env=_names("REXRAY_VOLUME_CREATE_IMPLICIT", "CREATE_IMPLICIT"),
        help="Make a volume that is to be mounted and does not exist",
    )
    remove_disable: bool = setting(
        False,
        key="rexray.volume.remove.disable",
        env=_names("REXRAY_VOLUME_REMOVE_DISABLE", "REMOVE_DISABLE"),
        help="Delete no volumes: removing succeeds and does nothing",
    )
    remove_force: bool = setting(
        False,
        key="rexray.volume.remove.force",
        env=_names("REXRAY_VOLUME_REMOVE_FORCE", "REMOVE_FORCE"),
        help="Tell the platform to delete a volume with whatever hangs on it",
    )
    min_size: str = setting(
        "0",
        key="rexray.minVolSize",
        env="REXRAY_MINVOLSIZE",
        help="The smallest volume that is made: GiB, or with a unit such as 512MiB",
    )
    size: str = setting(
        "16",
        key="rexray.docker.size",
        env=_names("REXRAY_DOCKER_SIZE", "CREATE_DEFAULT_SIZE"),
        help="The size of a new volume without one: GiB, or with a unit",
    )
    type: str = setting(
        "",
        key="rexray.docker.volumeType",
        env=_names("REXRAY_DOCKER_VOLUMETYPE", "CREATE_DEFAULT_TYPE"),
        help="The type of a new volume without one, in the platform's words",
    )
    iops: int = setting(
        0,
        key="rexray.docker.iops",
        env=_names("REXRAY_DOCKER_IOPS", "CREATE_DEFAULT_IOPS"),
        help="The I/O operations a second of a new volume without a number",
    )
    zone: str = setting(
        "",
        key="rexray.docker.availabilityZone",
        env=_names("REXRAY_DOCKER_AVAILABILITYZONE", "CREATE_DEFAULT_AVAILABILITYZONE"),
        help="The zone of a new volume without one; this host's if empty",
    )
    fs_type: str = setting(
        "ext4",
        key="rexray.docker.fsType",
        env=_names("REXRAY_DOCKER_FSTYPE", "REXRAY_FSTYPE", "CREATE_DEFAULT_FSTYPE"),
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
