"""A proxy on loopback between a driver and the cloud, which counts calls and makes what clouds do to callers happen."""

from __future__ import annotations

import http.client
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape

Params = Mapping[str, str]
Hook = Callable[[str, Params], None]
"""A function of a call's action and of its form, whose lists are as EC2 writes them: ``VolumeId.1``."""

STATUS = {"RequestLimitExceeded": 503, "Unavailable": 503, "InternalError": 500, "AuthFailure": 401}
STATUS |= {"UnauthorizedOperation": 403, "DryRunOperation": 412}
_CREATED = re.compile(rb"<(volumeId|snapshotId)>([a-z]+-[0-9a-f]+)</")
_SETS = {
    "DescribeVolumes": ("volumeSet", "volumeId", "vol"),
    "DescribeSnapshots": ("snapshotSet", "snapshotId", "snap"),
}
_NOT_FOUND = {"vol": ("InvalidVolume.NotFound", "volume"), "snap": ("InvalidSnapshot.NotFound", "snapshot")}


def error_body(code: str, message: str) -> bytes:
    """An error in EC2's form."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{uuid4()}</RequestID></Response>"
    ).encode()


class Drop(Exception):
    """Raised by a hook: the connection is closed with no answer; before the call reaches the cloud, or after."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    kind: str = "text/xml;charset=UTF-8"


@dataclass
class Rule:
    """What happens to calls of an action (``*``: all), to a share of them or to the next few."""

    action: str
    what: str
    """``refuse`` (the call has no effect), ``fail`` and ``drop`` (it has), or ``delay``."""
    code: str = ""
    message: str = ""
    status: int = 400
    share: float = 1.0
    times: int | None = None
    seconds: float = 0.0
    met: int = 0
    """How many calls it has happened to."""

    def takes(self, action: str, chance: random.Random) -> bool:
        if self.action not in ("*", action) or self.times == 0 or chance.random() >= self.share:
            return False
        self.times = None if self.times is None else self.times - 1
        self.met += 1
        return True


@dataclass
class _State:
    rules: list[Rule] = field(default_factory=list)
    before: list[Hook] = field(default_factory=list)
    after: list[Hook] = field(default_factory=list)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    created: dict[str, float] = field(default_factory=dict)
    hidden: float = 0.0
    everywhere: bool = False
    latency: float = 0.0


class Proxy:
    """``Proxy(cloud.url)``; drivers use its ``url``. Thread-safe; ``reset`` forgets rules, hooks and counts."""

    def __init__(self, upstream: str, *, seed: int = 1) -> None:
        self.upstream = upstream.removeprefix("http://").rstrip("/")
        self.seed = seed
        self._lock = threading.Lock()
        self._chance = random.Random(seed)
        self._state = _State()
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def reset(self) -> None:
        with self._lock:
            self._state = _State()
            self._chance = random.Random(self.seed)

    # What tests look at.

    @property
    def calls(self) -> list[tuple[str, dict[str, str]]]:
        """Every call in its order, those that were refused here among them."""
        with self._lock:
            return list(self._state.calls)

    @property
    def counts(self) -> Counter[str]:
        """How many calls there were of each action."""
        return Counter(action for action, _ in self.calls)

    def forget(self) -> None:
        """Forget the calls so far; rules stay."""
        with self._lock:
            self._state.calls.clear()

    # What tests have happen.

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._state.rules.append(rule)
        return rule

    def throttle(self, share: float = 1.0, action: str = "*", times: int | None = None) -> Rule:
        """Refuse a share of the calls as EC2 does when there are too many; they have no effect."""
        return self.refuse(action, "RequestLimitExceeded", "Request limit exceeded.", share=share, times=times)

    def refuse(
        self,
        action: str,
        code: str,
        message: str = "Refused by a rule.",
        *,
        times: int | None = 1,
        share: float = 1.0,
        status: int = 0,
    ) -> Rule:
        """Answer the next calls with an error; they have no effect."""
        status = status or STATUS.get(code, 400)
        return self._add(Rule(action, "refuse", code, message, status, share=share, times=times))

    def fail_after(self, action: str = "*", share: float = 1.0, times: int | None = None) -> Rule:
        """Answer InternalError although the call took effect."""
        message = "An internal error has occurred"
        return self._add(Rule(action, "fail", "InternalError", message, 500, share=share, times=times))

    def drop_after(self, action: str = "*", share: float = 1.0, times: int | None = None) -> Rule:
        """Close the connection with no answer although the call took effect."""
        return self._add(Rule(action, "drop", share=share, times=times))

    def delay(self, seconds: float, action: str = "*", share: float = 1.0, times: int | None = None) -> Rule:
        """Let calls wait before they are made."""
        return self._add(Rule(action, "delay", share=share, times=times, seconds=seconds))

    def remove(self, rule: Rule) -> None:
        with self._lock:
            self._state.rules.remove(rule)

    def latency(self, seconds: float) -> None:
        """How much longer every call takes."""
        with self._lock:
            self._state.latency = seconds

    def hide_new(self, seconds: float, *, everywhere: bool = False) -> None:
        """What is created from now on is not described for so long: by id it is NotFound, by filter it is absent.

        ``everywhere``: other calls that name it answer NotFound, too.
        """
        with self._lock:
            self._state.hidden, self._state.everywhere = seconds, everywhere

    def before(self, hook: Hook) -> None:
        """Call a function before each call reaches the cloud; in the thread of the connection."""
        with self._lock:
            self._state.before.append(hook)

    def after(self, hook: Hook) -> None:
        """Call a function after each call took effect, before it is answered."""
        with self._lock:
            self._state.after.append(hook)

    # What is done.

    def handle(self, body: bytes, send: Callable[[], Reply]) -> Reply:
        """The reply to one call. Raises Drop when there is to be none."""
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = form.get("Action", "")
        with self._lock:
            state = self._state
            state.calls.append((action, form))
            taken = [rule for rule in state.rules if rule.takes(action, self._chance)]
            hooks, later, latency = state.before[:], state.after[:], state.latency
        time.sleep(latency + sum(rule.seconds for rule in taken))
        for hook in hooks:
            hook(action, form)
        for rule in taken:
            if rule.what == "refuse":
                return Reply(rule.status, error_body(rule.code, rule.message))
        hidden = self._hidden()
        reply = self._not_found(action, form, hidden) or send()
        if action.startswith(("Create", "Copy")) and reply.status == 200:
            self._note(action, reply.body)
        for hook in later:
            hook(action, form)
        for rule in taken:
            if rule.what == "drop":
                raise Drop
            if rule.what == "fail":
                return Reply(rule.status, error_body(rule.code, rule.message))
        return _without(action, reply, hidden) if hidden else reply

    def _note(self, action: str, body: bytes) -> None:
        wanted = b"volumeId" if "Volume" in action else b"snapshotId"
        for name, word in _CREATED.findall(body):
            if name == wanted:
                with self._lock:
                    # a replay is of what was created before
                    self._state.created.setdefault(word.decode(), time.monotonic() + self._state.hidden)

    def _hidden(self) -> set[str]:
        with self._lock:
            return {word for word, until in self._state.created.items() if until > time.monotonic()}

    def _not_found(self, action: str, form: Params, hidden: set[str]) -> Reply | None:
        if not hidden or not (action.startswith("Describe") or self._state.everywhere):
            return None
        named = [
            value
            for name, value in form.items()
            if re.match(r"(VolumeId|SnapshotId)(\.\d+)?$", name) and value in hidden
        ]
        if not named:
            return None
        code, noun = _NOT_FOUND[named[0].partition("-")[0]]
        return Reply(400, error_body(code, f"The {noun} '{', '.join(named)}' does not exist."))


def _without(action: str, reply: Reply, hidden: set[str]) -> Reply:
    """An answer that does not show what is hidden."""
    if action not in _SETS or reply.status != 200:
        return reply
    names, name, _ = _SETS[action]
    tree = ElementTree.fromstring(reply.body)
    space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
    for group in tree.findall(f"{space}{names}"):
        for item in list(group):
            if item.findtext(f"{space}{name}") in hidden:
                group.remove(item)
    if space:
        ElementTree.register_namespace("", space[1:-1])
    return Reply(reply.status, ElementTree.tostring(tree), reply.kind)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was killed is no news."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.cloud = http.client.HTTPConnection(proxy.upstream, timeout=120)
            with proxy._lock:
                proxy._open.add(self.connection)

        def finish(self) -> None:
            self.cloud.close()
            with proxy._lock:
                proxy._open.discard(self.connection)
            with suppress(OSError):
                super().finish()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def send(self, body: bytes) -> Reply:
            # Host stays the proxy's: it is part of what was signed
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            self.cloud.request("POST", self.path, body, headers)
            answer = self.cloud.getresponse()
            return Reply(answer.status, answer.read(), answer.getheader("Content-Type", ""))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                reply = proxy.handle(body, lambda: self.send(body))
            except Drop:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    return Handler
