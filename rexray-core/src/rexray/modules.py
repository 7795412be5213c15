"""Modules: what the configuration files say of several endpoints in one daemon, each with settings of its own.

::

    rexray:
      modules:
        fast: {host: unix:///run/docker/plugins/fast.sock, libstorage: {service: fast}}
        slow: {host: tcp://127.0.0.1:7980, type: docker, rexray: {service: slow, volume: {mount: {preempt: true}}}}

Besides the few settings of its own a module may nest any key. What is nested holds for that module, before what its
service says, before the environment and before the same key elsewhere in the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from rexray import settings_unknown
from rexray.errors import NotFound
from rexray.scopes import MODULES, NAME, NAME_RULE, SERVICES, name_of, root_of
from rexray.settings import Sources, keys_of, setting
from rexray.settings_files import Finding

TYPES = ("csi", "docker", "docker-remote")
"""CSI, with Docker's protocol beside it unless ``csi.nodocker``; Docker's alone; the remote volume driver protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSettings:
    """What only a module has: the keys stand below ``rexray.modules.NAME``, and no variable or flag sets them."""

    type: str = setting("csi", key="type", choices=TYPES, help="What the module serves")
    desc: str = setting("", key="desc", help="A description for people")
    host: str = setting("", key="host", help="The endpoint at which it serves")
    disabled: bool = setting(False, key="disabled", help="Leave the module out")
    spec: str = setting(
        "auto",
        key="spec",
        choices=("auto", "true", "false"),
        help="Whether to write a file by which Docker finds the endpoint; auto does so for TCP",
    )
    start_timeout: float = setting(
        0.0,
        key="startTimeout",
        duration=True,
        help="How long the module may take to start; rexray.module.startTimeout if 0",
    )


def names(sources: Sources) -> tuple[str, ...]:
    """The names of the modules that the files configure, without those that are no names, sorted."""
    found = {name_of(key, MODULES) for _, content in sources.files for key in content if key.startswith(MODULES)}
    return tuple(sorted(name for name in found if re.fullmatch(NAME, name)))


def load(sources: Sources, name: str) -> ModuleSettings:
    """A module's own settings; ``SettingsError`` has the place of a wrong value."""
    return sources.load_own(ModuleSettings, f"{MODULES}{name}.")


def scoped(sources: Sources, name: str) -> Sources:
    """The sources as they hold for a module, whose name is taken in any case; ``NotFound`` if there is none."""
    if name.lower() not in names(sources):
        known = ", ".join(names(sources)) or "none"
        raise NotFound(f"module {name!r} is not configured; the modules are: {known}")
    return replace(sources, scopes=(f"{MODULES}{name.lower()}.",))


def findings(sources: Sources, known: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong in how modules are written; ``known`` are the keys of everybody, by their lower case."""
    keys = {**known, **keys_of([ModuleSettings])}
    for path, content in sources.files:
        for key, value in content.items():
            if told := _wrong(key, value, keys):
                yield Finding.at(path, content, key, told)


def _wrong(key: str, value: object, keys: Mapping[str, str]) -> str:
    if not f"{key}.".startswith(MODULES) or (value in ("", {}) and not key.startswith(MODULES)):
        return ""
    if not key.startswith(MODULES):
        return f"{key}: modules are expected, such as {key}.NAME.host"
    name, _, rest = key.removeprefix(MODULES).partition(".")
    if not re.fullmatch(NAME, name):
        return f"{MODULES}{name}: a module is called by {NAME_RULE}"
    if value == {}:
        return ""
    if not rest:
        return "" if value == "" else f"{key}: its settings are expected, such as {key}.host"
    if root_of(f"{rest}."):
        meant = "services" if root_of(f"{rest}.", SERVICES) else "modules"
        return f"{key}: {meant} stand outside of modules: say rexray.{meant}"
    return "" if rest in keys else settings_unknown.told(rest, keys, f"{MODULES}{name}.")
