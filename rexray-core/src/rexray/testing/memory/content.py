"""The bytes of a volume: blocks that were written, by their number, in base64 so that JSON can hold them.

A content is never changed, writing makes another one: a snapshot is the content that the volume had.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

BLOCK = 4096

Content = Mapping[str, str]
"""What was written; a block that is not there is zero."""


def read(content: Content, offset: int, length: int) -> bytes:
    """That many bytes from there on."""
    first, last = offset // BLOCK, -(-(offset + length) // BLOCK)
    data = b"".join(_block(content, index) for index in range(first, last))
    start = offset - first * BLOCK
    return data[start : start + length]


def write(content: Content, offset: int, data: bytes) -> Content:
    """The content with the bytes put there."""
    written = dict(content)
    first, last = offset // BLOCK, -(-(offset + len(data)) // BLOCK)
    before, after = read(content, first * BLOCK, offset - first * BLOCK), read(content, offset + len(data), BLOCK)
    whole = before + data + after
    for index in range(first, last):
        block = whole[(index - first) * BLOCK :][:BLOCK]
        if any(block):
            written[str(index)] = base64.b64encode(block).decode()
        else:
            written.pop(str(index), None)
    return written


def is_blank(content: Content) -> bool:
    """Whether every byte is zero."""
    return not content


def _block(content: Content, index: int) -> bytes:
    return base64.b64decode(content.get(str(index), "")) or bytes(BLOCK)
