"""The settings of the core: those that every command has as a global flag."""

from __future__ import annotations

from dataclasses import dataclass

from rexray.settings import setting

LOG_LEVELS = ("debug", "info", "warn", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSettings:
    """Settings under ``rexray``."""

    host: str = setting(
        "tcp://127.0.0.1:7979",
        key="rexray.host",
        older=("host",),
        flags=("--host",),
        help="The REX-Ray service address",
    )
    service: str = setting(
        "",
        key="rexray.service",
        older=("libstorage.service",),
        flags=("--service",),
        help="The name of the storage service to use",
    )
    log_level: str = setting(
        "info",
        key="rexray.logLevel",
        older=("logLevel", "libstorage.logging.level"),
        flags=("--logLevel",),
        choices=LOG_LEVELS,
        help="The log level: debug, info, warn or error",
    )
    debug: bool = setting(
        False,
        key="rexray.debug",
        env=("REXRAY_DEBUG", "LIBSTORAGE_DEBUG"),
        flags=("--debug",),
        help="Enables verbose output",
    )
    storage_drivers: tuple[str, ...] = setting(
        (),
        key="rexray.storageDrivers",
        older=("storageDrivers",),
        env="REXRAY_STORAGEDRIVERS",
        flags=("--storageDrivers",),
        help="The storage drivers to use; none named, all that can work here",
    )
    os_drivers: tuple[str, ...] = setting(
        (),
        key="rexray.osDrivers",
        older=("osDrivers", "libstorage.os.driver"),
        env="REXRAY_OSDRIVERS",
        flags=("--osDrivers",),
        help="The OS drivers to use; none named, all that can work here",
    )
    volume_drivers: tuple[str, ...] = setting(
        (),
        key="rexray.volumeDrivers",
        older=("volumeDrivers",),
        env="REXRAY_VOLUMEDRIVERS",
        flags=("--volumeDrivers",),
        help="The volume drivers to use; none named, all that can work here",
    )
    remote_management: bool = setting(
        False,
        key="rexray.remoteManagement",
        older=("remoteManagement",),
        flags=("--remoteManagement",),
        help="Do not ask this host who it is: act for the instance that the driver's settings name",
    )

    @property
    def effective_log_level(self) -> str:
        """The level that holds: ``debug`` when that flag is set, whatever the level says."""
        return "debug" if self.debug else self.log_level
