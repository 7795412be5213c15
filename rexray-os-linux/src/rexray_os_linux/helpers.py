"""Filesystems that the mount system call alone cannot mount: network and FUSE ones, by their mount.TYPE program.

Facts: mount(8) "EXTERNAL HELPERS": ``mount.TYPE SOURCE TARGET -o OPTIONS``, and for ``fuse.NAME`` the program
``mount.fuse`` with ``-t fuse.NAME``. Some, such as s3fs, succeed although the mount fails a moment later.
"""

from __future__ import annotations

import time

from rexray import child
from rexray.errors import RexrayError, Unsupported
from rexray.mounts import Mount
from rexray_os_linux import table
from rexray_os_linux.mounting import already, made_directory
from rexray_os_linux.options import MountOptions, refuse_secrets

_PACKAGES = {
    "nfs": "nfs-common",
    "nfs4": "nfs-common",
    "cifs": "cifs-utils",
    "smb3": "cifs-utils",
    "ceph": "ceph-common",
    "fuse": "fuse3",
    "glusterfs": "glusterfs-client",
}
_SETTLE = 2.0
"""Seconds for the mount to show after its helper has said that it is there."""


def needs_helper(source: str, fs_type: str) -> bool:
    """Whether a program has to mount it: a network or FUSE filesystem, or a source such as ``host:/export``."""
    return fs_type.partition(".")[0] in _PACKAGES or (":" in source and not source.startswith("/"))


def mount_by_helper(source: str, place: str, fs_type: str, options: MountOptions, seconds: float) -> Mount:
    """Mount by program; errors as for a mount by system call, ``Unsupported`` names the package that is missing."""
    fs_type = fs_type or "nfs"
    refuse_secrets(options)
    if there := already(place, source, None, options):
        return there
    command = [_helper(fs_type), source, place]
    if options.all:
        command += ["-o", ",".join(options.all)]
    if "." in fs_type:
        command += ["-t", fs_type]
    with made_directory(place):
        ended = child.run(command, seconds=seconds, action=f"mount {source!r} at {place!r}")
        if ended.status != 0:
            raise RexrayError(f"cannot mount {source!r} at {place!r} as {fs_type}: {ended.complaint}")
        return _shown(place, ended)


def _helper(fs_type: str) -> str:
    kind = fs_type.partition(".")[0]
    for name in (f"mount.{fs_type}", f"mount.{kind}"):
        if path := child.find(name):
            return path
    raise Unsupported(
        f"cannot mount a filesystem of type {fs_type!r}: mount.{kind} is not installed on this host: "
        f"install the package {_PACKAGES.get(kind, 'that has it')}"
    )


def _shown(place: str, ended: child.Ended) -> Mount:
    until = time.monotonic() + _SETTLE
    while (found := table.top(place)) is None:
        if time.monotonic() > until:
            raise RexrayError(f"{ended.program} succeeded, but nothing is mounted at {place!r}: {ended.complaint}")
        time.sleep(0.02)
    return found
