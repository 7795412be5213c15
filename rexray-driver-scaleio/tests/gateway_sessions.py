"""Who may call the simulated gateway: logins and the life of their tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import threading
from dataclasses import dataclass
from typing import Literal

from gateway_switches import Clock, Switches

Kind = Literal["Basic", "Bearer"]


def basic(header: str) -> tuple[str, str]:
    """The user and password of an Authorization header; empty if it is none of Basic."""
    scheme, _, rest = header.partition(" ")
    if scheme != "Basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


@dataclass(slots=True)
class Session:
    kind: Kind
    issued: float
    used: float
    refresh: str = ""


class Sessions:
    """The tokens that are alive."""

    def __init__(self, clock: Clock, switches: Switches, username: str, password: str) -> None:
        self._clock = clock
        self._switches = switches
        self._username = username
        self._password = password
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def allows(self, user: str, password: str) -> bool:
        return (user, password) == (self._username, self._password)

    def login(self) -> str:
        """A token as 3.x makes them: base64 of the user, the milliseconds of now and a digest."""
        now = self._clock.now()
        digest = hashlib.md5(secrets.token_bytes(), usedforsecurity=False).hexdigest()
        token = base64.b64encode(f"{self._username}:{int(now * 1000)}:{digest}".encode()).decode()
        return self._keep(token, "Basic", "")

    def bearer_login(self) -> tuple[str, str]:
        """An access token and a refresh token, as 4.x makes them."""
        refresh = secrets.token_urlsafe(24)
        return self._keep(secrets.token_urlsafe(24), "Bearer", refresh), refresh

    def _keep(self, token: str, kind: Kind, refresh: str) -> str:
        now = self._clock.now()
        with self._lock:
            self._sessions[token] = Session(kind, now, now, refresh)
        return token

    def token(self, header: str) -> str | None:
        """The living token that a header carries, which is used by that; the user of Basic is not looked at."""
        scheme, _, rest = header.partition(" ")
        token = rest if scheme == "Bearer" else basic(header)[1]
        now = self._clock.now()
        with self._lock:
            session = self._sessions.get(token)
            if session is None or session.kind != scheme or (self._switches.bearer and scheme == "Basic"):
                return None
            life, idle = self._switches.token_life_seconds, self._switches.token_idle_seconds
            if now - session.issued >= life or now - session.used >= idle:
                del self._sessions[token]
                return None
            session.used = now
            return token

    def logout(self, token: str) -> None:
        with self._lock:
            self._sessions.pop(token, None)

    def bearer_logout(self, refresh: str) -> bool:
        """End the session of a refresh token; False if there is none."""
        with self._lock:
            for token, session in self._sessions.items():
                if refresh and session.refresh == refresh:
                    del self._sessions[token]
                    return True
        return False

    def clear(self) -> None:
        """Forget everybody, as a gateway that starts again does."""
        with self._lock:
            self._sessions.clear()
