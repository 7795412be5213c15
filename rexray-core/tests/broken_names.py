"""Storage drivers that take one name for another."""

from __future__ import annotations

import html
import os
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray.errors import InvalidRequest
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Volume, VolumeSpec


class Keyed(MemoryStorage):
    """Makes a key of a name, by which the volume is known to the platform; two names may have one key."""

    def key(self, name: str) -> str:
        raise NotImplementedError

    def create(self, spec: VolumeSpec) -> Volume:
        return replace(super().create(replace(spec, name=self.key(spec.name))), name=spec.name)

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (replace(each, name=name) for each in super().volumes_named(self.key(name)))


class SecondCharacterOn(Keyed):
    """The first character of a name is taken for a mark."""

    def key(self, name: str) -> str:
        return name[1:]


class Numbers(MemoryStorage):
    """A name of digits is a number."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, name=str(int(spec.name)) if spec.name.isdigit() else spec.name))


class ShortNames(MemoryStorage):
    """The platform's limit is everybody's."""

    def create(self, spec: VolumeSpec) -> Volume:
        if len(spec.name.encode()) > 127:
            raise InvalidRequest(f"volume name {spec.name!r} is too long")
        return super().create(spec)


class AsciiNames(MemoryStorage):
    """Names are ASCII."""

    def create(self, spec: VolumeSpec) -> Volume:
        if not spec.name.isascii():
            raise InvalidRequest(f"volume name {spec.name!r} is not ASCII")
        return super().create(spec)


class BasicPlane(Keyed):
    """Characters beyond the basic plane are lost."""

    def key(self, name: str) -> str:
        return "".join(each for each in name if ord(each) < 1 << 16)

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return MemoryStorage.volumes_named(self, self.key(name))


class SqueezesBlanks(Keyed):
    """Blanks around and within a name do not count, nor do quotes."""

    def key(self, name: str) -> str:
        return re.sub(r"""['"`\s\\]+""", "", name)


class ShellWords(MemoryStorage):
    """A name must be a word for the shell."""

    def create(self, spec: VolumeSpec) -> Volume:
        if re.search(r"[;$|&>*~!#]", spec.name):
            raise InvalidRequest(f"volume name {spec.name!r} needs quotes")
        return super().create(spec)


class Unescapes(MemoryStorage):
    """A name is taken for escaped."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, name=html.unescape(urllib.parse.unquote(spec.name))))


class LeftOff(Keyed):
    """What could be an option or a hidden file loses its beginning."""

    def key(self, name: str) -> str:
        return name.lstrip("-.")


class Stems(Keyed):
    """What ends as a file does loses its ending."""

    def key(self, name: str) -> str:
        return Path(name).stem


class CaseFolds(Keyed):
    """Case does not count."""

    def key(self, name: str) -> str:
        return name.casefold()


class Normalizes(Keyed):
    """The normal form does not count, nor what nobody sees."""

    def key(self, name: str) -> str:
        return "".join(each for each in unicodedata.normalize("NFKC", name) if unicodedata.category(each) != "Cf")


class Beginnings(Keyed):
    """Of a long name its beginning counts."""

    def key(self, name: str) -> str:
        return name[:100]


class Endings(Keyed):
    """Of a long name its end counts."""

    def key(self, name: str) -> str:
        return name[-100:]


class Nameless(Keyed):
    """A name that is empty is made up."""

    def key(self, name: str) -> str:
        return name or "unnamed"


class Paths(Keyed):
    """A name is a path."""

    def key(self, name: str) -> str:
        return os.path.basename(os.path.normpath(name)) if "/" in name else name


class CStrings(Keyed):
    """A name ends at the first NUL, and has no blank after it."""

    def key(self, name: str) -> str:
        return name.split("\0")[0].rstrip()


class Encodes(Keyed):
    """What cannot be encoded is left out."""

    def key(self, name: str) -> str:
        return name.encode(errors="ignore").decode()


class CutsOff(Keyed):
    """A name that is too long is cut off."""

    def key(self, name: str) -> str:
        return name[:128]


class RawRefusals(MemoryStorage):
    """A name that is refused is in the error as it came."""

    def create(self, spec: VolumeSpec) -> Volume:
        try:
            return super().create(spec)
        except InvalidRequest:
            raise InvalidRequest(f"{spec.name} is no name") from None
