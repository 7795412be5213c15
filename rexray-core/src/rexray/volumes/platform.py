"""The storage platform of a run: its storage driver, the node driver beside it, and this host's OS driver.

A run uses one service: the configured one that the settings choose, or, where none is configured, an installed storage
driver by its own name or alias.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from rexray import catalog, plugin_results, services
from rexray.core_settings import CoreSettings
from rexray.drivers import Driver, NodeDriver, OSDriver, StorageDriver
from rexray.errors import InvalidRequest, NotInstalled, PluginError
from rexray.registry import registry
from rexray.scopes import MODULES, name_of
from rexray.services import Service
from rexray.settings import Sources, options_of

D = TypeVar("D", bound=Driver)
_CHOICES = tuple(
    key for option in options_of(CoreSettings) if option.name in ("service", "storage_drivers") for key in option.keys
)
"""The keys that choose a platform."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Three drivers that work together; the OS driver is not needed, and not made, before something is mounted."""

    storage: StorageDriver
    node: NodeDriver
    make_os: Callable[[], OSDriver]
    remote: bool = False
    """Whether it acts for an instance that is elsewhere, whose devices are not on this host."""
    service: str = ""
    """The configured service that it is, which what is kept on this host is kept by; empty for a mere driver."""

    @functools.cached_property
    def os(self) -> OSDriver:
        """This host's OS driver; ``NotInstalled`` says what to install."""
        return self.make_os()


def find_platform(sources: Sources) -> Platform:
    """The platform that the sources configure; ``NotInstalled`` says what to install."""
    return service_platform(find_service(sources))


def service_platform(service: Service) -> Platform:
    """The platform that a service is; ``NotInstalled`` says what to install."""
    sources = service.sources
    return Platform(
        storage=registry().storage_driver(service.driver).make(sources),
        node=registry().node_driver(service.driver).make(sources),
        make_os=lambda: registry().os_driver(os_name(sources)).make(sources),
        remote=sources.load(CoreSettings).remote_management,
        service=service.name,
    )


def find_service(sources: Sources) -> Service:
    """The service to use: the configured one, or a storage driver where none is configured."""
    name = services.choose(sources)
    if name:
        return services.load(sources, name)
    driver = _storage_name(sources)
    if not any(scope.startswith(MODULES) for scope in sources.scopes):
        return Service(driver=driver, sources=sources)
    classes = (registry().storage_driver(driver).settings, registry().node_driver(driver).settings)
    return Service(driver=driver, sources=sources, name=own_name(sources, classes, _CHOICES))


def own_name(sources: Sources, classes: Iterable[type | None], further: Collection[str] = ()) -> str:
    """What is kept on this host for a module is kept by this name, which is no service's; empty, and it is the host's.

    A module that nests settings of these classes, or one of the ``further`` keys, has a platform of its own: a volume
    of one name there is another volume than elsewhere.
    """
    options = [option for found in classes if found for option in options_of(found)]
    keys = {key.lower() for option in options for key in option.keys} | {key.lower() for key in further}
    for scope in sources.scopes:
        if scope.startswith(MODULES) and any(scope + key in content for _, content in sources.files for key in keys):
            return f"module.{name_of(scope, MODULES)}"
    return ""


def _storage_name(sources: Sources) -> str:
    """The storage driver to use: the one that is configured, or the only installed one that can work here."""
    settings = sources.load(CoreSettings)
    if settings.service and not settings.storage_drivers and _is_installed(settings.service):
        return settings.service
    names = settings.storage_drivers or _viable("storage", registry().node_driver)
    if settings.service:
        if settings.service not in names:
            known = ", ".join(names) or "none"
            raise InvalidRequest(f"service {settings.service!r} is not configured; the storage drivers are: {known}")
        return settings.service
    if not names:
        reasons = _reasons("storage", registry().node_driver)
        raise NotInstalled(reasons or "no storage driver is installed: pip install rexray-driver-NAME")
    if len(names) > 1:
        raise InvalidRequest(
            f"several storage drivers are in use ({', '.join(names)}): choose one by $REXRAY_STORAGEDRIVERS"
        )
    return names[0]


def os_name(sources: Sources) -> str:
    """The OS driver to use: the one that is configured, or the first installed one that can work here."""
    names = sources.load(CoreSettings).os_drivers or _viable("os", registry().os_driver)
    if not names:
        reasons = _reasons("os", registry().os_driver)
        raise NotInstalled(reasons or "no OS driver is installed: pip install rexray-os-linux")
    return names[0]


def _is_installed(name: str) -> bool:
    """Whether there is a storage driver of that name or alias, in whatever state it is."""
    return any(entry.name == name for entry in catalog.entries("storage"))


def _viable(kind: str, load: Callable[[str], type[D]]) -> tuple[str, ...]:
    return tuple(name for name, reason in _looks(kind, load) if not reason)


def _reasons(kind: str, load: Callable[[str], type[D]]) -> str:
    found = [f"{name}: {reason}" for name, reason in _looks(kind, load)]
    return f"no installed {kind} driver can work here: {'; '.join(found)}" if found else ""


def _looks(kind: str, load: Callable[[str], type[D]]) -> Iterable[tuple[str, str]]:
    """Every installed driver of a kind, and why it cannot work here."""
    for entry in catalog.entries(kind):
        try:
            driver = load(entry.name)
            viability = plugin_results.viability(driver.viable)
        except PluginError as error:
            yield entry.name, str(error)
        else:
            if driver.name == entry.name:  # not an alias
                yield entry.name, "" if viability.ok else viability.reason
