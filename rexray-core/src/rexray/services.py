"""Services: storage drivers that the configuration files name, each with settings of its own.

::

    rexray:
      services:
        fast: {driver: rbd, rbd: {conf: /etc/ceph/fast.conf}}
        slow: {driver: rbd, rbd: {conf: /etc/ceph/slow.conf}}

The original's ``libstorage.server.services`` means the same. A run uses one of them. What is nested under a service
holds for its drivers and for the volume workflow over them, before the environment and before the same key elsewhere
in the files. Names are taken in any case, as all keys are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rexray import catalog, modules, settings, settings_unknown
from rexray.core_settings import CoreSettings
from rexray.errors import InvalidRequest, NotInstalled, PluginError, SettingsError
from rexray.hints import nearest
from rexray.scopes import MODULES, NAME, NAME_RULE, SERVICES, name_of, split
from rexray.scopes import root_of as any_root_of
from rexray.settings import Option, Sources, keys_of, options_of
from rexray.settings_files import Finding, Unset, place_of, where

ROOTS = SERVICES
"""The prefixes of the services' keys, ours first."""
DRIVER = "driver"
"""The key below a service that names its driver."""
_OF_THE_CORE = ("rexray.remoteManagement",)
"""The keys of the core's own that a service may nest: the others are the whole process's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A storage driver with the sources of its settings; ``name`` is empty where no services are configured."""

    driver: str
    sources: Sources
    name: str = ""


def configured(sources: Sources) -> tuple[str, ...]:
    """The names of the services that the files configure, sorted; ``SettingsError`` for one that is no name."""
    for finding in _wrong_names(sources):
        raise finding.error()
    return names(sources)


def choose(sources: Sources) -> str:
    """The name of the configured service to use, empty if none is configured.

    It is the one that the settings name, or the only one; ``InvalidRequest`` names them all.
    """
    names = configured(sources)
    if not names:
        return ""
    found = next(item for item in sources.effective(CoreSettings) if item.option.name == "service")
    wanted = str(found.value)
    if not wanted and len(names) > 1:
        raise InvalidRequest(
            f"several services are configured ({', '.join(names)}): choose one by -s or $REXRAY_SERVICE"
        )
    if wanted and wanted.lower() not in names:
        place = f"{found.where}: " if found.key else ""
        raise InvalidRequest(f"{place}service {wanted!r} is not configured; the services are: {', '.join(names)}")
    return wanted.lower() or names[0]


def load(sources: Sources, name: str) -> Service:
    """A configured service with its driver, which is installed; the error says where it is configured."""
    driver, where = _driver_of(sources, name)
    named = sources.load(CoreSettings).storage_drivers
    if named and driver not in named:
        raise InvalidRequest(
            f"{where}: the driver is {driver!r}, and the setting rexray.storageDrivers ($REXRAY_STORAGEDRIVERS) allows "
            f"{', '.join(named)}: leave that out"
        )
    return Service(name=name, driver=driver, sources=_below(sources, name))


def scoped(sources: Sources) -> Sources:
    """The sources as they hold for the service that is chosen; as they are while there are several to choose from."""
    names = configured(sources)
    if not names or (len(names) > 1 and not sources.load(CoreSettings).service):
        return sources
    return _below(sources, choose(sources))


def check_files(sources: Sources) -> None:
    """Refuse the first of the :func:`findings`."""
    for finding in findings(sources):
        raise finding.error()


def findings(sources: Sources) -> Iterator[Finding]:
    """Every key in the files that nobody has, and what may have been meant; and what configures no service."""
    from rexray.registry import registry

    classes = [CoreSettings, *registry().settings()]
    yield from settings.unknown_keys(sources, classes, elsewhere=(*ROOTS, MODULES), told=settings_unknown.told)
    yield from modules.findings(sources, keys_of(classes))
    yield from contradictions(sources, classes)
    yield from _wrong_names(sources)
    known = {name: _keys_of(sources, name) for name in names(sources)}
    for path, content in sources.files:
        for key, value in content.items():
            if told := _wrong_key(key, value, known):
                yield Finding.at(path, content, key, told)


def _wrong_key(key: str, value: object, known: Mapping[str, Mapping[str, str] | None]) -> str:
    """What is wrong with a key about services, empty if nothing is; ``known`` are the keys of each service."""
    root = root_of(key)
    name, _, rest = key.removeprefix(root).partition(".")
    if rest == DRIVER and root and isinstance(value, Unset):
        return f"{key}: {value.why}"
    if rest == DRIVER and root and not (isinstance(value, str) and value):
        return f"{key}: {value!r} is not the name of a driver"
    if rest and root:
        return "" if value == {} or name not in known else _wrong_nested(f"{root}{name}.", rest, known[name])
    if value in ("", {}):
        return ""
    if root:
        return f"{key}: its settings are expected, such as {key}.{DRIVER}"
    if f"{key}." in ROOTS:
        return f"{key}: services are expected, such as {key}.NAME.{DRIVER}"
    return ""


def names(sources: Sources) -> tuple[str, ...]:
    """The names of services, without those that are no names."""
    found = {name_of(key, root_of(key)) for _, content in sources.files for key in _below_roots(content)}
    return tuple(sorted(name for name in found if re.fullmatch(NAME, name)))


def _wrong_names(sources: Sources) -> Iterator[Finding]:
    for path, content in sources.files:
        for key in _below_roots(content):
            root = root_of(key)
            name = name_of(key, root)
            if not re.fullmatch(NAME, name):
                yield Finding.at(path, content, key, f"{root}{name}: a service is called by {NAME_RULE}")


def _below_roots(content: Mapping[str, object]) -> list[str]:
    return [key for key in content if root_of(key)]


def root_of(key: str) -> str:
    """The one of :data:`ROOTS` that a key begins with, empty for none."""
    return any_root_of(key, ROOTS)


def contradictions(sources: Sources, classes: Iterable[type]) -> Iterator[Finding]:
    """The settings that one file sets by two of their names at once, to different values."""
    options = {key.lower(): option for found in classes for option in options_of(found) for key in option.keys}
    for path, content in sources.files:
        first: dict[tuple[str, str], tuple[str, object]] = {}
        for key, written in content.items():
            prefix, rest = split(key)
            option = options.get(rest)
            if option is None or not option.older:
                continue
            try:
                value = option.parse(written, key)
            except SettingsError:
                continue  # told as what it is
            other, before = first.setdefault((prefix, option.key), (key, value))
            if before != value:
                place = place_of(content, other)
                at = f" in line {place[0]}" if place else ""
                told = f"{key}: it contradicts {other}{at}, which is the same setting: remove one of them"
                yield Finding.at(path, content, key, told)


def _wrong_nested(prefix: str, key: str, known: Mapping[str, str] | None) -> str:
    if known is None or key in known:
        return ""
    if message := settings_unknown.refused(key, known, prefix):
        return message
    near = nearest(key, known)
    hint = f"did you mean {prefix + known[near]!r}?" if near else "no driver of this service has it: remove it"
    return f"unknown setting {prefix + key!r}; {hint}"


def _keys_of(sources: Sources, name: str) -> Mapping[str, str] | None:
    """The keys that may be nested under a service, by their lower case; None while its driver is not installed."""
    try:
        driver, _ = _driver_of(sources, name)
        keys = nested_options(driver)
    except (PluginError, SettingsError):
        return None
    return {key.lower(): key for key in (DRIVER, *keys)}


def nested_options(driver: str) -> Mapping[str, Option]:
    """What may be nested under a service of that driver, by each of its keys; ``PluginError`` if it has none."""
    from rexray.registry import registry
    from rexray.volumes.settings import VolumeSettings

    classes = [registry().storage_driver(driver).settings, registry().node_driver(driver).settings, VolumeSettings]
    options = [option for found in classes if found for option in options_of(found)]
    options += [option for option in options_of(CoreSettings) if option.key in _OF_THE_CORE]
    return {key: option for option in options for key in option.keys}


def _driver_of(sources: Sources, name: str) -> tuple[str, str]:
    """The driver of a configured service, and where that is written; ``NotInstalled`` says what to install."""
    for path, content in reversed(sources.files):
        for root in ROOTS:
            key = f"{root}{name}.{DRIVER}"
            if key in content:
                return _installed(content[key], f"{where(path, content, key)}: {key}")
    path, prefix = next(
        (where(path, content, root + name), root + name)
        for path, content in sources.files
        for root in ROOTS
        if any((key + ".").startswith(f"{root}{name}.") for key in content)
    )
    try:
        return _installed(name, f"{path}: {prefix}")
    except NotInstalled as error:
        raise NotInstalled(f"{error}; or say another driver: {prefix}.{DRIVER}") from None


def _installed(driver: object, where: str) -> tuple[str, str]:
    if isinstance(driver, Unset):
        raise SettingsError(f"{where}: {driver.why}")
    if not isinstance(driver, str) or not driver:
        raise SettingsError(f"{where}: {driver!r} is not the name of a driver")
    try:
        catalog.find("storage", driver)
    except PluginError as error:
        raise type(error)(f"{where}: {error}") from None
    return driver, where


def _below(sources: Sources, name: str) -> Sources:
    """The sources with what is below the service, after what is below anything else that they hold for."""
    others = tuple(scope for scope in sources.scopes if not scope.startswith(ROOTS))
    return replace(sources, scopes=(*others, f"{ROOTS[0]}{name}."))
