"""What hooks and ``viable()`` may return; anything else is told in a line that names the hook and the culprit."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rexray.errors import BrokenPlugin, PluginError

if TYPE_CHECKING:
    from rexray.drivers import Driver
    from rexray.types import Viability

_CONTRACTS = {
    "rexray_storage_drivers": ("rexray.drivers", "StorageDriver"),
    "rexray_node_drivers": ("rexray.drivers", "NodeDriver"),
    "rexray_os_drivers": ("rexray.drivers", "OSDriver"),
    "rexray_volume_drivers": ("rexray.drivers", "VolumeDriver"),
    "rexray_csi_plugins": ("rexray.csi.plugin", "CSIPlugin"),
}
_LONGEST = 60
_STDOUT = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let what plug-ins print go to standard error, for standard output is the user's; one thread at a time."""
    with _STDOUT, contextlib.redirect_stdout(sys.stderr):
        yield


def drivers(hook: str, items: Iterable[object]) -> tuple[type[Driver], ...]:
    """The classes that a hook returned, each whole and of the hook's contract; ``BrokenPlugin`` says what is not."""
    module, name = _CONTRACTS[hook]
    contract = getattr(importlib.import_module(module), name)
    found = tuple(items)
    for item in found:
        if wrong := _wrong_driver(item, contract):
            raise BrokenPlugin(f"{hook} returns {_shown(item)}, {wrong}")
    return found  # type: ignore[return-value] # that is what was looked at


def _wrong_driver(item: object, contract: type) -> str:
    if not isinstance(item, type):
        return "which is not a class"
    if not issubclass(item, contract):
        return f"which is no {contract.__name__}"
    if lacking := sorted(getattr(item, "__abstractmethods__", ())):
        return f"which lacks {', '.join(lacking)} of {contract.__name__}"
    name, aliases = getattr(item, "name", None), getattr(item, "aliases", ())
    if not isinstance(name, str) or not name:
        return "which has no name: set the class attribute 'name' to the word of its entry point"
    if not isinstance(aliases, tuple) or not all(isinstance(alias, str) for alias in aliases):
        return "whose aliases are no tuple of words"
    settings = getattr(item, "settings", None)
    if settings is not None and not is_settings(settings):
        return "whose settings are no dataclass"
    return ""


def is_settings(item: object) -> bool:
    """Whether it is a class of settings."""
    return isinstance(item, type) and dataclasses.is_dataclass(item)


def each(hook: str, result: object, is_right: Callable[[Any], bool], what: str) -> list[Any]:
    """The items of a hook's result; ``BrokenPlugin`` where it is no sequence, or an item is not ``what`` it takes."""
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise BrokenPlugin(f"{hook} returns {_shown(result)}, not a list")
    items = list(result)
    for item in items:
        if not is_right(item):
            raise BrokenPlugin(f"{hook} returns {_shown(item)}, which is not {what}")
    return items


def viability(viable: Callable[[], object]) -> Viability:
    """What ``viable`` says; ``BrokenPlugin`` where it raises, or says anything else than a ``Viability``."""
    from rexray.types import Viability

    try:
        found = viable()
    except (KeyboardInterrupt, PluginError):
        raise
    except BaseException as error:
        raise BrokenPlugin(f"viable() raises {said(error)}") from error
    if not isinstance(found, Viability) or (type(found.ok), type(found.reason)) != (bool, str):
        raise BrokenPlugin(f"viable() returns {_shown(found)}, not a Viability")
    return found


def said(error: BaseException) -> str:
    """An error of a plug-in's on one line; one that cannot even say itself is told by its class."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 whatever a stranger's __str__ does
        text = "an error that cannot be shown"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shown(item: object) -> str:
    if isinstance(item, type):
        return item.__qualname__
    try:
        text = " ".join(repr(item).split())
    except Exception:  # noqa: BLE001 whatever a stranger's __repr__ does
        text = f"a {type(item).__name__}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
