"""What a driver class says about itself before it is made: name, settings, options, capabilities."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import time
from collections.abc import Iterator, Mapping

from rexray import mixins
from rexray.drivers import Driver, StorageDriver
from rexray.errors import SettingsError
from rexray.mixins import HasPolicy
from rexray.settings import Option, Sources, options_of
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE
from rexray.types import Viability
from rexray.volumes.options import OPTIONS

QUICK_SECONDS = 2.0
"""How long a look at this host, and making a driver, may take."""
_CONTRACT = (Driver, StorageDriver)
_WORD = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)+")
_KEY_PART = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_FLAG = re.compile(r"--[A-Za-z][A-Za-z0-9-]*")


@STORAGE.check(reads_only=True)
def the_name_is_a_word(rig: StorageRig) -> None:
    """A driver's name and its aliases are words that users type, in lower case, each another one."""
    names = (rig.target.name, *rig.target.aliases)
    for name in names:
        expect(_is_word(name), f"{name!r} is no word in lower case")
    expect_equal(len(set(names)), len(names), "different words of the name and the aliases")


@STORAGE.check(reads_only=True)
def the_settings_are_frozen(rig: StorageRig) -> None:
    """``settings`` is a frozen dataclass: what a driver was made with cannot change below it."""
    settings = _settings(rig)
    frozen = dataclasses.is_dataclass(settings) and settings.__dataclass_params__.frozen  # type: ignore[attr-defined] # of every dataclass
    expect(frozen, f"{settings.__name__} is no frozen dataclass")


@STORAGE.check(reads_only=True)
def every_setting_is_declared_whole(rig: StorageRig) -> None:
    """A setting has a key below the driver's own, a variable, flags that are flags, and a help text of a line."""
    for option in _options(rig):
        what = f"setting {option.name!r}"
        for key in option.keys:
            expect(_KEY_PART.fullmatch(key), f"{what} has the key {key!r}")
        expect(_KEY.fullmatch(option.key), f"{what} has the key {option.key!r}, which is not DRIVER.NAME")
        expect(option.env, f"{what} has no environment variable")
        for name in option.env:
            expect(_VARIABLE.fullmatch(name), f"{what} has the variable {name!r}, which is not of capitals")
        for flag in option.flags:
            expect(_FLAG.fullmatch(flag), f"{what} has the flag {flag!r}")
        expect(_is_line(option.help), f"{what} has the help {option.help!r}, which is no line")


@STORAGE.check(reads_only=True)
def settings_do_not_share_their_names(rig: StorageRig) -> None:
    """A key, a variable or a flag sets one setting."""
    options = _options(rig)
    for what, found in (
        ("keys", [key.lower() for option in options for key in dict.fromkeys(option.keys)]),
        ("variables", [name for option in options for name in dict.fromkeys(option.env)]),
        ("flags", [flag for option in options for flag in dict.fromkeys(option.flags)]),
    ):
        expect_equal(sorted({each for each in found if found.count(each) > 1}), [], f"{what} of several settings")


@STORAGE.check(reads_only=True)
def defaults_are_valid(rig: StorageRig) -> None:
    """A default is of its setting's type and one of its choices; the settings can be had with nothing given."""
    for option in _options(rig):
        parsed = option.parse(option.default, f"the default of {option.key}")
        expect_equal(parsed, option.default, f"the default of {option.key}, parsed as a user's value")
    Sources(environ={}).load(_settings(rig))


@STORAGE.check(reads_only=True)
def settings_that_are_shown_can_be_said(rig: StorageRig) -> None:
    """What ``rexray config`` shows of a setting means the same when a user writes it."""
    for option in _options(rig):
        shown = option.show(option.default)
        if option.secret or not shown:
            continue
        expect_equal(option.parse(shown, option.key), option.default, f"setting {option.key}, shown as {shown!r}")


@STORAGE.check(reads_only=True)
def create_options_are_words_with_help(rig: StorageRig) -> None:
    """A create option is a word in lower case with a line of help, and none of those that every driver has."""
    for name, text in rig.target.create_options.items():
        expect(_is_word(name), f"create option {name!r} is no word in lower case")
        expect(_is_line(text), f"create option {name!r} has the help {text!r}, which is no line")
        expect(name not in OPTIONS, f"create option {name!r} is one that every driver has: it is never handed on")


@STORAGE.check(reads_only=True)
def viable_says_whether_and_why_not(rig: StorageRig) -> None:
    """``viable`` is a ``Viability``, the same each time; where the driver cannot work it says why in a line."""
    found = times(10, rig.target.viable)
    for viability in found:
        expect(isinstance(viability, Viability), f"viable returned {viability!r}, which is no Viability")
    expect_equal(len({viability.ok for viability in found}), 1, "different answers of viable, asked ten times")
    text = found[0].reason
    expect(found[0].ok or _is_line(text), f"it is not viable, and the reason is {text!r}")


@STORAGE.check(reads_only=True)
def viable_is_quick(rig: StorageRig) -> None:
    """``viable`` is a quick look that calls no platform: every command may wait for that of every driver."""
    begin = time.monotonic()
    rig.target.viable()
    took = time.monotonic() - begin
    expect(took < QUICK_SECONDS, f"viable took {took:.1f} s, more than {QUICK_SECONDS:g}")


@STORAGE.check(reads_only=True)
def make_is_quick(rig: StorageRig) -> None:
    """``make`` only reads settings: a daemon makes every driver before it does anything."""
    for _ in range(3):
        begin = time.monotonic()
        made = rig.restarted()
        took = time.monotonic() - begin
        expect(isinstance(made, rig.target), f"make returned a {type(made).__name__}")
        expect(took < QUICK_SECONDS, f"make took {took:.1f} s, more than {QUICK_SECONDS:g}")


@STORAGE.check(reads_only=True)
def make_calls_no_platform(rig: StorageRig) -> None:
    """``make`` has no effect on the platform, and asks it nothing."""
    before = rig.calls()
    rig.restarted()
    expect_equal(rig.calls() - before, 0, "calls that the platform got while a driver was made")


@STORAGE.check(reads_only=True)
def make_refuses_settings_by_name(rig: StorageRig) -> None:
    """A value that a setting cannot have is ``SettingsError``, which says what was set, and where."""
    wrong = [option for option in _options(rig) if option.type in (int, float) or option.choices]
    if not wrong:
        raise Skipped(f"every value can be had of every setting of {rig.target.__name__}")
    for option in wrong:
        _expect_refusal(rig, option)


@STORAGE.check(reads_only=True)
def nothing_of_the_contract_is_missing(rig: StorageRig) -> None:
    """A driver class has every abstract method of the contract and of the capabilities that it declares."""
    expect(issubclass(rig.target, StorageDriver), f"{rig.target.__name__} is no StorageDriver")
    missing: frozenset[str] = getattr(rig.target, "__abstractmethods__", frozenset())
    expect_equal(sorted(missing), [], "methods that the class declares and does not have")


@STORAGE.check(reads_only=True)
def methods_take_what_the_contract_says(rig: StorageRig) -> None:
    """A method has the contract's parameters, by their names and kinds, and of its own only such as have a default."""
    for base in _contracts(rig.target):
        for name, method in inspect.getmembers(base, inspect.isroutine):
            if name.startswith("_") or not _is_declared_by(base, name):
                continue
            wanted, found = inspect.signature(method), inspect.signature(getattr(rig.target, name))
            expect_equal(
                _difference(wanted, found), "", f"{rig.target.__name__}.{name}, which {base.__name__} declares"
            )


@STORAGE.check(reads_only=True)
def capabilities_are_declared_once(rig: StorageRig) -> None:
    """A capability is a mixin: a driver that has all of its methods declares it, for nobody would find them."""
    for name, mixin in inspect.getmembers(mixins, inspect.isclass):
        methods: frozenset[str] = getattr(mixin, "__abstractmethods__", frozenset())
        if mixin.__module__ != mixins.__name__ or not methods or issubclass(rig.target, mixin):
            continue
        has_all = all(callable(getattr(rig.target, method, None)) for method in methods)
        expect(not has_all, f"{rig.target.__name__} has {', '.join(sorted(methods))}, and does not declare {name}")


@STORAGE.check(HasPolicy, reads_only=True)
def the_policy_needs_no_credentials(rig: StorageRig) -> None:
    """``policy`` says what the credentials must allow, in a form that JSON can hold, before there are any."""
    assert issubclass(rig.target, HasPolicy)
    found = rig.target.policy(Sources(environ={}))
    expect(isinstance(found, Mapping), f"the policy is a {type(found).__name__}")
    expect(found, f"the policy is {found!r}")
    json.dumps(found)
    expect_equal(rig.target.policy(Sources(environ={})), found, "the policy, asked for again")


def _is_word(found: object) -> bool:
    return isinstance(found, str) and _WORD.fullmatch(found) is not None


def _is_line(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text


def _settings(rig: StorageRig) -> type:
    if rig.target.settings is None:
        raise Skipped(f"{rig.target.__name__} has no settings")
    return rig.target.settings


def _options(rig: StorageRig) -> tuple[Option, ...]:
    return options_of(_settings(rig))


def _expect_refusal(rig: StorageRig, option: Option) -> None:
    name, value = option.env[0], "kit-no-such-value"
    with expect_raises(SettingsError, what=f"making a driver with {name}={value}") as caught:
        rig.target.make(Sources(environ={name: value}))
    expect(name in caught.text and value in caught.text, f"the error does not say {name}={value}: {caught.text}")


def _contracts(target: type) -> Iterator[type]:
    """The contract and the capabilities that a class declares."""
    yield from (each for each in target.__mro__ if each in _CONTRACT or each.__module__ == mixins.__name__)


def _is_declared_by(base: type, name: str) -> bool:
    return name in base.__dict__


def _difference(wanted: inspect.Signature, found: inspect.Signature) -> str:
    """In what a method cannot be called as the contract calls it, empty if it can."""
    own = dict(found.parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return ""
    for name, parameter in wanted.parameters.items():
        if name not in own:
            return f"it has no parameter {name!r}"
        mine = own.pop(name)
        by_name = mine.kind in (mine.KEYWORD_ONLY, mine.POSITIONAL_OR_KEYWORD)
        if name != "self" and not by_name:
            return f"parameter {name!r} cannot be given by its name"
        if parameter.kind is not parameter.KEYWORD_ONLY and mine.kind is mine.KEYWORD_ONLY:
            return f"parameter {name!r} cannot be given by its place"
        if parameter.default is not parameter.empty and mine.default is mine.empty:
            return f"parameter {name!r} has no default"
    more = [name for name, mine in own.items() if mine.default is mine.empty and mine.kind is not mine.VAR_POSITIONAL]
    return f"it needs {', '.join(more)} as well" if more else ""
