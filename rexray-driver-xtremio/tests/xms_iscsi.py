"""An iSCSI portal of an XtremIO before tgt: what tgt cannot say of itself is put right on the way.

tgt 1.0.85 has no way to set a logical unit's NAA designator (its page 0x83 has one of its own, and ``scsi_id`` as a
T10 designator), wants a name for each target, and knows no LUN masking. So each portal is a relay that

- sends a login to the tgt target of the initiator's own group, by the InitiatorName (RFC 7143, section 13),
- answers SendTargets with the one name and all the portals of the array,
- answers INQUIRY's page 0x83 with the volume's naa-name as NAA designator (SPC-4, section 7.8.6).

Digests are not supported: neither tgt nor open-iscsi asks for them unless it is told to.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HEADER = 48
SCSI_COMMAND, LOGIN_REQUEST, DATA_OUT = 0x01, 0x03, 0x05
TEXT_RESPONSE, DATA_IN = 0x24, 0x25
INQUIRY, DEVICE_IDENTIFICATION = 0x12, 0x83
END_S = 10.0


@dataclass(kw_only=True)
class Pdu:
    """A protocol data unit: header of 48 bytes, additional header, data without its padding."""

    header: bytearray
    more: bytes
    data: bytes

    @property
    def opcode(self) -> int:
        return self.header[0] & 0x3F

    @property
    def tag(self) -> bytes:
        return bytes(self.header[16:20])

    @property
    def lun(self) -> int:
        return (self.header[8] & 0x3F) << 8 | self.header[9]

    def encoded(self) -> bytes:
        self.header[5:8] = len(self.data).to_bytes(3, "big")
        return bytes(self.header) + self.more + self.data + bytes(-len(self.data) % 4)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    content = bytearray(length)
    view = memoryview(content)
    got = 0
    while got < length:
        count = connection.recv_into(view[got:])
        if not count:
            return None
        got += count
    return bytes(content)


def pdus(connection: socket.socket) -> Iterator[Pdu]:
    """The PDUs that come on a connection, until it ends."""
    while (header := _exactly(connection, HEADER)) is not None:
        length = int.from_bytes(header[5:8], "big")
        rest = _exactly(connection, 4 * header[4] + length + -length % 4)
        if rest is None:
            return
        more = rest[: 4 * header[4]]
        yield Pdu(header=bytearray(header), more=more, data=rest[len(more) : len(more) + length])


def identification(naa: str, vendor: str) -> bytes:
    """VPD page 0x83 of a disk: its NAA designator, then vendor and naa-name as a T10 designator."""
    word = f"{vendor:<8}{naa}".encode()
    designators = struct.pack(">BBBB", 0x01, 0x03, 0, 8) + bytes.fromhex(naa)
    designators += struct.pack(">BBBB", 0x02, 0x01, 0, len(word)) + word
    return struct.pack(">BBH", 0, DEVICE_IDENTIFICATION, len(designators)) + designators


def keys(data: bytes) -> dict[str, str]:
    """The keys of a login or text PDU."""
    return dict(word.split("=", 1) for word in data.decode().split("\0") if "=" in word)


def text(pairs: list[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}={value}\0".encode() for name, value in pairs)


@dataclass(kw_only=True)
class Front:
    """What portals have in common: where tgt is, and what is known of the array."""

    backend: tuple[str, int]
    iqn: str
    vendor: str
    target_of: Callable[[str], str]
    """The name of the tgt target for an initiator."""
    naa_of: Callable[[str, int], str]
    """The naa-name of a LUN of a tgt target; "" if there is none."""
    portals: list[tuple[str, int]] = field(default_factory=list)


class Portal:
    """One address that the target answers at; it can be cut, which closes it, or silenced, which keeps it open."""

    def __init__(self, front: Front, ip: str, port: int) -> None:
        self.front = front
        self.address = (ip, port)
        self._listener: socket.socket | None = None
        self._relays: set[Relay] = set()
        self._lock = threading.Condition()
        self.flowing = threading.Event()
        self.flowing.set()

    def open(self) -> None:
        listener = socket.create_server(self.address, backlog=64)
        self.address = listener.getsockname()[:2]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name=f"portal-{self.address}", daemon=True).start()

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def close(self) -> None:
        """Refuse connections and break those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            relays = list(self._relays)
        for relay in relays:
            relay.end()
        self.flowing.set()
        with self._lock:
            self._lock.wait_for(lambda: self._relays.isdisjoint(relays), END_S)

    @property
    def relays(self) -> list[Relay]:
        with self._lock:
            return list(self._relays)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                backend = socket.create_connection(self.front.backend, timeout=10)
            except OSError:
                client.close()
                continue
            relay = Relay(self, client, backend)
            with self._lock:
                self._relays.add(relay)
            relay.start()
            if self._listener is not listener:
                relay.end()

    def ended(self, relay: Relay) -> None:
        with self._lock:
            self._relays.discard(relay)
            self._lock.notify_all()


class Relay:
    """A connection of an initiator, and the one to tgt that serves it."""

    def __init__(self, portal: Portal, client: socket.socket, backend: socket.socket) -> None:
        self.portal = portal
        self.front = portal.front
        self._client = client
        self._backend = backend
        self.target = ""
        self.initiator = ""
        self._held: list[Pdu] | None = None
        """Requests that wait, while any has to."""
        self._inquiries: dict[bytes, int] = {}
        self._left = 2
        self._lock = threading.Lock()

    def start(self) -> None:
        for connection in (self._client, self._backend):
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, see, send in (
            (self._client, self._request, self._send_request),
            (self._backend, self._response, self._send_response),
        ):
            threading.Thread(target=self._pump, args=(source, see, send), name="relay", daemon=True).start()

    def end(self) -> None:
        for connection in (self._client, self._backend):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Let new requests wait, while tgt still gets the data of those that it has."""
        with self._lock:
            self._held = []

    def release(self) -> None:
        with self._lock:
            waiting, self._held = self._held or [], None
            with contextlib.suppress(OSError):
                for pdu in waiting:
                    self._backend.sendall(pdu.encoded())

    def _send_request(self, pdu: Pdu) -> None:
        with self._lock:
            if self._held is not None:
                waits = pdu.opcode != DATA_OUT or pdu.tag in {other.tag for other in self._held}
                if waits:
                    self._held.append(pdu)
                    return
            self._backend.sendall(pdu.encoded())

    def _send_response(self, pdu: Pdu) -> None:
        self._client.sendall(pdu.encoded())

    def _pump(self, source: socket.socket, see: Callable[[Pdu], None], send: Callable[[Pdu], None]) -> None:
        try:
            for pdu in pdus(source):
                see(pdu)
                self.portal.flowing.wait()
                send(pdu)
        except OSError:
            pass
        self.end()
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._client.close()
            self._backend.close()
            self.portal.ended(self)

    def _request(self, pdu: Pdu) -> None:
        if pdu.opcode == LOGIN_REQUEST and b"InitiatorName=" in pdu.data:
            found = keys(pdu.data)
            self.initiator = found["InitiatorName"]
            if found.get("SessionType", "Normal") == "Normal":
                known = found.get("TargetName") == self.front.iqn
                self.target = self.front.target_of(self.initiator) if known else f"{self.front.iqn}:nobody"
                found["TargetName"] = self.target
                pdu.data = text(list(found.items()))
        elif pdu.opcode == SCSI_COMMAND:
            block = pdu.header[32:48]
            if block[0] == INQUIRY and block[1] & 1 and block[2] == DEVICE_IDENTIFICATION:
                self._inquiries[pdu.tag] = pdu.lun

    def _response(self, pdu: Pdu) -> None:
        if pdu.opcode == TEXT_RESPONSE and not self.target:
            pdu.data = text(
                [("TargetName", self.front.iqn)]
                + [("TargetAddress", f"{ip}:{port},1") for ip, port in self.front.portals]
            )
        elif pdu.opcode == DATA_IN and pdu.tag in self._inquiries:
            naa = self.front.naa_of(self.target, self._inquiries.pop(pdu.tag))
            if naa:
                page = identification(naa, self.front.vendor)
                pdu.data = page[: len(pdu.data)].ljust(len(pdu.data), b"\0")
