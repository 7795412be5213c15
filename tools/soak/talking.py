"""Calls that are made again until they are answered: what Docker and Kubernetes do when a plug-in dies."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from world import PATIENCE, Over, World

from rexray.csi import rpc
from rexray.csi.client import CSIClient
from rexray.errors import RexrayError, Unavailable
from service_parts import Daemon

T = TypeVar("T")


class Talk:
    """One client's calls of both protocols to whichever daemon runs."""

    def __init__(self, daemon: Daemon, world: World, who: str) -> None:
        self._daemon = daemon
        self._world = world
        self._who = who

    def docker(self, verb: str, *, gone: bool = False, **body: object) -> dict[str, Any]:
        """A call of Docker's; with ``gone``, a volume that is not there is what a repeated call wants."""

        def ask() -> tuple[int, dict[str, Any]]:
            return self._post(f"/VolumeDriver.{verb}", json.dumps(body))

        (status, answer), repeated = self._until_answered(ask, (OSError, http.client.HTTPException, ValueError))
        if status != 200 and not (gone and repeated and status == 404):
            self._fail(f"{verb} {body} is answered {status}: {answer}")
        return answer

    def csi(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        """A call of CSI's."""

        def ask() -> rpc.Rep:
            with CSIClient(str(self._daemon.endpoint)) as client:
                return client.call(call, request, timeout=PATIENCE)

        try:
            return self._until_answered(ask, (Unavailable,))[0]
        except RexrayError as error:
            self._fail(f"{call.name} of {' '.join(str(request).split())} fails: {type(error).__name__}: {error}")

    def _until_answered(self, ask: Callable[[], T], broken: tuple[type[Exception], ...]) -> tuple[T, bool]:
        """The answer, and whether it was asked for more than once."""
        repeated = False
        while True:
            generation = self._world.running()
            try:
                answer = ask()
            except broken as error:
                if not self._world.killed_since(generation):
                    self._fail(f"the daemon breaks off, and nobody killed it: {error}")
                repeated = True
            else:
                self._world.count(calls=1)
                return answer, repeated

    def _post(self, path: str, body: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self._daemon.connect()
        connection.sock.settimeout(PATIENCE)
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _fail(self, message: str) -> NoReturn:
        self._world.violated(f"{self._who}: {message}")
        raise Over
