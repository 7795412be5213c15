"""An instance metadata service that enforces what EC2's does, and can be told to fail; and AWS's own mock of it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

IDENTITY = {
    "accountId": "123456789012",
    "architecture": "x86_64",
    "availabilityZone": "eu-west-1b",
    "billingProducts": None,
    "instanceId": "i-0123456789abcdef0",
    "instanceType": "m5.large",
    "region": "eu-west-1",
    "version": "2017-09-30",
}
TOKEN_PATH = "/latest/api/token"
IDENTITY_PATH = "/latest/dynamic/instance-identity/document"
MAPPING_PATH = "/latest/meta-data/block-device-mapping/"


class Imds:
    """The service on a free port of this host, under a prefix if one is given.

    Attributes are what a test changes: ``documents`` (texts by path), ``mapping``, ``version_1`` (a token is not
    needed), ``version_2`` (tokens are given), ``enabled``, ``longest_token`` (seconds), ``passing`` (statuses that
    are answered before anything else), ``hanging`` (paths that are not answered), ``dripping`` (paths that are
    answered a byte at a time).
    """

    def __init__(self, *, prefix: str = "", host: str = "127.0.0.1") -> None:
        self.documents: dict[str, str] = {IDENTITY_PATH: json.dumps(IDENTITY)}
        self.mapping: dict[str, str] = {"ami": "/dev/xvda", "root": "/dev/xvda"}
        self.version_1, self.version_2, self.enabled = False, True, True
        self.longest_token = 21600.0
        self.passing: list[int] = []
        self.hanging: set[str] = set()
        self.dripping: set[str] = set()
        self.requests: list[tuple[str, str, int]] = []
        """Method, path and status of everything that was answered."""
        self.prefix = prefix
        self._tokens: dict[str, float] = {}
        self._closing = threading.Event()
        self._server = _server(self, host)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}{prefix}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Imds:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forget_tokens(self) -> None:
        self._tokens.clear()

    def count(self, method: str, path: str) -> int:
        return sum(request[:2] == (method, path) for request in self.requests)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the service; whether it came."""
        return self._closing.wait(seconds)

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers for a request; ``headers`` have their names in lower case."""
        if self.passing:
            return self.passing.pop(0), "", {}
        if not path.startswith(self.prefix + "/"):
            return 404, "", {}
        path = path[len(self.prefix) :]
        if not self.enabled:
            return 403, "", {}
        if path == TOKEN_PATH and method == "PUT" and self.version_2:
            return self._new_token(headers)
        if method != "GET":
            return 405, "", {}
        token = headers.get("x-aws-ec2-metadata-token", "")
        if (token or not self.version_1) and self._tokens.get(token, 0.0) <= time.monotonic():
            return 401, "", {}
        text = self._document(path)
        return (404, "", {}) if text is None else (200, text, {})

    def _new_token(self, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        asked = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if "x-forwarded-for" in headers:
            return 403, "", {}
        if not asked.isdecimal() or not 1 <= int(asked) <= 21600:
            return 400, "", {}
        seconds = min(int(asked), self.longest_token)
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = time.monotonic() + seconds
        return 200, token, {"X-aws-ec2-metadata-token-ttl-seconds": f"{seconds:.0f}"}

    def _document(self, path: str) -> str | None:
        if path in self.documents:
            return self.documents[path]
        if path == MAPPING_PATH:
            return "\n".join(self.mapping) if self.mapping else None
        return self.mapping.get(path.removeprefix(MAPPING_PATH))


def _server(imds: Imds, host: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            path = self.path[len(imds.prefix) :]
            if path in imds.hanging:
                imds.wait(30)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, text, more = imds.answer(self.command, self.path, headers)
            imds.requests.append((self.command, path, status))
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            try:
                for byte in text.encode() if path in imds.dripping else ():
                    self.wfile.write(bytes([byte]))
                    if imds.wait(0.3):
                        return
                if path not in imds.dripping:
                    self.wfile.write(text.encode())
            except OSError:
                pass

        do_GET = do_PUT = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server((host, 0), Handler)


@contextmanager
def amazons_mock(program: str, home: Path, *, only_v2: bool, mapping: dict[str, str]) -> Iterator[str]:
    """The URL of AWS's amazon-ec2-metadata-mock, with that block device mapping."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    names = {"ami": "ami", "ebs": "ebs0", "ephemeral": "ephemeral0", "root": "root", "swap": "swap"}
    values = {f"block-device-mapping-{key}": mapping[name] for key, name in names.items()}
    config = home / "config.json"
    config.write_text(json.dumps({"metadata": {"values": values}}))
    command = [program, "--hostname", "127.0.0.1", "--port", str(port), "--config-file", str(config)]
    environ = {**os.environ, "HOME": str(home)}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *(["--imdsv2"] if only_v2 else [])], stdout=log, stderr=log, cwd=home, env=environ
        )
    try:
        _await(f"http://127.0.0.1:{port}/", process, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1).close()
        except urllib.error.HTTPError as answer:
            answer.close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
            continue
        return
