"""What an image is called: by Ceph, in a volume's id, and for people.

Facts: rbd(8), "image-spec": ``[POOL/[NAMESPACE/]]IMAGE[@SNAPSHOT]``; ``/`` and ``@`` are in no name, and
dots may be in any. krbd takes its words from a line with blanks between them: a name with a blank cannot be mapped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from rexray.errors import InvalidRequest

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,94}")
"""Image names that every client takes. 96 bytes with their end are what librbd's first format has room for."""
_HASHED = "rexray-"
"""How an image's name begins that was made of a volume's name that no image can have."""
_PART = re.compile(r"[^/@\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]+")
"""What ids are made of; U+FFFD and lone surrogates stand for bytes that are no text, and are in no id."""
_LONGEST = 2048 - len("rbd_id.")
"""Bytes of an image's name: it is in an object's, for which OSDs have the limit ``osd_max_object_name_len``."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool, or one of its namespaces: ``POOL`` or ``POOL/NAMESPACE``."""

    name: str
    namespace: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """``InvalidRequest`` for what is neither."""
        parts = text.split("/")
        if len(parts) > 2 or (len(parts) == 2 and not parts[1]) or not is_place(*parts):
            raise InvalidRequest(f"{text!r} is not a pool such as rbd, nor a namespace such as rbd/tenant")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.name}/{self.namespace}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Spec:
    """An image or one of its snapshots; its text, ``POOL/[NAMESPACE/]IMAGE[@SNAPSHOT]``, is an id of the contract."""

    pool: Pool
    image: str
    snapshot: str = ""

    @classmethod
    def parse(cls, text: str, default: Pool) -> Self:
        """The image or snapshot of that id; ``InvalidRequest`` for what is no id.

        ``POOL.IMAGE``, the original's form, is understood where there is no ``/``: its pool ends at the first dot. A
        single word is an image of the default pool.
        """
        path, at, snapshot = text.partition("@")
        *place, image = path.split("/")
        if not place:
            before, dot, rest = path.partition(".")
            if dot and before and rest:
                place, image = [before], rest
        pool = Pool.parse("/".join(place)) if place else default
        if not sayable(image) or (at and not sayable(snapshot)):
            raise InvalidRequest(f"{text!r} is not the id of an image such as rbd/data, nor of its snapshot")
        return cls(pool, image, snapshot)

    def __str__(self) -> str:
        return f"{self.pool}/{self.image}" + (f"@{self.snapshot}" if self.snapshot else "")

    def at(self, snapshot: str) -> Self:
        """A snapshot of the image."""
        return replace(self, snapshot=snapshot)

    @property
    def whole(self) -> Self:
        """The image without the snapshot."""
        return replace(self, snapshot="")


def sayable(name: str) -> bool:
    """Whether an id can be made of a pool's, an image's or a snapshot's name: strangers' may be anything."""
    return _PART.fullmatch(name) is not None and len(name.encode()) <= _LONGEST


def is_place(pool: str, namespace: str = "") -> bool:
    """Whether an id can be made of a pool and a namespace: Ceph's programs take what begins with ``-`` for options."""
    return all(sayable(word) and not word.startswith("-") for word in (pool, *([namespace] if namespace else [])))


def image_name(volume_name: str) -> str:
    """What the image of a volume is called: the volume's own name, or a stable hash where Ceph cannot have that.

    ``InvalidRequest`` for what is no text.
    """
    if _PLAIN.fullmatch(volume_name) and not volume_name.startswith(_HASHED):
        return volume_name
    return _HASHED + hashlib.sha256(encoded(volume_name)).hexdigest()[:32]


def encoded(name: str) -> bytes:
    """The bytes of a name; ``InvalidRequest`` for what is no text."""
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name!r} is no text: it has half a surrogate pair") from None


def image_names(volume_name: str) -> tuple[str, ...]:
    """What the image of a volume of that name may be called, by us or by a stranger."""
    return tuple(dict.fromkeys([image_name(volume_name), *([volume_name] if sayable(volume_name) else [])]))


def dotted_names(volume_name: str) -> Iterator[tuple[str, str]]:
    """Each ``POOL``, or ``POOL.NAMESPACE``, that the name may begin with, and the rest of it."""
    for dot in re.finditer(r"(?<=.)\.(?=.)", volume_name):
        yield volume_name[: dot.start()], volume_name[dot.end() :]


def foreign_name(spec: Spec, default: Pool) -> str:
    """What a volume is called that REX-Ray did not make: its image's name, with the pool where it is not the default.

    That is the form in which the original named volumes of other pools.
    """
    if spec.pool == default:
        return spec.image
    return ".".join(filter(None, (spec.pool.name, spec.pool.namespace, spec.image)))
