"""The modules that the settings name: the endpoints that one daemon serves.

::

    rexray:
      modules:
        ebs:    {type: csi, host: unix:///run/docker/plugins/ebs.sock, rexray.service: ebs}
        shared: {type: docker, host: tcp://127.0.0.1:7980, rexray.service: rbd}

Any setting may be nested below a module and holds for that one alone. Without any module there is one that the
original called ``default-csi``, at the endpoint that ``csi.endpoint`` says or at the default socket; where several
services are configured and none is chosen, there is one for each, at a socket of its name beside the default one.
An endpoint that is said (``$CSI_ENDPOINT``) is always served: beside configured modules too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rexray import modules, services
from rexray.core_settings import CoreSettings
from rexray.csi.plugin import CSIPlugin
from rexray.csi.settings import CSISettings, Endpoint
from rexray.errors import InvalidRequest, NotInstalled, PluginError, SettingsError
from rexray.modules import ModuleSettings
from rexray.paths import Paths
from rexray.registry import registry
from rexray.scopes import MODULES
from rexray.settings import Sources
from rexray.settings_files import where
from rexray.volumes.platform import find_service, os_name, own_name
from rexray.volumes.settings import VolumeSettings
from rexray_server.csi.pipeline import parse_plugin_info
from rexray_server.endpoint import endpoint_to_serve
from rexray_server.settings import BRIDGE, ServerSettings, refuse_other_volume_drivers, refuse_unsupported

DEFAULT = "default-csi"
"""The name of the module that is there without being configured."""
_CHOICES = ("csi.driver", "csi.native")
"""The keys that choose a plug-in."""
REMOTE = "docker-remote"
"""The type of a module that serves the remote volume driver protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module as it is configured; ``where`` says in which file, empty for one that is not."""

    name: str
    settings: ModuleSettings
    endpoint: Endpoint
    sources: Sources = field(repr=False, compare=False)
    where: str = ""

    @property
    def key(self) -> str:
        """What it is recognised by over reloads: its endpoint, or its name where the kernel chooses the port."""
        return f"{self.endpoint} {self.name}" if self.endpoint.path is None and not self.endpoint.port else self.address

    @property
    def address(self) -> str:
        """The endpoint as users read it."""
        return str(self.endpoint)

    def blame(self, error: Exception) -> str:
        """The message of an error, with the module where that is not plain from it."""
        return f"{self.where}: {error}" if self.where and not isinstance(error, SettingsError) else str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a module is made from; two that are equal make the same."""

    module: Module
    server: ServerSettings
    csi: CSISettings
    plugin: type[CSIPlugin]
    service: str
    """What is kept on this host is kept by: the configured service, or the module if its platform is its own."""
    driver: str
    """The storage driver, or the native plug-in."""
    settings: tuple[object, ...]
    """What the plug-in and its drivers are configured by."""
    start_timeout: float = field(compare=False)

    @property
    def serves_docker(self) -> bool:
        """Whether Docker's volume protocol is answered: with CSI it needs both halves of it."""
        if self.module.settings.type == "csi":
            return not self.server.no_docker and not self.server.mode
        return self.module.settings.type == "docker"

    @property
    def serves_csi(self) -> bool:
        """Whether CSI is answered."""
        return self.module.settings.type == "csi"

    @property
    def speaks(self) -> str:
        """The protocols, for logs and for ``service status``."""
        if not self.serves_csi:
            return self.module.settings.type
        return "csi+docker" if self.serves_docker else "csi"


def find(sources: Sources, paths: Paths, base: Path) -> tuple[Module, ...]:
    """The modules to serve, sorted by name; ``SettingsError`` tells where a wrong one is configured.

    ``base`` is what a relative path of a socket is below.
    """
    refuse_unsupported(sources.environ)
    said = sources.load(CSISettings)
    names = modules.names(sources)
    found = [module for name in names if (module := _configured(name, sources, paths, base))]
    if not names:
        found = list(_unconfigured(sources, said, paths, base))
    elif said.endpoint and DEFAULT not in names:
        endpoint = endpoint_to_serve(said.endpoint, base)
        if all(module.endpoint != endpoint for module in found):
            found.append(_default(sources, endpoint))
    if not found:
        raise SettingsError(
            f"{_origin(sources, MODULES.rstrip('.'))}: every module is disabled: nothing is left to serve"
        )
    _refuse_shared(found)
    return tuple(sorted(found, key=lambda module: module.name))


def _configured(name: str, sources: Sources, paths: Paths, base: Path) -> Module | None:
    """A module that the files configure; None for one that is disabled."""
    scope = f"{MODULES}{name}."
    settings = modules.load(sources, name)
    if settings.disabled:
        return None
    if _place(sources, f"{scope}csi.endpoint"):
        raise SettingsError(
            f"{_origin(sources, scope + 'csi.endpoint')}: a module's endpoint is its host: say {scope}host"
        )
    said = settings.host
    if not said:
        default = sources.load(CSISettings).endpoint_or_default(paths)
        said = default if name == DEFAULT else str(paths.sockets / f"{name}.sock")
    try:
        endpoint = endpoint_to_serve(said, base)
    except SettingsError as error:
        raise SettingsError(f"{_origin(sources, scope + 'host')}: {error}") from None
    return Module(
        name=name,
        settings=settings,
        endpoint=endpoint,
        sources=modules.scoped(sources, name),
        where=_origin(sources, scope.rstrip(".")),
    )


def _origin(sources: Sources, key: str) -> str:
    """A key for an error message, with its place."""
    place = _place(sources, key)
    return f"{place}: {key}" if place else key


def _place(sources: Sources, key: str) -> str:
    """Where the files have a key or one below it, empty where none does."""
    lower = key.lower()
    for path, content in reversed(sources.files):
        if any(f"{name}.".startswith(f"{lower}.") for name in content):
            return where(path, content, lower)
    return ""


def _default(sources: Sources, endpoint: Endpoint) -> Module:
    return Module(name=DEFAULT, settings=ModuleSettings(), endpoint=endpoint, sources=sources)


def _unconfigured(sources: Sources, said: CSISettings, paths: Paths, base: Path) -> Iterator[Module]:
    """What is served where no module is configured."""
    socket = endpoint_to_serve(said.endpoint_or_default(paths), base)
    bridge = sources.load(ServerSettings).plugin == BRIDGE
    many = services.configured(sources) if bridge and not said.endpoint else ()
    if len(many) < 2 or sources.load(CoreSettings).service:
        yield _default(sources, socket)
        return
    for name in many:
        scope = f"{MODULES}{name}."
        chosen = (f"the service {name}", {f"{scope}rexray.service": name})
        yield Module(
            name=name,
            settings=ModuleSettings(),
            endpoint=endpoint_to_serve(str(paths.sockets / f"{name}.sock"), base),
            sources=replace(sources, files=(*sources.files, chosen), scopes=(scope,)),
        )


def _refuse_shared(modules: list[Module]) -> None:
    seen: dict[str, Module] = {}
    for module in modules:
        other = seen.setdefault(module.key, module)
        if other is not module:
            raise SettingsError(
                f"{module.where or other.where}: modules {other.name!r} and {module.name!r} have one endpoint, "
                f"{module.address}: give each a host of its own"
            )


def plan(module: Module) -> Plan:
    """What a module is to be made from; an error of its settings, or ``PluginError`` for what is not installed."""
    try:
        return _plan(module)
    except SettingsError:
        raise
    except (InvalidRequest, PluginError) as error:
        raise type(error)(module.blame(error)) from None


def _plan(module: Module) -> Plan:
    sources = module.sources
    server = sources.load(ServerSettings)
    if server.plugin_info:
        parse_plugin_info(server.plugin_info)
    plugin = registry().csi_plugin(server.plugin)
    viability = plugin.viable()
    if not viability.ok:
        raise NotInstalled(f"CSI plug-in {plugin.name!r} cannot work here: {viability.reason}")
    refuse_other_volume_drivers(sources.load(CoreSettings).volume_drivers, plugin.docker_driver)
    service, driver = "", plugin.name
    settings: list[object] = []
    if plugin.name == BRIDGE:
        try:
            found = find_service(sources)
        except NotInstalled:
            plugin.make(sources)  # it knows what else may be meant, and says so
            raise
        service, driver, sources = found.name, found.driver, found.sources
        classes = [registry().storage_driver(driver).settings, VolumeSettings]
        settings.append(sources.load(CoreSettings).remote_management)
        if server.mode != "controller":
            classes.append(registry().node_driver(driver).settings)
            with contextlib.suppress(PluginError):  # it is not needed, and not missed, before something is mounted
                settings.append(os_name(sources))
                classes.append(registry().os_driver(os_name(sources)).settings)
    else:
        classes = [plugin.settings] if plugin.settings else list(registry().settings())
        service = own_name(sources, classes, _CHOICES)
    settings += [sources.load(found) for found in dict.fromkeys(classes) if found is not None]
    return Plan(
        module=module,
        server=server,
        csi=replace(sources.load(CSISettings), endpoint=module.address),
        plugin=plugin,
        service=service,
        driver=driver,
        settings=tuple(settings),
        start_timeout=module.settings.start_timeout or server.start_timeout,
    )
