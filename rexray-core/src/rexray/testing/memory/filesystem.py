"""The filesystem that a volume's content holds: a name for its kind, its size and its files, written at its start.

It is nobody else's format. It is in the content, so that it is there on the next host, and in every snapshot and clone.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from rexray.errors import AlreadyExists
from rexray.testing.memory import content as contents
from rexray.testing.memory.content import Content

KINDS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")
"""The filesystems that can be made."""
LUKS = b"LUKS\xba\xbe"
"""How an encrypted device begins, which is none of ours."""
AREA = 512 << 10
"""The bytes at the start of the volume that a filesystem uses; what a test writes behind them does not harm it."""

_MAGIC = b"rexray-memory-filesystem\n"
_HEADER = len(_MAGIC) + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """What is in a filesystem; ``files`` has the content of each in base64, by its path."""

    kind: str
    size_bytes: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def used_bytes(self) -> int:
        """How much room the files take."""
        return sum(len(base64.b64decode(data)) for data in self.files.values())


def probe(content: Content) -> str:
    """The word for what the content is, empty if every byte is zero; ``AlreadyExists`` for data of no known kind."""
    if contents.is_blank(content):
        return ""
    if contents.read(content, 0, len(LUKS)) == LUKS:
        return "crypto_LUKS"
    found = load(content)
    if found is None:
        raise AlreadyExists("it holds data of no known kind; nothing was done")
    return found.kind


def load(content: Content) -> Filesystem | None:
    """The filesystem that the content holds, None if it is something else."""
    header = contents.read(content, 0, _HEADER)
    if not header.startswith(_MAGIC):
        return None
    length = int.from_bytes(header[len(_MAGIC) :], "big")
    return Filesystem(**json.loads(contents.read(content, _HEADER, length)))


def save(content: Content, filesystem: Filesystem) -> Content:
    """The content with the filesystem in it; ``ValueError`` if that has become too large."""
    text = json.dumps(asdict(filesystem)).encode()
    if len(text) + _HEADER > AREA:
        raise ValueError("no space left")
    return contents.write(content, 0, (_MAGIC + len(text).to_bytes(8, "big") + text).ljust(AREA, b"\0"))


def make(kind: str, size_bytes: int) -> Content:
    """The content of a volume with a new filesystem and nothing else."""
    return save({}, Filesystem(kind=kind, size_bytes=size_bytes))
