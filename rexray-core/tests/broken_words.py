"""Storage drivers that say something wrong about themselves, or tell secrets."""

from __future__ import annotations

import logging
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from broken_storage import PlainStorage
from rexray.errors import RexrayError, SettingsError
from rexray.settings import Sources, setting
from rexray.testing.memory.copies import Array
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Capacity, Viability, Volume, VolumeId

T = TypeVar("T")

log = logging.getLogger(__name__)

# Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPasswords(MemorySettings):
    """A token that is a text."""

    token: str = setting("", key="memory.apiToken", help="The token")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OpenSettings(MemorySettings):
    """Settings whose repr shows all."""

    def __repr__(self) -> str:
        return f"OpenSettings({self.password.reveal()})"


class HasTextPassword(MemoryStorage):
    """A secret is a text among its settings."""

    settings = TextPasswords


class ShowsSettings(MemoryStorage):
    """The settings' repr is its own, with the password."""

    settings = OpenSettings


class ShowsItself(MemoryStorage):
    """The driver's repr says by which password it works."""

    def __repr__(self) -> str:
        return f"MemoryStorage({self._settings.password.reveal()!r})"


class KeepsPlainly(MemoryStorage):
    """The password is kept as a text, and told to the log when the driver is made."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self.login = ("admin", settings.password.reveal())
        log.debug("logging in as %s", self.login)


class ListsPasswords(MemoryStorage):
    """Volumes have a field by which to log in."""

    def volumes(self) -> Iterator[Volume]:
        fields = {"login": self._settings.password.reveal()}
        return (replace(volume, fields={**volume.fields, **fields}) for volume in super().volumes())


class LogsCalls(MemoryStorage):
    """What is sent to the platform is logged, the password as well."""

    def _call(self, call: str, work: Callable[[Array], T], **more: Any) -> T:
        log.debug("%s with password %s", call, self._settings.password.reveal())
        return super()._call(call, work, **more)


class RunsPrograms(MemoryStorage):
    """A program is given the password on its command line."""

    def _call(self, call: str, work: Callable[[Array], T], **more: Any) -> T:
        subprocess.run(["true", "--password", self._settings.password.reveal()], check=False)
        return super()._call(call, work, **more)


class ChainsErrors(MemoryStorage):
    """An error came of another one, which has the password."""

    def _call(self, call: str, work: Callable[[Array], T], **more: Any) -> T:
        try:
            return super()._call(call, work, **more)
        except RexrayError as error:
            cause = OSError(f"https://admin:{self._settings.password.reveal()}@array/ answered {error}")
            raise type(error)(str(error)) from cause


# Declarations


class TwoWords(MemoryStorage):
    """The name is no word."""

    name = "Memory One"


@dataclass(kw_only=True)
class LooseSettings:
    """Settings that anybody can change, and of which nothing is right."""

    mode: str = setting("fast", key="mode", env="loose-mode", flags=("mode",), help="", choices=("slow",))
    other: str = setting("", key="mode", env="loose-mode", flags=("mode",), help="Another of the same names")
    words: tuple[str, ...] = setting(("two words",), key="memory.words", help="A list that is taken for another")


class Loose(MemoryStorage):
    """Its settings are declared wrongly."""

    settings = LooseSettings  # type: ignore[assignment] # that is the defect


class OddOptions(MemoryStorage):
    """A create option is one that every driver has."""

    create_options = {"size": "the size"}


class SilentlyUnviable(MemoryStorage):
    """It cannot work here, and does not say why."""

    @classmethod
    def viable(cls) -> Viability:
        return Viability(ok=False)


class SlowlyViable(MemoryStorage):
    """Whether it can work here, and what it is made of, is asked of somebody far away."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        time.sleep(2.1)
        super().__init__(settings, platform)

    @classmethod
    def viable(cls) -> Viability:
        time.sleep(2.1)
        return Viability(ok=True)


class Lenient(MemoryStorage):
    """Settings that are wrong are left out."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        try:
            return super().make(sources)
        except SettingsError:
            return super().make(Sources(environ={}))


class Unfinished(MemoryStorage):
    """A method is missing."""

    @abstractmethod
    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        raise NotImplementedError


class OtherWords(MemoryStorage):
    """A parameter is called otherwise than the contract calls it."""

    def volume(self, vol: VolumeId) -> Volume:
        return super().volume(vol)


class Undeclared(PlainStorage):
    """It tells its capacity, and does not say that it does."""

    def capacity(self, zone: str = "") -> Capacity:
        return Capacity(available_bytes=1)


class PolicyOfNothing(MemoryStorage):
    """Its policy is empty without credentials."""

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, Any]:
        return {}
