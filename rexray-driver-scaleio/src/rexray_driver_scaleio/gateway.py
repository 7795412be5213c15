"""The gateway's REST API: one login for all threads, and refusals as REX-Ray's errors.

Facts: ``GET /api/login`` with HTTP's Basic scheme answers with a token as JSON string, which is the password of every
later request. A token ends after a while, or with the gateway: 401, from some versions 403. Gateways of PowerFlex 4
also have ``POST /rest/auth/login``, whose token is a Bearer one, and may have nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rexray import redaction
from rexray.errors import RexrayError, Unavailable
from rexray.http import Answer, Server, basic
from rexray_driver_scaleio.refusals import Why, refusal, why
from rexray_driver_scaleio.settings import ScaleIoSettings
from rexray_driver_scaleio.shared import Shared

_JSON = {"Accept": "application/json;version=2.0", "Content-Type": "application/json;version=2.0"}
_VERSION = re.compile(r"([0-9]+)\.([0-9]+)")


class Gateway:
    """A gateway; nothing is asked of it before the first call."""

    def __init__(self, settings: ScaleIoSettings) -> None:
        self._settings = settings
        self._server = Server(settings.endpoint, prefix="scaleio", insecure=settings.insecure, ca_file=settings.ca_file)
        self._root = self._server.base.removesuffix("/api")
        self._authorization = Shared(self._new_login)
        self._version = Shared(self._ask_version)

    @property
    def version(self) -> tuple[int, int]:
        """The version of the API, such as ``(3, 5)``."""
        return _version(self._settings.version) or self._version.get()

    def get_object(self, path: str, action: str) -> Mapping[str, Any]:
        """The object at that path. ``action`` says in an error what was wanted."""
        found = self._call("GET", path, action, None)
        if not isinstance(found, dict):
            raise _strange(action)
        return found

    def get_list(self, path: str, action: str) -> Sequence[Mapping[str, Any]]:
        """The objects at that path, each of which has an id."""
        found = self._call("GET", path, action, None)
        if not isinstance(found, list) or not all(isinstance(item, dict) and item.get("id") for item in found):
            raise _strange(action)
        return found

    def post(self, path: str, action: str, body: Mapping[str, object], *, once: bool = False) -> Any:
        """What the gateway answers to a POST, None where that is nothing.

        :class:`~rexray.http.NoAnswer` where it may have taken effect. With ``once`` it is not made again by itself, not
        even after a new login: what its caller has looked at before may not hold any more.
        """
        return self._call("POST", path, action, body, once=once)

    def _call(self, method: str, path: str, action: str, body: object, *, once: bool = False) -> Any:
        used = self._authorization.get()
        try:
            return self._once(method, path, action, body, used, once=once)
        except RexrayError as error:
            if why(error) is not Why.LOGGED_OUT:
                raise
            fresh = self._authorization.get(used)
            if once:
                raise
        return self._once(method, path, action, body, fresh)

    def _once(
        self, method: str, path: str, action: str, body: object, authorization: str, *, once: bool = False
    ) -> Any:
        answer = self._send(method, path, {"Authorization": authorization}, body, once=once)
        if answer.status >= 300:
            raise refusal(answer, action)
        return _content(answer, action) if answer.text.strip() else None

    def _ask_version(self) -> tuple[int, int]:
        said = self._call("GET", "/api/version", "the version of the gateway", None)
        found = _version(said if isinstance(said, str) else "")
        if found is None:
            raise Unavailable("the gateway does not tell its version: set scaleio.version, such as 3.5")
        return found

    def _new_login(self) -> str:
        """How to authorize requests from now on."""
        user, password = self._settings.user_name, self._settings.password.reveal()
        answer = self._send("GET", "/api/login", {"Authorization": basic(user, password)}, None)
        if answer.status == 200 and (token := _text(answer)):
            return basic(user, redaction.register(token, passing=True))
        body = {"username": user, "password": password}
        other = self._send("POST", "/rest/auth/login", {}, body)
        if other.status == 200 and (token := _text(other, "access_token")):
            return f"Bearer {redaction.register(token, passing=True)}"
        refused = other if other.status in (401, 403) else answer
        if refused.status < 300:
            raise Unavailable("login: this is no gateway of ScaleIO's: check scaleio.endpoint ($GOSCALEIO_ENDPOINT)")
        raise refusal(refused, "login")

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: object, *, once: bool = False) -> Answer:
        seconds = self._settings.timeout
        words = {**_JSON, **headers}
        return self._server.send(method, self._root + path, headers=words, body=body, seconds=seconds, once=once)


def _strange(action: str) -> Unavailable:
    return Unavailable(f"{action}: the gateway did not answer as ScaleIO's does: check scaleio.endpoint")


def _content(answer: Answer, action: str) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise Unavailable(f"{action}: the gateway did not answer in JSON: check scaleio.endpoint") from None


def _text(answer: Answer, key: str = "") -> str:
    """A JSON string, or the one by that key of a JSON object; empty if the answer is something else."""
    try:
        found = answer.json()
    except ValueError:
        return ""
    found = found.get(key) if key and isinstance(found, dict) else found
    return found if isinstance(found, str) else ""


def _version(text: str) -> tuple[int, int] | None:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else None
