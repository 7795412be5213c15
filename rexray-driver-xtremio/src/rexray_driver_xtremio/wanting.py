"""What a spec asks of the array, checked, and whether a volume that is there is that already.

Facts: sizes are written with a unit (``10240m``) and come back in KiB; volumes never shrink (goxtremio).
"""

from __future__ import annotations

from rexray.errors import AlreadyExists, InvalidRequest, OutOfRange
from rexray.sizes import format_size
from rexray.types import VolumeSpec
from rexray_driver_xtremio.things import Disk

MIB = 1 << 20
DEFAULT_SIZE = 16 << 30


class Wanted:
    """What a spec asks for; sizes are whole MiB, and 16 GiB where neither a size nor a source is given."""

    def __init__(self, spec: VolumeSpec) -> None:
        self._spec = spec
        for what, value in (("type", spec.type), ("iops", spec.iops), ("zone", spec.zone)):
            if value:
                raise InvalidRequest(f"volume {spec.name!r}: {what} {value!r}: the array's volumes have no {what}")
        self.source = spec.source_snapshot or spec.source_volume or ""
        """The id of what it is to be a copy of."""
        self._size = whole_mib(spec.size_bytes, spec.limit_bytes, f"volume {spec.name!r}") if spec.size_bytes else 0

    @property
    def new_size(self) -> int:
        """The bytes of a new volume that is no copy."""
        return self._size or whole_mib(DEFAULT_SIZE, self._spec.limit_bytes, f"volume {self._spec.name!r}")

    def copy_size(self, source: Disk) -> int:
        """The bytes of a copy; ``OutOfRange`` if it would have to be smaller than its source."""
        spec = self._spec
        if self._size and self._size < source.size_bytes:
            raise OutOfRange(
                f"volume {spec.name!r}: {format_size(self._size)} are less than the {format_size(source.size_bytes)} "
                f"of {source.ref.name!r}, of which it is to be a copy"
            )
        if spec.limit_bytes and source.size_bytes > spec.limit_bytes:
            raise OutOfRange(f"volume {spec.name!r}: the {source.size_bytes} bytes of its source are beyond the limit")
        return self._size or source.size_bytes

    def refuse_other(self, disk: Disk) -> None:
        """``AlreadyExists`` says in what the volume of that name is not what was asked for."""
        spec, what = self._spec, f"volume {self._spec.name!r} ({disk.ref.guid})"
        if disk.is_snapshot:
            raise AlreadyExists(f"{what} exists and is a snapshot: take another name")
        if self.source and (disk.ancestor is None or disk.ancestor.guid != self.source):
            of = f"a copy of {disk.ancestor.guid!r}" if disk.ancestor else "no copy of another"
            raise AlreadyExists(f"{what} exists and is {of}, and was asked for as a copy of {self.source!r}")
        if self._size and disk.size_bytes != self._size:
            raise AlreadyExists(
                f"{what} exists with {disk.size_bytes} bytes, and was asked for with {self._size} bytes"
            )
        if spec.limit_bytes and disk.size_bytes > spec.limit_bytes:
            raise AlreadyExists(f"{what} exists with {disk.size_bytes} bytes, which is more than was asked for")


def whole_mib(size_bytes: int, limit_bytes: int, what: str) -> int:
    """The bytes of the whole MiB that hold so many; ``OutOfRange`` if that is beyond the limit, where one is set."""
    size = max(1, -(-size_bytes // MIB)) * MIB
    if limit_bytes and size > limit_bytes:
        raise OutOfRange(f"{what}: volumes have whole MiB, and {size} bytes are more than the limit of {limit_bytes}")
    return size


def size_word(size_bytes: int) -> str:
    """A size as requests have it."""
    return f"{size_bytes // MIB}m"
