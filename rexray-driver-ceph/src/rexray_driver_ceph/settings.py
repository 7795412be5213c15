"""The settings of the platform rbd: those of later releases of the original, and this distribution's own."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from rexray.errors import InvalidRequest, SettingsError
from rexray.names import check_name
from rexray.paths import find_paths
from rexray.settings import setting
from rexray_driver_ceph import monitors

MAPPERS = ("krbd", "nbd", "loop")
"""The ways in which an image becomes a block device, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RbdSettings:
    """Settings under ``rbd``."""

    default_pool: str = setting(
        "rbd", key="rbd.defaultPool", help="The pool, or POOL/NAMESPACE, of volumes that name no other"
    )
    pools: tuple[str, ...] = setting(
        (),
        key="rbd.pools",
        help="The pools, or POOL/NAMESPACE, whose volumes are seen; if empty all that are for RBD, or only the "
        "default one where a user is named",
    )
    conf: str = setting(
        "", key="rbd.conf", env=("RBD_CONF", "CEPH_CONF"), help="The cluster's ceph.conf; Ceph's own default if empty"
    )
    monitors: str = setting(
        "",
        key="rbd.monitors",
        help="The monitors' addresses, in any form that mon_host has; those of ceph.conf if empty",
    )
    user: str = setting("", key="rbd.user", help="The Ceph user, without 'client.'; admin if empty")
    keyring: str = setting("", key="rbd.keyring", help="The file with the user's key; Ceph's own default if empty")
    ceph_args: str = setting(
        "",
        key="rbd.cephArgs",
        env=("RBD_CEPHARGS", "CEPH_ARGS"),
        help="Further arguments for every call of Ceph's programs",
    )
    test_module: bool = setting(
        True, key="rbd.testModule", help="Try to load the kernel's module for a way of mapping that is not there"
    )
    mapper: str = setting(
        "",
        key="rbd.mapper",
        choices=("", *MAPPERS),
        help="How images become devices: krbd, nbd or loop (user space); if empty the first that works here",
    )
    map_options: str = setting(
        "", key="rbd.mapOptions", help="Further options of krbd or rbd-nbd, such as ms_mode=secure,queue_depth=256"
    )
    image_features: tuple[str, ...] = setting(
        (), key="rbd.imageFeatures", help="The features of new images; the cluster's default ones if empty"
    )
    instance_id: str = setting("", key="rbd.instanceID", help="This host's instance id; its host name if empty")
    max_volumes: int = setting(
        0, key="rbd.maxVolumes", help="How many volumes may be attached to a host at once; any number if 0"
    )
    remove_foreign: bool = setting(
        False, key="rbd.removeForeign", help="Also remove images and snapshots that REX-Ray did not make"
    )
    clone_depth: int = setting(
        4, key="rbd.cloneDepth", help="How many parents a clone may have before it is flattened in the background"
    )
    timeout: float = setting(
        30.0, key="rbd.timeout", duration=True, help="How long a question to the cluster, or a small change, may take"
    )
    work_timeout: float = setting(
        3600.0,
        key="rbd.workTimeout",
        duration=True,
        help="How long removing, flattening or rolling back an image may take",
    )
    watcher_timeout: float = setting(
        40.0,
        key="rbd.watcherTimeout",
        duration=True,
        help="How long to wait for a client that died to be seen as gone: longer than osd_client_watch_timeout",
    )
    key_directory: str = setting(
        "", key="rbd.keyDirectory", help="The passphrases of encrypted volumes, a file each; LIB/rbd-keys if empty"
    )

    def check(self) -> None:
        """Refuse what cannot be honoured; ``SettingsError`` names the setting."""
        for name, seconds in (
            ("rbd.timeout", self.timeout),
            ("rbd.workTimeout", self.work_timeout),
            ("rbd.watcherTimeout", self.watcher_timeout),
        ):
            if seconds <= 0:
                raise SettingsError(f"{name}: {seconds:g}s is no time at all")
        if self.max_volumes < 0:
            raise SettingsError(f"rbd.maxVolumes: {self.max_volumes} is negative")
        if self.clone_depth < 1:
            raise SettingsError(f"rbd.cloneDepth: {self.clone_depth} leaves no room for a clone: at least 1")
        monitors.parse(self.monitors)
        for feature in self.image_features:
            if feature.startswith("-"):
                raise SettingsError(f"rbd.imageFeatures: {feature!r} is an option, and no feature")
        try:
            check_name(self.instance, "instance id")
        except InvalidRequest as error:
            raise SettingsError(f"rbd.instanceID: {error}") from None
        if self.instance.startswith("-"):
            raise SettingsError(f"rbd.instanceID: {self.instance!r} begins with '-', as options of Ceph's programs do")

    @property
    def instance(self) -> str:
        """This host's instance id."""
        return self.instance_id or socket.gethostname()

    @property
    def keys(self) -> Path:
        """The directory of the passphrases."""
        return Path(self.key_directory).expanduser().absolute() if self.key_directory else find_paths().lib / "rbd-keys"
