"""The front of the simulated gateway: logins, headers, JSON; behind it are the rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import gateway_rules as rules
from gateway_errors import Body, Refusal, malformed
from gateway_server import Reply, Request
from gateway_sessions import Sessions, basic
from gateway_store import Store
from gateway_volumes import Events


class Front:
    """Answers requests; ``tell`` gets what hosts are to learn of, once the lock is free."""

    def __init__(self, store: Store, sessions: Sessions, tell: Callable[[Events], None]) -> None:
        self._store = store
        self._sessions = sessions
        self._tell = tell

    def reply(self, request: Request) -> Reply:
        try:
            return self._reply(request)
        except Refusal as refusal:
            return self.refusal(refusal)

    def refusal(self, refusal: Refusal, code: int | None = None) -> Reply:
        """``code`` is the version's own, by default what it calls that of the refusal."""
        store = self._store
        code = store.version.code(refusal.code, store.switches) if code is None else code
        headers = {"WWW-Authenticate": "Basic"} if refusal.status == 401 else {}
        return self.reply_of(refusal.body(code, store.switches.errors_in_details), refusal.status, headers)

    def reply_of(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
        kind = {"Content-Type": f"application/json;version={self._store.version.text}"}
        return Reply(status, json.dumps(answer, separators=(",", ":")).encode(), {**kind, **(headers or {})})

    def _reply(self, request: Request) -> Reply:
        path = urlsplit(request.path).path
        header = request.headers.get("Authorization", "")
        switches, version = self._store.switches, self._store.version
        match request.method, path:
            case "GET", "/api/login":
                if switches.bearer or not self._sessions.allows(*basic(header)):
                    raise Refusal(401, 0, "Unauthorized")
                return self.reply_of(self._sessions.login())
            case "POST", "/rest/auth/login" if version.since(4):
                return self._bearer_login(self._body(request))
            case "POST", "/rest/auth/logout" if version.since(4):
                if not self._sessions.bearer_logout(self._body(request).text("refresh_token")):
                    raise Refusal(401, 0, "Unauthorized")
                return Reply(204)
            case "GET", "/api/version" if not switches.version_needs_login:
                return self.reply_of(version.text)
        token = self._sessions.token(header)
        if token is None:
            status = switches.expired_status
            raise Refusal(status, 0, "Unauthorized" if status == 401 else "Forbidden")
        match request.method, path:
            case "GET", "/api/logout":
                self._sessions.logout(token)
                return Reply(200)
            case "GET", "/api/version":
                return self.reply_of(version.text)
        return self._ruled(request, unquote(path))

    def _bearer_login(self, body: Body) -> Reply:
        body.only("username", "password")
        if not self._sessions.allows(body.text("username"), body.text("password")):
            raise Refusal(401, 0, "Unauthorized")
        access, refresh = self._sessions.bearer_login()
        lives = self._store.switches.token_life_seconds
        named = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lives}
        return self.reply_of(named)

    def _body(self, request: Request) -> Body:
        """The object that a request carries; a version after the type of its content is not looked at."""
        accept = request.headers.get("Accept", "*/*")
        if not any(
            kind.split(";")[0].strip() in ("*/*", "application/*", "application/json") for kind in accept.split(",")
        ):
            raise Refusal(406, 0, "The answer is application/json, which the request does not accept")
        if request.method != "POST":
            return Body({})
        if request.headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
            raise Refusal(415, 0, "The body of a request must be application/json")
        try:
            found = json.loads(request.body)
        except ValueError:
            raise malformed("The body of the request is not JSON") from None
        if not isinstance(found, dict):
            raise malformed("The body of the request is not a JSON object")
        return Body(found)

    def _ruled(self, request: Request, path: str) -> Reply:
        body = self._body(request)
        events: Events = []
        with self._store.lock:
            answer = rules.answer(self._store, request.method, path, body, events)
        self._tell(events)
        if answer is None:
            return self.reply_of({}) if self._store.switches.empty_object else Reply(200)
        return self.reply_of(answer)
