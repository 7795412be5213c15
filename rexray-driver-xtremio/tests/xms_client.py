"""A plain client of an XMS, for the tests of the simulator: one connection, and what came back."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from xms_parts import Xms


class Plain:
    """Requests over one kept-alive connection; a path begins after ``/api/json``."""

    def __init__(self, xms: Xms, *, username: str | None = None, password: str | None = None) -> None:
        self.xms = xms
        address = urlsplit(xms.url)
        context = ssl.create_default_context(cafile=str(xms.ca_file))
        self.connection = http.client.HTTPSConnection(
            str(address.hostname), int(address.port or 0), context=context, timeout=30
        )
        word = f"{username or xms.username}:{password or xms.password}"
        self.headers = {"Authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """The status, the bytes and the headers of an answer."""
        content = None if body is None else json.dumps(body)
        self.connection.request(method, f"/api/json{path}", content, {**self.headers, **headers})
        answer = self.connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer, None if it is empty; it must not be an error."""
        status, content, _ = self.raw(method, path, body)
        assert status == (201 if method == "POST" else 200), content
        return json.loads(content) if content else None

    def refused(self, method: str, path: str, body: Any = None) -> str:
        """The message of an error, whose status must be 400."""
        status, content, _ = self.raw(method, path, body)
        error = json.loads(content)
        assert (status, error["error_code"]) == (400, 400), error
        return str(error["message"])

    def get(self, path: str) -> Any:
        """The content of one object."""
        return self.call("GET", path)["content"]

    def post(self, path: str, **body: Any) -> int:
        """Make an object; the index is of the answer's first link."""
        body = {name.replace("_", "-"): value for name, value in body.items()}
        href = self.call("POST", path, body)["links"][0]["href"]
        return int(href.rsplit("/", 1)[1])
