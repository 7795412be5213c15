"""The Docker volume plug-in API v1.1 as a WSGI application over a volume driver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from rexray import calls
from rexray.drivers import VolumeDriver
from rexray.errors import InvalidRequest, RexrayError
from rexray.types import MountRequest
from rexray_server.docker import wire

log = logging.getLogger(__name__)

ANONYMOUS = "docker"
"""The holder of a mount whose caller gives no ID, as Docker before 1.12 does."""

_INSTANT = frozenset({"/Plugin.Activate", "/VolumeDriver.Capabilities"})
_INSTANT_BODY = 4096
"""A longer body is parsed in a thread: it would hold every other connection up."""

Method = Callable[[wire.Call], Mapping[str, object]]


class DockerApplication:
    """Docker's endpoints. ``scope`` tells swarm whether a volume is the same on every node."""

    def __init__(self, driver: VolumeDriver, *, scope: str) -> None:
        self._driver = driver
        self._scope = scope
        self._methods: dict[str, Method] = {
            "/Plugin.Activate": self._activate,
            "/VolumeDriver.Capabilities": self._capabilities,
            "/VolumeDriver.Create": self._create,
            "/VolumeDriver.Get": self._get,
            "/VolumeDriver.List": self._list,
            "/VolumeDriver.Mount": self._mount,
            "/VolumeDriver.Path": self._path,
            "/VolumeDriver.Remove": self._remove,
            "/VolumeDriver.Unmount": self._unmount,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ, populate_request=False)
        status, body = self._answer(request)
        response = Response(body, status, content_type=wire.CONTENT_TYPE)
        return response(environ, start_response)

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        """Whether the call needs no driver: dockerd hears from us even when every thread waits for a backend."""
        return environ["PATH_INFO"] in _INSTANT and int(environ["CONTENT_LENGTH"]) <= _INSTANT_BODY

    def _answer(self, request: Request) -> tuple[int, bytes]:
        try:
            return 200, wire.encode(self._dispatch(request))
        except HTTPException as error:
            return error.code or 500, wire.fault(str(error.description))
        except RexrayError as error:
            log.info("call failed", extra={"fields": {"call": request.path, "error": str(error)}})
            return wire.status_of(error), wire.fault(str(error))
        except Exception:
            log.exception("call failed", extra={"fields": {"call": request.path}})
            return 500, wire.fault("internal error: see the log of rexray")

    def _dispatch(self, request: Request) -> Mapping[str, object]:
        method = self._methods.get(request.path)
        if method is None:
            raise NotFound(f"{request.path}: no such call; there are {', '.join(self._methods)}")
        if request.method != "POST" and (request.path, request.method) != ("/Plugin.Activate", "GET"):
            raise MethodNotAllowed(["POST"], f"{request.path} is called by POST, not {request.method}")
        with calls.call("docker", request.path.rpartition(".")[2]):
            return method(wire.parse(request.get_data()))

    def _activate(self, _: wire.Call) -> Mapping[str, object]:
        return {"Implements": ["VolumeDriver"]}

    def _capabilities(self, _: wire.Call) -> Mapping[str, object]:
        return {"Capabilities": {"Scope": self._scope}}

    def _create(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.create(_name(call), call.options)
        return {}

    def _get(self, call: wire.Call) -> Mapping[str, object]:
        return {"Volume": wire.describe(self._driver.get(_name(call)), detailed=True)}

    def _list(self, _: wire.Call) -> Mapping[str, object]:
        return {"Volumes": [wire.describe(volume) for volume in self._driver.list()]}

    def _mount(self, call: wire.Call) -> Mapping[str, object]:
        mounted = self._driver.mount(MountRequest(name=_name(call), holder=call.id or ANONYMOUS))
        return {"Mountpoint": str(mounted.path)}

    def _path(self, call: wire.Call) -> Mapping[str, object]:
        path = self._driver.path(_name(call))
        return {"Mountpoint": str(path or "")}

    def _remove(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.remove(_name(call))
        return {}

    def _unmount(self, call: wire.Call) -> Mapping[str, object]:
        self._driver.unmount(_name(call), call.id or ANONYMOUS)
        return {}


def _name(call: wire.Call) -> str:
    if not call.name:
        raise InvalidRequest("Name is missing: say which volume is meant")
    return call.name
