"""A simulated ScaleIO gateway of one's own: its address, its state, what goes wrong with it, and what it was asked.

It serves HTTPS on loopback, in threads of this process. The data of volumes are sparse files below a folder of its own.
"""

from __future__ import annotations

import re
import secrets
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import trustme

import gateway_objects as objects
from gateway_errors import Refusal
from gateway_faults import Fault, Faults
from gateway_front import Front
from gateway_server import Reply, Request, Server
from gateway_sessions import Sessions
from gateway_store import GRANULE, KIB_PER_GIB, Mapping, Sdc, Store, Volume
from gateway_switches import Clock, Switches
from gateway_volumes import Events
from rexray.testing.ports import lasting_port

__all__ = ["Call", "Clock", "Fault", "Gateway", "Switches"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its path as it was sent; its body, but for those of logins; 0 for one that was not answered."""

    method: str
    path: str
    status: int
    thread: int
    """The connection's: a client that keeps one has one."""
    body: str


class Gateway:
    """A gateway with one system, one protection domain and one pool; ``with`` starts it and clears up after it."""

    def __init__(self, *, version: str = "3.5", switches: Switches | None = None, pool_gib: int = 1024) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-"))
        (self.folder / "volumes").mkdir()
        self.version = version
        self.switches = switches or Switches()
        self.clock = Clock()
        self.username = "admin"
        self.password = secrets.token_urlsafe(12)
        self.store = Store(version, self.switches, self.folder / "volumes")
        self.on_map: list[Callable[[str, str], None]] = []
        """Called with the ids of a volume and an SDC, before the request is answered; so are those that follow."""
        self.on_unmap: list[Callable[[str, str], None]] = []
        self.on_resize: list[Callable[[str], None]] = []
        """Called with the id of a volume that has grown."""
        self.on_overwrite: list[Callable[[str], None]] = []
        """Called with the id of a volume that holds other data now."""
        self.before_copy = self.store.before_copy
        """Called with the id of a volume whose data are to be copied, while nothing else happens."""
        self.trouble: list[str] = []
        """What went wrong with the simulator itself; ``with`` raises at its end if there is any."""
        self._pool_gib = pool_gib
        self.system_name, self.domain_name, self.pool_name = "system-1", "domain-1", "pool-1"
        self.system_id = self.add_system(self.system_name)
        self.domain_id = self.add_domain(self.domain_name)
        self.pool_id = self.add_pool(self.pool_name, self.domain_id)
        self._sessions = Sessions(self.clock, self.switches, self.username, self.password)
        self._front = Front(self.store, self._sessions, self._tell)
        self._faults = Faults()
        self._calls: list[Call] = []
        self._calls_lock = threading.Lock()
        self._halt = threading.Event()
        self._server: Server | None = None
        self._port = 0
        authority = trustme.CA()
        self.ca_file = self.folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)

    def __enter__(self) -> Gateway:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.trouble:
            raise RuntimeError(f"the simulated gateway itself failed: {'; '.join(self.trouble)}")

    @property
    def url(self) -> str:
        """Where its API is; there is none before it was started."""
        if not self._port:
            raise RuntimeError("the simulated gateway was not started yet")
        return f"https://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        """Serve, on the same port as before."""
        if self._server is None:
            self._halt.clear()
            self._port = self._port or lasting_port()
            self._server = Server(self._port, self._context, self._answer)
            self._server.start()

    def stop(self) -> None:
        """Close the port and every connection; the state stays, tokens do not."""
        server, self._server = self._server, None
        if server is not None:
            self._halt.set()
            server.stop()
        self._sessions.clear()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and forget all data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # what there is

    def add_system(self, name: str) -> str:
        """The id of a new system; so for what follows."""
        with self.store.lock:
            return self.store.add_system(name).id

    def add_domain(self, name: str, system: str = "", generation: str = "Mirroring") -> str:
        """``generation`` is shown from version 5.0: Mirroring, or EC, of which nothing else is simulated."""
        with self.store.lock:
            return self.store.add_domain(name, self.store.systems[system or self.system_id], generation).id

    def add_pool(self, name: str, domain: str, gib: int = 0) -> str:
        """``gib``: its net size, by default that of the first pool."""
        with self.store.lock:
            return self.store.add_pool(name, self.store.domains[domain], gib or self._pool_gib).id

    def add_sdc(
        self,
        guid: str,
        ip: str = "10.0.0.11",
        approved: bool = True,
        name: str | None = None,
        version: str = "",
        system: str = "",
    ) -> str:
        """``guid`` is kept as it is given: real ones have capitals."""
        with self.store.lock:
            owner = self.store.systems[system or self.system_id].id
            shown = version or objects.release(self.store)
            host = Sdc(self.store.new_id("Sdc"), guid, ip, approved, name, shown, owner)
            self.store.add_sdc(host)
            return host.id

    def set_sdc(self, sdc: str, *, approved: bool | None = None, connected: bool | None = None) -> None:
        with self.store.lock:
            host = self.store.sdcs[sdc]
            host.approved = host.approved if approved is None else approved
            host.connected = host.connected if connected is None else connected

    def add_volume(self, name: str | None, gib: int = 8, pool: str = "") -> str:
        """Make a volume as another user of the array would; it may have no name, and the pool's limits do not count."""
        with self.store.lock:
            owner = self.store.pools[pool or self.pool_id]
            new, tree = self.store.new_id("Volume"), self.store.new_id("VTree")
            volume = Volume(new, name, gib * KIB_PER_GIB, "ThinProvisioned", owner, tree, None)
            self.store.add_volume(volume)
            return volume.id

    def fill(self, count: int, *, prefix: str = "fill", mapped_to: str = "") -> list[str]:
        """Make volumes of 8 GiB named PREFIX-00000 and so on, mapped to an SDC or not; the pool grows with them."""
        with self.store.lock:
            self.store.pools[self.pool_id].capacity += count * GRANULE
            made = [self.add_volume(f"{prefix}-{number:05}") for number in range(count)]
            if mapped_to:
                host = self.store.sdcs[mapped_to]
                for name in made:
                    volume = self.store.volumes[name]
                    volume.mappings[host.id] = Mapping("ReadWrite")
                    host.volumes[name] = volume
            return made

    def volume(self, name: str) -> dict[str, Any] | None:
        """A volume or snapshot by its name, else by its id, as the API shows it."""
        with self.store.lock:
            found = next((it for it in self.store.volumes.values() if it.name == name), self.store.volumes.get(name))
            return objects.volume(self.store, found) if found else None

    def volumes(self) -> list[dict[str, Any]]:
        with self.store.lock:
            return [objects.volume(self.store, it) for it in self.store.volumes.values()]

    def access(self, volume: str, sdc: str) -> str | None:
        """How an SDC may use a volume, by their ids: ReadWrite, ReadOnly, NoAccess, or None."""
        with self.store.lock:
            found = self.store.volumes.get(volume)
            return self.store.access(found, sdc) if found else None

    def visible(self, sdc: str) -> list[str]:
        """The ids of the volumes that are mapped to an SDC."""
        with self.store.lock:
            return [it.id for it in self.store.volumes.values() if self.store.access(it, sdc) is not None]

    def backing(self, volume: str) -> Path:
        """The file that holds the data of a volume, by its id; KeyError if there is none."""
        with self.store.lock:
            return self.store.backing(self.store.volumes[volume])

    # what it was asked

    @property
    def calls(self) -> list[Call]:
        """Every request since it was made or cleared."""
        with self._calls_lock:
            return self._calls[:]

    def clear_calls(self) -> None:
        with self._calls_lock:
            self._calls.clear()

    # what goes wrong; ``times`` None is from now on, and what is answered counts how often it was used

    def refuse(
        self,
        method: str,
        pattern: str,
        *,
        status: int,
        code: int,
        message: str,
        times: int | None = 1,
        details: list[dict[str, Any]] | None = None,
    ) -> Fault:
        """Answer an error, with exactly this code, and do nothing."""
        refusal = Refusal(status, code, message, details)
        reply = self._front.refusal(refusal, code)
        return self._faults.add(Fault(kind="answer", method=method, pattern=pattern, left=times, reply=reply))

    def lose_answer(self, method: str, pattern: str, times: int | None = 1) -> Fault:
        """Do what is asked, and close the connection with no answer."""
        return self._faults.add(Fault(kind="lose", method=method, pattern=pattern, left=times))

    def drop_before(self, method: str, pattern: str, times: int | None = 1) -> Fault:
        """Close the connection and do nothing."""
        return self._faults.add(Fault(kind="drop", method=method, pattern=pattern, left=times))

    def slow(self, method: str, pattern: str, seconds: float, times: int | None = 1, after: bool = False) -> Fault:
        """Wait, then do what is asked; or the other way round. Another fault may come on top."""
        fault = Fault(kind="slow", method=method, pattern=pattern, left=times, seconds=seconds, after=after)
        return self._faults.add(fault)

    def throttle(self, times: int | None = 1, retry_after: str = "1", pattern: str = "") -> Fault:
        """Answer 429 to whatever comes."""
        body = {"message": "Too many requests", "httpStatusCode": 429, "errorCode": 0}
        reply = self._front.reply_of(body, 429, {"Retry-After": retry_after})
        return self._faults.add(Fault(kind="answer", method=".*", pattern=pattern, left=times, reply=reply))

    def html(self, times: int | None = 1, status: int = 503, pattern: str = "") -> Fault:
        """Answer a page for people to whatever comes, as front ends of 4.x do."""
        page = f"<html><head><title>{status}</title></head><body><h1>The service is not available</h1></body></html>"
        reply = Reply(status, page.encode(), {"Content-Type": "text/html"})
        return self._faults.add(Fault(kind="answer", method=".*", pattern=pattern, left=times, reply=reply))

    def clear_faults(self) -> None:
        self._faults.clear()

    # serving

    def _answer(self, request: Request) -> Reply | None:
        try:
            return self._answer_or_fail(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, a test hears of it at the end
            self.trouble.append(f"{request.method} {request.path}: {type(error).__name__}: {error}")
            return None

    def _answer_or_fail(self, request: Request) -> Reply | None:
        path = urlsplit(request.path).path
        fault, delay = self._faults.take(request.method, path)
        if delay is not None and not delay.after and self._halt.wait(delay.seconds):
            return None
        reply = None
        if fault is not None and fault.kind == "answer":
            reply = fault.reply
        elif fault is None or fault.kind == "lose":
            reply = self._front.reply(request)
        if fault is not None and fault.kind == "lose":
            reply = None
        if delay is not None and delay.after and self._halt.wait(delay.seconds):
            reply = None
        body = "" if re.match("/rest/auth/", path) else request.body.decode(errors="replace")
        status = reply.status if reply is not None else 0
        with self._calls_lock:
            self._calls.append(Call(request.method, request.path, status, threading.get_ident(), body))
        return reply

    def _tell(self, events: Events) -> None:
        for event in events:
            match event.what:
                case "map" | "unmap":
                    for told in self.on_map if event.what == "map" else self.on_unmap:
                        told(event.volume_id, event.sdc_id)
                case "resize" | "overwrite":
                    for heard in self.on_resize if event.what == "resize" else self.on_overwrite:
                        heard(event.volume_id)
