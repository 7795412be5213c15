"""The sizes that images can have.

Facts: rbd(8): sizes are given in MiB.
"""

from __future__ import annotations

from rexray.errors import OutOfRange

MIB = 1 << 20
DEFAULT_SIZE = 1 << 30
"""The size of a volume that was asked for without one: the original's."""
LARGEST = 256_000_000 * 4 * MIB
"""As many objects, of the usual size, as librbd's object map has room for: beyond that it makes no image."""


def round_up(size_bytes: int, limit_bytes: int, what: str) -> int:
    """Whole MiB; ``OutOfRange`` beyond the limit, if there is one, and beyond what a cluster can have."""
    rounded = max(-(-size_bytes // MIB), 1) * MIB
    if rounded > LARGEST:
        raise OutOfRange(f"{what}: {size_bytes} bytes are more than an image can have")
    if limit_bytes and rounded > limit_bytes:
        raise OutOfRange(f"{what}: its size is whole MiB, {rounded} bytes, more than the limit of {limit_bytes}")
    return rounded
