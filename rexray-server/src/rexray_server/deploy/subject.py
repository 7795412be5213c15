"""What is deployed: a driver or a configured service as a CSI plug-in, by what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rexray import catalog, secret_sources, services
from rexray._version import __version__
from rexray.cli.app import App, all_settings
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities
from rexray.csi.bridge.identity import Identity
from rexray.errors import InvalidRequest, NotInstalled, SettingsError
from rexray.registry import registry
from rexray.settings import Sources, options_of, read_files
from rexray.settings_files import FromVariable, Unset
from rexray.volumes.platform import find_service
from rexray_server.settings import BRIDGE, ServerSettings

CONFIG = "/etc/rexray/config.yml"
"""Where a container finds the configuration file."""
SECRETS = "/etc/rexray/secrets"
"""Where a container finds the secrets that are files."""
SOCKET = "unix:///csi/csi.sock"
"""Where a plug-in in a container listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A CSI plug-in to deploy.

    ``driver`` is the word that users type, ``service`` the configured service of it or empty, ``native`` whether it is
    a CSI plug-in of its own, without the bridge. ``capabilities`` are those of its controller, ``constraints`` what the
    plug-in as a whole reports, by their names in ``csi.proto``. ``configs`` is what the configuration file says to the
    ``controller`` and to the ``node``, empty without a file.
    """

    driver: str
    service: str
    native: bool
    plugin: str
    """Its name among CSI plug-ins, such as ``loop.rexray.io``."""
    distribution: str
    """The distribution that has it, as pip takes it."""
    capabilities: frozenset[str]
    constraints: frozenset[str]
    configs: Mapping[str, str]

    @property
    def name(self) -> str:
        """A name for jobs and objects: letters, digits and hyphens, at most 40 of them."""
        words = re.sub(r"[^a-z0-9]+", "-", (self.service or self.driver).lower()).strip("-")
        return f"rexray-{words}"[:40].rstrip("-")

    @property
    def is_zonal(self) -> bool:
        """Whether its volumes can be used in some zones only."""
        return "VOLUME_ACCESSIBILITY_CONSTRAINTS" in self.constraints

    def environment(self, mode: str) -> dict[str, str]:
        """The variables of a container that is the ``controller`` or the ``node``."""
        found = {"CSI_ENDPOINT": SOCKET, "X_CSI_MODE": mode}
        if self.native:
            return found | {"X_CSI_NATIVE": "true", "X_CSI_DRIVER": self.driver}
        if self.service:
            return found | {"REXRAY_SERVICE": self.service}
        return found | {"REXRAY_STORAGEDRIVERS": self.driver}


def subject_of(app: App, driver: str) -> Subject:
    """What the run's settings and ``driver``, if it is named, say is to be deployed; only ``--config`` goes with it.

    ``InvalidRequest`` where that is not clear, ``SettingsError`` for a configuration with a secret in it.
    """
    sources = app.sources
    configs: Mapping[str, str] = {}
    if app.config is not None:
        files = read_files((), app.config)
        refuse_secrets(files)
        configs = _rewritten(app.config)
        sources = Sources(files=files, flags=app.flags)
    elif services.configured(sources):
        raise InvalidRequest("services are configured on this host: name the file that goes with them by --config")
    plugin = sources.load(ServerSettings).plugin
    if driver and any(entry.name == driver for entry in catalog.entries("csi")):
        plugin = driver
    elif driver:
        plugin = BRIDGE
    return _bridged(driver, sources, configs) if plugin == BRIDGE else _native(plugin, sources, configs)


def _native(driver: str, sources: Sources, configs: Mapping[str, str]) -> Subject:
    plugin = registry().csi_plugin(driver).make(sources)
    identity: Any = plugin.services(("Identity",))["Identity"]
    offered = frozenset(plugin.offered)
    return Subject(
        driver=driver,
        service="",
        native=True,
        plugin=identity.GetPluginInfo(pb.GetPluginInfoRequest(), None).name,
        distribution=_distribution("csi", driver),
        capabilities=offered,
        constraints=offered,
        configs=configs,
    )


def _bridged(driver: str, sources: Sources, configs: Mapping[str, str]) -> Subject:
    service = ""
    if not driver or services.configured(sources):
        found = find_service(sources)
        if driver and driver != found.driver:
            raise InvalidRequest(f"service {found.name!r} is of the driver {found.driver!r}, not {driver!r}")
        driver, service = found.driver, found.name
    storage = registry().storage_driver(driver)
    identity = Identity(storage, controller=True, service=service)
    return Subject(
        driver=storage.name,
        service=service,
        native=False,
        plugin=identity.GetPluginInfo(pb.GetPluginInfoRequest(), None).name,
        distribution=_distribution("storage", driver),
        capabilities=frozenset((*abilities.of_controller(storage), *abilities.of_group_controller(storage))),
        constraints=frozenset(abilities.of_plugin(storage, controller=True)),
        configs=configs,
    )


def _distribution(kind: str, driver: str) -> str:
    found = catalog.find(kind, driver).distribution()
    if found is None or not found.version:
        raise NotInstalled(f"driver {driver!r} comes with no distribution that pip could install elsewhere")
    return f"{found.name}=={found.version}"


def requirements(subject: Subject) -> tuple[str, ...]:
    """What pip is to install for it, in the versions of here."""
    ours = [f"{name}=={__version__}" for name in ("rexray-core", "rexray-server", "rexray-os-linux")]
    return (*ours, subject.distribution)


def refuse_secrets(files: tuple[tuple[str, Mapping[str, object]], ...]) -> None:
    """``SettingsError`` for a file with a secret in it that is no reference to one: a generated file is no place."""
    secret = _secret_keys()
    for path, content in files:
        for key, value in content.items():
            reference = isinstance(value, (FromVariable, Unset)) or secret_sources.is_source(str(value))
            if value and not reference and _is_one_of(key, secret):
                raise SettingsError(
                    f"{path}: {key} has the secret itself: write env:NAME or file:{SECRETS}/NAME in its place, "
                    "and leave the secret to the orchestrator"
                )


def _secret_keys() -> frozenset[str]:
    options = [option for settings in all_settings() for option in options_of(settings) if option.secret]
    return frozenset(key.lower() for option in options for key in option.keys)


def _is_one_of(key: str, keys: Collection[str]) -> bool:
    """Whether a key is one of those, below a service or not."""
    return any(key.lower() == known or key.lower().endswith(f".{known}") for known in keys)


def _rewritten(path: Path) -> dict[str, str]:
    """The configuration without its comments, where somebody may have left a secret.

    A node gets it without its secrets, too: it has none of what they refer to.
    """
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    secret = _secret_keys()
    return {"controller": _yaml(said), "node": _yaml(_without(said, secret, ""))}


def _without(said: object, keys: Collection[str], prefix: str) -> object:
    if not isinstance(said, dict):
        return said
    return {
        key: _without(value, keys, f"{prefix}{key}.")
        for key, value in said.items()
        if not _is_one_of(f"{prefix}{key}", keys)
    }


def _yaml(said: object) -> str:
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    return text
