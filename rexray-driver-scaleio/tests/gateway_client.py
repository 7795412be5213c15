"""A plain client of the simulated gateway, for its own tests: http.client, one connection, no comfort."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from gateway_parts import Gateway

JSON = "application/json;version=2.0"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Client:
    """Logs in by Basic when it is made, unless told not to; keeps its connection."""

    def __init__(self, gateway: Gateway, *, login: bool = True) -> None:
        self.gateway = gateway
        address = urlsplit(gateway.url)
        context = ssl.create_default_context(cafile=str(gateway.ca_file))
        self.connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=context, timeout=30)
        self.authorization = ""
        self.headers: http.client.HTTPMessage | None = None
        if login:
            self.login()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.close()

    def login(self) -> str:
        status, token = self.ask("GET", "/api/login", authorization=basic("admin", self.gateway.password))
        assert status == 200, token
        self.authorization = basic("", token)
        return str(token)

    def raw(
        self, method: str, path: str, body: Any = None, *, authorization: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """The status and the content of an answer; its headers are kept."""
        named = {"Accept": JSON, "Content-Type": JSON, **{name.replace("_", "-"): it for name, it in headers.items()}}
        if authorization or self.authorization:
            named["Authorization"] = authorization or self.authorization
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.connection.request(method, path, content, named)
            answer = self.connection.getresponse()
            self.headers = answer.headers
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def ask(self, method: str, path: str, body: Any = None, **more: str) -> tuple[int, Any]:
        """The same, its content as JSON; None for an empty one."""
        status, content = self.raw(method, path, body, **more)
        return status, json.loads(content) if content else None

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer

    def post(self, path: str, body: Any) -> Any:
        status, answer = self.ask("POST", path, body)
        assert status == 200, answer
        return answer

    def refused(self, path: str, body: Any = None, method: str = "POST") -> tuple[int, int]:
        """The status and errorCode of an answer that has to be an error."""
        status, answer = self.ask(method, path, body)
        assert status >= 400, answer
        assert answer["httpStatusCode"] == status
        return status, answer["errorCode"]

    # what tests say often

    def create_body(self, name: str = "one", gib: int = 8, **more: Any) -> dict[str, Any]:
        return {
            "protectionDomainId": self.gateway.domain_id,
            "storagePoolId": self.gateway.pool_id,
            "name": name,
            "volumeType": "ThinProvisioned",
            "volumeSizeInKb": str(gib << 20),
            **more,
        }

    def create(self, name: str = "one", gib: int = 8, **more: Any) -> str:
        return str(self.post("/api/types/Volume/instances", self.create_body(name, gib, **more))["id"])

    def volume(self, name: str) -> Any:
        return self.get(f"/api/instances/Volume::{name}")

    def action(self, volume: str, verb: str, **body: Any) -> None:
        status, content = self.raw("POST", self.path(volume, verb), body)
        assert (status, content) == (200, b"")

    def action_refused(self, volume: str, verb: str, **body: Any) -> tuple[int, int]:
        return self.refused(self.path(volume, verb), body)

    @staticmethod
    def path(volume: str, verb: str) -> str:
        return f"/api/instances/Volume::{volume}/action/{verb}"

    def map(self, volume: str, sdc: str, **more: Any) -> None:
        self.action(volume, "addMappedSdc", sdcId=sdc, **more)

    def unmap(self, volume: str, sdc: str) -> None:
        self.action(volume, "removeMappedSdc", sdcId=sdc)

    def remove(self, volume: str, mode: str = "ONLY_ME") -> None:
        self.action(volume, "removeVolume", removeMode=mode)

    def snapshot(self, *wanted: tuple[str, str], system: str = "") -> Any:
        return self.post(f"/api/instances/System{system}/action/snapshotVolumes", self.snapshot_body(*wanted))

    @staticmethod
    def snapshot_body(*wanted: tuple[str, str]) -> dict[str, Any]:
        return {"snapshotDefs": [{"volumeId": volume, "snapshotName": name} for volume, name in wanted]}
