"""Secrets: in no repr, log, error, command line or URL."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rexray.drivers import StorageDriver
from rexray.errors import RexrayError, SettingsError
from rexray.settings import Option, Secret, Sources, options_of
from rexray.testing.kit.check import Skipped, expect, expect_equal
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.suites import STORAGE
from rexray.testing.kit.watching import Watch, secret_options, with_value
from rexray.types import VolumeId

SHORTEST = 8
"""Characters that a secret must have to be looked for: a shorter one may be a part of any word."""
_SOUNDS_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(private|access|api|auth)_?key", re.IGNORECASE
)
_SOUNDS_PUBLIC = re.compile(
    r"(file|path|dir|directory|folder|name|id|ids|url|uri|endpoint|ttl|timeout|cmd)$", re.IGNORECASE
)


@STORAGE.check(reads_only=True)
def settings_that_sound_secret_are_secrets(rig: StorageRig) -> None:
    """A password, a token or a key is a ``Secret``: whatever is a text may show in any log."""
    if rig.target.settings is None:
        raise Skipped(f"{rig.target.__name__} has no settings")
    found = [option for option in options_of(rig.target.settings) if option.type in (str, tuple[str, ...])]
    wrong = [option.key for option in found if _sounds_secret(option)]
    expect_equal(wrong, [], "settings whose names say that they are secret, and that are texts")


@STORAGE.check(reads_only=True)
def secrets_are_not_in_the_settings_repr(rig: StorageRig) -> None:
    """The repr of the settings shows no secret, nor do their values by themselves."""
    canaries, sources = _canaries(rig)
    assert rig.target.settings is not None
    settings: object = sources.load(rig.target.settings)
    _expect_hidden(canaries, f"{settings!r} {settings}", "the repr of the settings")
    for option in options_of(rig.target.settings):
        value = getattr(settings, option.name)
        _expect_hidden(canaries, f"{value!r} {value}", f"the repr of setting {option.key}")


@STORAGE.check(reads_only=True)
def secrets_are_not_in_the_drivers_repr(rig: StorageRig) -> None:
    """The repr of the driver shows no secret."""
    canaries, sources = _canaries(rig)
    driver = _made(rig, sources)
    _expect_hidden(canaries, f"{driver!r} {driver}", "the repr of the driver")


@STORAGE.check(reads_only=True)
def secrets_are_not_in_the_drivers_attributes(rig: StorageRig) -> None:
    """What a driver keeps of a secret is the ``Secret``: no attribute's repr shows it, for a debugger or a dump."""
    canaries, sources = _canaries(rig)
    for path, value in _attributes(_made(rig, sources)):
        _expect_hidden(canaries, f"{value!r}", f"the repr of the driver's attribute {path}")


@STORAGE.check(reads_only=True)
def secrets_are_not_in_what_making_a_driver_says(rig: StorageRig) -> None:
    """Making a driver logs no secret, starts no process with one, and names none in an error for wrong settings."""
    canaries, sources = _canaries(rig)
    options = secret_options(rig.target.settings)
    alone = [with_value(rig.sources, option, canaries[option.key]) for option in options]
    with Watch() as watch:
        for each in (sources, *alone):
            try:
                rig.target.make(each)
            except RexrayError as error:
                watch.note_error("making a driver", error)
    _expect_unheard(tuple(canaries.values()), watch)


@STORAGE.check(reads_only=True)
def secrets_are_not_in_what_the_platform_lists(rig: StorageRig) -> None:
    """Volumes, attachments and instances are handed to everybody, and hold no secret of the driver's."""
    words = _long_secrets(rig)
    for what, found in (("volume", rig.driver.volumes()), ("instance", rig.driver.instances())):
        for item in found:
            shown = [word for word in words if word in repr(item)]
            expect(not shown, f"a secret setting is in {what} {item.id!r}")


@STORAGE.check(reads_only=True)
def secrets_are_not_in_what_reading_says(rig: StorageRig) -> None:
    """Calls that read put no secret in a log, at ``DEBUG`` of any logger, an error, a command line or a URL."""
    words = _long_secrets(rig)
    with Watch() as watch:
        driver = rig.restarted()
        for call in (driver.volumes, driver.instances, lambda: driver.volumes_named("kit-no-such-volume")):
            _note(watch, "a list", partial(_exhaust, call))
        _note(watch, "a look-up", lambda: driver.volume(VolumeId("kit-no-such-volume")))
    _expect_unheard(words, watch)


@STORAGE.check()
def secrets_are_not_in_what_changing_says(rig: StorageRig) -> None:
    """Calls that change something put no secret in a log, an error, a command line or a URL, even if they fail."""
    words, [host] = _long_secrets(rig), rig.hosts(1)
    with Watch() as watch:
        volume = rig.create()
        _note(watch, "a create of another size", lambda: rig.create(volume.name, size_bytes=rig.size_bytes * 4))
        _note(watch, "a create of an unknown type", lambda: rig.create(type="kit-no-such-type"))
        rig.driver.attach(volume.id, host)
        _note(watch, "removing an attached volume", lambda: rig.driver.remove(volume.id))
        rig.driver.detach(volume.id, host)
        rig.driver.remove(volume.id)
    _expect_unheard(words, watch)


@STORAGE.check()
def secrets_are_not_in_what_a_refusal_of_them_says(rig: StorageRig) -> None:
    """Credentials that are wrong are named in no log, error, command line or URL, nor in what an error came of."""
    canaries, sources = _canaries(rig)
    with Watch() as watch:
        for what, call in _calls(_made(rig, sources)).items():
            _note(watch, what, call)
    _expect_unheard(tuple(canaries.values()), watch)


@STORAGE.check()
def secrets_are_not_in_what_an_unreachable_platform_leads_to(rig: StorageRig) -> None:
    """Where the platform cannot be reached, the error that says to whom nobody talked does not say by which secret."""
    rig.troubled("unreachable")
    canaries, sources = _canaries(rig, rig.troubles["unreachable"])
    with Watch() as watch:
        for what, call in _calls(_made(rig, sources)).items():
            _note(watch, what, call)
    _expect_unheard(tuple(canaries.values()), watch)


def _sounds_secret(option: Option) -> bool:
    word = option.key.rsplit(".", 1)[-1]
    return bool(_SOUNDS_SECRET.search(word)) and not _SOUNDS_PUBLIC.search(word)


def _canaries(rig: StorageRig, sources: Sources | None = None) -> tuple[dict[str, str], Sources]:
    """A word for each secret setting, by its key, that is nowhere else; and sources that say them."""
    options = secret_options(rig.target.settings)
    if not options:
        raise Skipped(f"{rig.target.__name__} has no secret settings")
    canaries = {option.key: f"canary{number}{secrets.token_hex(8)}" for number, option in enumerate(options)}
    sources = sources or rig.sources
    for option in options:
        sources = with_value(sources, option, canaries[option.key])
    return canaries, sources


def _made(rig: StorageRig, sources: Sources) -> StorageDriver:
    try:
        return rig.target.make(sources)
    except SettingsError as error:
        raise Skipped(f"the driver takes no other secrets: {error}") from None


def _long_secrets(rig: StorageRig) -> tuple[str, ...]:
    found = tuple(word for word in rig.secrets() if len(word) >= SHORTEST)
    if not found:
        raise Skipped(f"no secret setting has {SHORTEST} characters or more, which could be looked for")
    return found


def _calls(driver: StorageDriver) -> dict[str, Callable[[], object]]:
    gone = VolumeId("kit-no-such-volume")
    return {
        "volumes": lambda: list(driver.volumes()),
        "instances": lambda: list(driver.instances()),
        "volume": lambda: driver.volume(gone),
    }


def _exhaust(call: Callable[[], Iterable[object]]) -> None:
    for _ in call():
        pass


def _note(watch: Watch, what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 other checks judge what it is; this one what it says
        watch.note_error(what, error)


def _attributes(driver: object) -> list[tuple[str, object]]:
    """The attributes of the driver, and of its own package's objects that it keeps, by their paths."""
    found: list[tuple[str, object]] = []
    seen: set[int] = set()
    left: list[tuple[str, object]] = [(type(driver).__name__, driver)]
    package = type(driver).__module__.split(".")[0]
    while left and len(found) < 1000:
        path, item = left.pop()
        if id(item) in seen or isinstance(item, (Secret, str, bytes, Path, type)):
            continue
        seen.add(id(item))
        slots = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
        named = {**getattr(item, "__dict__", {}), **{name: getattr(item, name, None) for name in slots}}
        for name, value in named.items():
            found.append((f"{path}.{name}", value))
            if type(value).__module__.split(".")[0] == package:
                left.append((f"{path}.{name}", value))
    return found


def _expect_hidden(canaries: dict[str, str], text: str, where: str) -> None:
    shown = [key for key, word in canaries.items() if word in text]
    expect(not shown, f"{where} shows the secret {', '.join(shown)}")


def _expect_unheard(words: tuple[str, ...], watch: Watch) -> None:
    expect_equal(watch.places_of(words), [], "where a secret was said")
