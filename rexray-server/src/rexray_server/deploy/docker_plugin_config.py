"""The ``config.json`` of a managed Docker plugin: what Docker has to give it, and what can be set of it.

Facts: Docker's "Plugin Config Version 1 of Plugin V2". ``docker plugin set`` changes the variables that are settable,
while the plugin is disabled, and ``docker plugin inspect`` shows their values to whoever may talk to Docker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from rexray.settings import Option, options_of
from rexray_server.deploy.subject import SECRETS

STATE = "/var/lib/rexray"
"""What Docker keeps across restarts and upgrades of the plugin, and where mounts that are made reach the host."""
SOCKET = "rexray.sock"
ENTRYPOINT = ("rexray", "start", "-f", "--nopid")
_INTERFACE = "docker.volumedriver/1.0"
_HOST_PATHS = ("/dev", "/sys")
"""Devices come and go while it runs; to have the kernel look at a disk again is to write below ``/sys``."""
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
"""For mounts and devices; to see what the host's processes have mounted and open, before a device is taken away.

Without CAP_SYS_RESOURCE, which some hosts withhold from dockerd, a mounted ext4 grows when it is mounted again."""
_DRIVER = "REXRAY_STORAGEDRIVERS"
_FIXED = {"CSI_ENDPOINT", "REXRAY_VOLUME_MOUNT_PATH", "X_CSI_NATIVE", "X_CSI_DRIVER", _DRIVER}
"""Docker has to find the socket and the mounts where they are said to be here; the driver is what it was made for."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPath:
    """A path of the host that the plugin sees at the same place."""

    path: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPath:
        """``/path`` or ``/path:ro``; ``ValueError`` for anything else."""
        path, colon, mode = text.partition(":")
        if (colon and mode != "ro") or not path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{text!r} is not an absolute path of the host, with :ro behind it or not")
        return cls(path=str(PurePosixPath(path)), read_only=bool(colon))


def config(driver: str, settings: Iterable[type], *, version: str, host_paths: Iterable[HostPath]) -> dict[str, Any]:
    """The content of ``config.json`` for a storage driver, with a variable for each setting of those classes."""
    return {
        "description": f"REX-Ray {version}: volumes of {driver}",
        "documentation": "See docs/operators/docker-plugin.md of REX-Ray",
        "interface": {"types": [_INTERFACE], "socket": SOCKET},
        "entrypoint": list(ENTRYPOINT),
        "workdir": "/",
        "network": {"type": "host"},
        # what uses a device is looked for among all processes of the host, before it is taken away
        "pidhost": True,
        "propagatedMount": STATE,
        "mounts": [*_mounts(host_paths)],
        "env": [*_variables(driver, settings)],
        "linux": {"capabilities": list(_CAPABILITIES), "allowAllDevices": True, "devices": None},
    }


def _mounts(host_paths: Iterable[HostPath]) -> Iterator[dict[str, Any]]:
    found = {path: HostPath(path=path) for path in _HOST_PATHS}
    found |= {shown.path: shown for shown in host_paths}
    for shown in found.values():
        options = ["rbind", *(["ro"] if shown.read_only else [])]
        yield _mount(_name(shown.path), shown.path, shown.path, options)
    # an empty source is for Docker the directory that it keeps for the plugin: there are no secrets in it
    yield {**_mount("secrets", "", SECRETS, ["rbind", "ro"]), "settable": ["source"]}


def _mount(name: str, source: str, destination: str, options: list[str]) -> dict[str, Any]:
    return {"name": name, "source": source, "destination": destination, "type": "bind", "options": options}


def _name(path: str) -> str:
    return path.strip("/").replace("/", "-")


def _variables(driver: str, settings: Iterable[type]) -> Iterator[dict[str, Any]]:
    yield {"name": _DRIVER, "description": "The storage driver", "value": driver, "settable": None}
    known = {_DRIVER}
    for option in (option for found in settings for option in options_of(found)):
        if _FIXED.intersection(option.env):
            continue
        for name in option.env:
            if name not in known:
                known.add(name)
                yield _variable(name, _about(option))
    for name in _PROXIES:
        if name not in known:
            yield _variable(name, "As most programs know it")


def _variable(name: str, about: str) -> dict[str, Any]:
    """A variable that is empty until it is set: to REX-Ray an empty one is one that is not there."""
    return {"name": name, "description": about, "value": "", "settable": ["value"]}


def _about(option: Option) -> str:
    if option.secret:
        return f"{option.help}; say file:{SECRETS}/NAME, for docker plugin inspect shows what is said here"
    return option.help
