"""Everything that is wrong in configuration files, without anything being done with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rexray import catalog, secret_sources, services
from rexray.core_settings import CoreSettings
from rexray.errors import PluginError, SettingsError
from rexray.modules import ModuleSettings
from rexray.registry import registry
from rexray.scopes import MODULES, name_of, split
from rexray.settings import Option, Sources, options_of
from rexray.settings_files import Finding, FromVariable, Unset, scan_file


def check(paths: Iterable[Path], environ: Mapping[str, str] | None = None) -> list[Finding]:
    """What is wrong in files that hold together, the lowest first: by file, line and column.

    Values ``$NAME`` are looked up in the environment, by default the process's own. No secret is fetched: whether one
    is where a file says it is, only the start tells.
    """
    found: list[Finding] = []
    files = []
    for path in paths:
        content, findings = scan_file(path, environ)
        files.append((str(path), content))
        found += findings
    sources = Sources(files=tuple(files), environ={})
    found += services.findings(sources)
    found += wrong_values(sources, [CoreSettings, *registry().settings()])
    found += _missing_drivers(sources)
    order = [path for path, _ in files]
    return sorted(found, key=lambda finding: (order.index(finding.file), finding.place or (0, 0)))


def literal_secrets(paths: Iterable[Path]) -> list[Path]:
    """Those of the files that have secrets in them, and not merely where these are."""
    secret = {key for key, (_, option) in _by_key([CoreSettings, *registry().settings()]).items() if option.secret}
    return [path for path in paths if any(_is_literal(key, value, secret) for key, value in scan_file(path)[0].items())]


def wrong_values(sources: Sources, known: Sequence[type]) -> Iterator[Finding]:
    """The values in the files that are not of their setting's type, those under services among them."""
    options, own = _by_key(known), _by_key([ModuleSettings])
    for path, content in sources.files:
        for key, value in content.items():
            prefix, rest = split(key)
            written, option = options.get(rest, ("", None))
            if option is None and prefix.startswith(MODULES):
                written, option = own.get(rest, ("", None))
            if option is None or (prefix.startswith(MODULES) and value == {}):
                continue
            try:
                option.parse(value, prefix + written)
            except SettingsError as error:
                yield Finding.at(path, content, key, str(error))
                continue
            if option.secret and (told := secret_sources.malformed(str(value))):
                yield Finding.at(path, content, key, f"{prefix}{written}: {told}")


def _missing_drivers(sources: Sources) -> Iterator[Finding]:
    """The services whose driver is not installed, or not to be used."""
    named = set()
    for path, content in sources.files:
        for key, value in content.items():
            prefix, rest = split(key)
            if services.root_of(prefix) and rest == services.DRIVER and isinstance(value, Unset):
                named.add(_name_of(key))  # it is told, and what it would be is not known
            elif services.root_of(prefix) and rest == services.DRIVER and isinstance(value, str) and value:
                named.add(_name_of(key))
                yield from _missing(path, content, key, value, "")
    for name in set(services.names(sources)) - named:
        path, content, key = next(
            (path, content, key) for path, content in sources.files for key in content if _name_of(key) == name
        )
        place = f"{services.root_of(key)}{name}"
        yield from _missing(path, content, place, name, f"; or say another driver: {place}.{services.DRIVER}")


def _missing(path: str, content: Mapping[str, object], key: str, driver: str, more: str) -> Iterator[Finding]:
    try:
        catalog.find("storage", driver)
    except PluginError as error:
        yield Finding.at(path, content, key, f"{key}: {error}{more}")


def _by_key(known: Sequence[type]) -> dict[str, tuple[str, Option]]:
    """The options by their keys in lower case, with the key as it is documented."""
    return {key.lower(): (key, option) for found in known for option in options_of(found) for key in option.keys}


def _name_of(key: str) -> str:
    """The service that a key is about, empty for none."""
    root = services.root_of(key)
    return name_of(key, root) if root else ""


def _is_literal(key: str, value: object, secret: set[str]) -> bool:
    given = bool(value) and not isinstance(value, (FromVariable, Unset))
    return split(key)[1] in secret and given and not secret_sources.is_source(str(value))
