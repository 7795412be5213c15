"""WSGI applications as HTTP/1 connections call them (PEP 3333)."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import h11

StartResponse = Callable[..., Any]


class Application(Protocol):
    """A WSGI application that knows which of its calls never wait."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        """Whether the answer takes no I/O, so that the event loop itself may compute it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an application answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def fault(status: int, message: str) -> Answer:
    """The answer to a request that never reached its application, or failed in it."""
    body = json.dumps({"Err": message}).encode()
    return Answer(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)


class NotServed:
    """Stands for an application that is switched off."""

    def __init__(self, reason: str) -> None:
        self._answer = fault(404, reason)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Say why there is nothing here."""
        start_response("404 Not Found", self._answer.headers)
        return [self._answer.body]

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        """It always is."""
        return True


def environ_of(request: h11.Request, body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request."""
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/" + request.http_version.decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ["HTTP_" + key] = value.decode("latin-1")
    return environ


def call(application: Application, environ: dict[str, Any]) -> Answer:
    """Run the application to its end."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        started.append((status, headers))

    body = b"".join(application(environ, start_response))
    status, headers = started[-1]
    return Answer(int(status.split(" ", 1)[0]), headers, body)
