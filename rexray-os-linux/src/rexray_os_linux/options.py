"""Mount options as mount(8) spells them, in the form that mount(2) takes.

Facts: mount(8) "FILESYSTEM-INDEPENDENT MOUNT OPTIONS", mount(2), include/uapi/linux/mount.h, libmount's optmap.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rexray.errors import InvalidRequest
from rexray.mounts import split_options

MS_RDONLY = 1 << 0
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_SYNCHRONOUS = 1 << 4
MS_REMOUNT = 1 << 5
MS_MANDLOCK = 1 << 6
MS_DIRSYNC = 1 << 7
MS_NOSYMFOLLOW = 1 << 8
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_SILENT = 1 << 15
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

_ATIME = MS_NOATIME | MS_RELATIME | MS_STRICTATIME

_FLAGS: dict[str, tuple[int, int]] = {
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "nosuid": (MS_NOSUID, 0),
    "suid": (0, MS_NOSUID),
    "nodev": (MS_NODEV, 0),
    "dev": (0, MS_NODEV),
    "noexec": (MS_NOEXEC, 0),
    "exec": (0, MS_NOEXEC),
    "sync": (MS_SYNCHRONOUS, 0),
    "async": (0, MS_SYNCHRONOUS),
    "dirsync": (MS_DIRSYNC, 0),
    "mand": (MS_MANDLOCK, 0),
    "nomand": (0, MS_MANDLOCK),
    "noatime": (MS_NOATIME, _ATIME),
    "atime": (0, MS_NOATIME),
    "relatime": (MS_RELATIME, _ATIME),
    "norelatime": (0, MS_RELATIME),
    "strictatime": (MS_STRICTATIME, _ATIME),
    "nostrictatime": (0, MS_STRICTATIME),
    "nodiratime": (MS_NODIRATIME, 0),
    "diratime": (0, MS_NODIRATIME),
    "lazytime": (MS_LAZYTIME, 0),
    "nolazytime": (0, MS_LAZYTIME),
    "iversion": (MS_I_VERSION, 0),
    "noiversion": (0, MS_I_VERSION),
    "nosymfollow": (MS_NOSYMFOLLOW, 0),
    "symfollow": (0, MS_NOSYMFOLLOW),
    "silent": (MS_SILENT, 0),
    "loud": (0, MS_SILENT),
    # mount(8) makes an entry that users may mount safe against them, unless a later option says otherwise.
    "user": (MS_NOEXEC | MS_NOSUID | MS_NODEV, 0),
    "users": (MS_NOEXEC | MS_NOSUID | MS_NODEV, 0),
    "owner": (MS_NOSUID | MS_NODEV, 0),
    "group": (MS_NOSUID | MS_NODEV, 0),
}
"""The flags that each option sets, and those that it clears first."""

_FOR_OTHERS = frozenset(
    {"_netdev", "auto", "defaults", "noauto", "nofail", "nogroup", "noowner", "nouser", "nousers", "X-mount.mkdir"}
)
"""Words for programs that read fstab; ``X-mount.mkdir`` asks for what is done anyway."""

_OPERATIONS = frozenset(
    {
        *("bind", "loop", "move", "rbind", "remount"),
        *("private", "rprivate", "rshared", "rslave", "runbindable", "shared", "slave", "unbindable"),
    }
)
_MOUNT8_ONLY = ("encryption=", "helper=", "loop=", "offset=", "sizelimit=", "uhelper=", "X-")
_SECRETS = ("password", "password2", "pass", "passwd", "secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """Parsed options: the flags of mount(2), what the filesystem itself reads, and all of it for a helper program."""

    flags: int
    data: tuple[str, ...]
    all: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written through the mount."""
        return bool(self.flags & MS_RDONLY)


def parse(options: Iterable[str]) -> MountOptions:
    """Each of the texts is an option or a list of them; the last one of a kind wins.

    ``InvalidRequest`` for an option that is another operation, such as ``remount``, or that asks mount(8) for
    something that is not done here.
    """
    flags = 0
    data: list[str] = []
    kept: list[str] = []
    for option in (part for text in options for part in split_options(text)):
        _refuse(option)
        if option in _FOR_OTHERS or option.startswith(("x-", "comment=", "X-mount.mkdir=")):
            continue
        kept.append(option)
        if option in _FLAGS:
            sets, clears = _FLAGS[option]
            flags = flags & ~clears | sets
        else:
            data.append(option)
    return MountOptions(flags=flags, data=tuple(data), all=tuple(kept))


def _refuse(option: str) -> None:
    if "\0" in option or option.count('"') % 2:
        raise InvalidRequest(f"mount option {option!r}: NUL or an unpaired quote")
    if option in _OPERATIONS:
        raise InvalidRequest(f"mount option {option!r} is an operation of its own, not an option of a new mount")
    if option.startswith(_MOUNT8_ONLY) and not option.startswith("X-mount.mkdir"):
        raise InvalidRequest(f"mount option {option!r} is for mount(8) itself and is not supported here")


def refuse_secrets(options: MountOptions) -> None:
    """``InvalidRequest`` for a secret among options for a helper program: every user can read a command line."""
    for option in options.all:
        name, equals, _ = option.partition("=")
        if equals and name in _SECRETS:
            raise InvalidRequest(
                f"mount option '{name}=...' would show a secret in the list of processes: "
                "name a file that holds it (credentials=FILE, secretfile=FILE)"
            )


def flags_of(words: Iterable[str]) -> int:
    """The flags that the kernel's own words for a mount's state stand for; others are skipped."""
    flags = 0
    for word in words:
        sets, clears = _FLAGS.get(word, (0, 0))
        flags = flags & ~clears | sets
    return flags
