"""Installing REX-Ray as a service of a host, and taking it away again; the data of volumes is never touched."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rexray.errors import Forbidden, InvalidRequest, Unsupported
from rexray.paths import Paths
from rexray_server.hosts import initsys, sysv, units
from rexray_server.hosts.files import HostFile, inside, place, remove

HOST = Path("/")
"""The tree of this host: in any other one files are written, and nothing is run."""

_ENVIRONMENT = """\
# What the service finds in its environment, a NAME=VALUE on each line: REX-Ray's settings and those of its drivers.
# "rexray config schema" and the pages of the drivers have their names. Root alone may read this file.
# REXRAY_STORAGEDRIVERS=
# REXRAY_LOGLEVEL=info
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host, or a tree that is to become one, and the service on it."""

    root: Path
    init: str
    program: str
    """The command line of ``rexray``, as units and scripts say it."""
    paths: Paths

    @property
    def is_live(self) -> bool:
        """Whether it is the host that this runs on."""
        return self.root == HOST


def this_program() -> str:
    """The command line of this very ``rexray``: the script beside its Python, or that Python with the module."""
    script = Path(sys.executable).parent / "rexray"
    return shlex.join([str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "rexray"])


def find_host(root: Path, init: str, program: str, paths: Paths) -> Host:
    """The host to work on, with what was not named found out.

    ``Unsupported`` where no init system is found, ``Forbidden`` for anybody but root on this host.
    """
    root = root.absolute()
    if root == HOST and os.geteuid() != 0:
        raise Forbidden(
            "only root may change the services of this host: say it as root, or write into another tree by --root"
        )
    if not root.is_dir():
        raise InvalidRequest(f"{root} is no directory: make it first")
    init = init or initsys.detect(root)
    if init == initsys.UNKNOWN:
        raise Unsupported(f"no init system is found in {root}: name one by --init: {', '.join(initsys.NAMES)}")
    return Host(root=root, init=init, program=program or this_program(), paths=paths)


def installed_for(root: Path) -> str:
    """The init system that the service was installed for, empty where neither a unit nor a script is there."""
    if os.path.lexists(inside(root, units.SERVICE)):
        return initsys.SYSTEMD
    if os.path.lexists(inside(root, sysv.SCRIPT)):
        return initsys.detect(root, (initsys.UPDATE_RC_D, initsys.CHKCONFIG))
    return ""


def files_of(host: Host) -> Sequence[HostFile]:
    """The files of the service on a host."""
    common = [
        HostFile(path=_environment_file(host), text=_environment(), mode=0o600, keep=True),
        HostFile(path=sysv.LOGROTATE, text=sysv.logrotate(host.paths)),
    ]
    program = checked(host.program)
    if host.init == initsys.SYSTEMD:
        service = HostFile(path=units.SERVICE, text=units.service_unit(program, host.paths))
        return [service, HostFile(path=units.SOCKET, text=units.socket_unit()), *common]
    return [HostFile(path=sysv.SCRIPT, text=sysv.script(program, host.paths), mode=0o755), *common]


def checked(program: str) -> str:
    """A command line that means the same to systemd and to a shell; ``InvalidRequest`` for any other."""
    try:
        words = shlex.split(program)
    except ValueError:
        words = []
    unfit = not program.isprintable() or set(program) & set('"\\') or any("'" in word for word in words)
    if not words or not words[0].startswith("/") or unfit:
        raise InvalidRequest(f"{program!r} is no program for a service: name its whole path, in '' if it has blanks")
    return shlex.join(words)


def _environment_file(host: Host) -> Path:
    return host.paths.etc / "rexray.env"


def _environment() -> str:
    home = os.environ.get("REXRAY_HOME", "")
    return _ENVIRONMENT + (f"REXRAY_HOME={shlex.quote(str(Path(home).absolute()))}\n" if home else "")


def install(host: Host, *, now: bool, force: bool, dry_run: bool) -> Iterator[str]:
    """Write the service's files and have it started at boot, with ``now`` at once; each line says what was done."""
    for file in files_of(host):
        yield from place(file, host.root, force=force, dry_run=dry_run)
    if not host.is_live:
        yield f"nothing is enabled or started: {host.root} is not this host"
        return
    yield from _run(initsys.enabling(host.init, sysv.SCRIPT, now=now), dry_run)


def uninstall(host: Host, *, dry_run: bool) -> Iterator[str]:
    """Stop and disable the service and remove what install wrote; each line says what was done, or what stays.

    Nothing is removed where the service cannot be stopped. Volumes stay mounted.
    """
    service = [units.SOCKET, units.SERVICE] if host.init == initsys.SYSTEMD else [sysv.SCRIPT]
    there = [path for path in service if os.path.lexists(inside(host.root, path))]
    if host.is_live and there:
        yield from _run(initsys.disabling(host.init, sysv.SCRIPT, [path.name for path in there]), dry_run)
    if host.is_live and not dry_run:
        from rexray_server import daemon

        yield daemon.stop(host.paths)  # one that was started by hand
    for path in (*service, _environment_file(host), sysv.LOGROTATE):
        yield from remove(path, host.root, dry_run=dry_run)
    if host.is_live and there:
        yield from _run(initsys.forgetting(host.init), dry_run)
    yield from _what_stays(host)


def _run(steps: Sequence[initsys.Step], dry_run: bool) -> Iterator[str]:
    for step in steps:
        yield f"would run {' '.join(step.command)}" if dry_run else step.run()


def _what_stays(host: Host) -> Iterator[str]:
    """The folders that are left, and how many mounts are below the one of the volumes."""
    for folder, what in (
        (host.paths.etc, "the configuration"),
        (host.paths.lib, "volumes, their mount points, and who holds them"),
        (host.paths.log, "logs"),
        (host.paths.run, "locks and sockets"),
    ):
        target = inside(host.root, folder)
        if target.is_dir():
            yield f"kept {target}: {what}"
    mounted = _mounts_below(host.paths.lib) if host.is_live else []
    if mounted:
        yield f"kept {len(mounted)} mounted below {host.paths.lib}: rexray volume unmount --all lets go of volumes"


def _mounts_below(folder: Path) -> list[Path]:
    from rexray.mounts import mount_table

    return [Path(mount.target) for mount in mount_table() if Path(mount.target).is_relative_to(folder.resolve())]
