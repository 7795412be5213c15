"""Where REX-Ray keeps its files, as the original did.

For root the system's directories; for anybody else, or under ``$REXRAY_HOME``, a home of its own with the same
directories below it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rexray.errors import SettingsError

CONFIG_NAMES = ("config.yml", "config.yaml", "rexray.yml", "rexray.yaml")
"""What the configuration file of a folder may be called: the first is written, the last two are later originals'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directories of one installation; nothing is made until it is needed."""

    etc: Path
    lib: Path
    log: Path
    run: Path
    sockets: Path
    """Where Docker looks for the sockets of plug-ins."""
    user: Path
    """The user's own configuration directory."""

    @property
    def config_files(self) -> tuple[Path, ...]:
        """The configuration files to look for, lowest precedence first."""
        folders = [self.etc] if self.etc == self.user else [self.etc, self.user]
        return tuple(folder / name for folder in folders for name in CONFIG_NAMES)

    def of_service(self, name: str) -> Paths:
        """The same with a ``lib`` of the configured service's own, so that no two services share what they remember.

        ``run`` stays the host's: two services may lead to one platform, and then the locks in it still exclude each
        other. An empty name is no service, and changes nothing.
        """
        return replace(self, lib=self.lib / "services" / name) if name else self

    @property
    def pid_file(self) -> Path:
        """The PID file of the service."""
        return self.run / "rexray.pid"

    @property
    def log_file(self) -> Path:
        """The log of a service in the background."""
        return self.log / "rexray.log"


def find_paths(environ: Mapping[str, str] | None = None) -> Paths:
    """The directories for this user and environment (default: the process's own), all of them absolute.

    ``SettingsError`` for a user without a home directory, where neither ``$HOME`` nor ``$REXRAY_HOME`` says one.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("REXRAY_HOME", "")
    user = _user_directory(environ, home)
    if os.geteuid() == 0 and not home:
        return replace(system_paths(), user=user)
    base = Path(home).absolute() if home else user
    return Paths(
        etc=base / "etc",
        lib=base / "var/lib",
        log=base / "var/log",
        run=base / "var/run",
        sockets=base / "run/docker/plugins",
        user=user,
    )


def system_paths() -> Paths:
    """The directories of a service that root runs, whoever asks."""
    return Paths(
        etc=Path("/etc/rexray"),
        lib=Path("/var/lib/rexray"),
        log=Path("/var/log/rexray"),
        run=Path("/var/run/rexray"),
        sockets=Path("/run/docker/plugins"),
        user=Path("/etc/rexray"),
    )


def _user_directory(environ: Mapping[str, str], home: str) -> Path:
    try:
        return Path(environ.get("HOME") or "~").expanduser().absolute() / ".rexray"
    except RuntimeError:
        if home:
            return Path(home).absolute() / "etc"
        raise SettingsError(
            f"$HOME is not set and the user {os.getuid()} has no home directory: set HOME or REXRAY_HOME"
        ) from None
