"""The volume capability that a user types: ``MODE,TYPE[,FSTYPE[,FLAG...]]``."""

from __future__ import annotations

import click

from rexray.csi._pb import csi_pb2 as pb
from rexray.hints import nearest

_Mode = pb.VolumeCapability.AccessMode.Mode

CAPABILITY = "MODE,TYPE[,FSTYPE,FLAGS]"
"""How a capability is typed: access mode and type by name or number, then a filesystem and mount flags."""


def capability(text: str) -> pb.VolumeCapability:
    """The message that a :data:`CAPABILITY` stands for."""
    mode, comma, rest = text.partition(",")
    if not comma:
        raise click.BadParameter(f"{text!r} is not {CAPABILITY}, such as SINGLE_NODE_WRITER,mount,ext4")
    kind, *options = rest.split(",")
    access_mode = pb.VolumeCapability.AccessMode(mode=_mode(mode))
    if kind.lower() in ("block", "1"):
        if options:
            raise click.BadParameter(f"{text!r}: a block volume has no filesystem and no mount flags")
        return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=access_mode)
    if kind.lower() not in ("mount", "2"):
        raise click.BadParameter(f"{kind!r} is no access type: say mount or block")
    fs_type, *flags = options or [""]
    mount = pb.VolumeCapability.MountVolume(fs_type=fs_type, mount_flags=flags)
    return pb.VolumeCapability(mount=mount, access_mode=access_mode)


def _mode(word: str) -> str:
    """The name of an access mode."""
    name = word.strip().upper().replace("-", "_")
    names = {key: mode for mode, number in _Mode.items() for key in (mode, str(number))}
    if name in names:
        return names[name]
    near = nearest(name, _Mode.keys())
    hint = f"did you mean {near}?" if near else f"say one of {', '.join(_Mode.keys())}"
    raise click.BadParameter(f"{word!r} is no access mode: {hint}")


def default_capability() -> pb.VolumeCapability:
    """What is asked for when the user does not say: a filesystem, written to from one node."""
    return pb.VolumeCapability(
        mount=pb.VolumeCapability.MountVolume(),
        access_mode=pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER),
    )
