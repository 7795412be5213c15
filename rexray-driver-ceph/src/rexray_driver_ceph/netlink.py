"""Telling the kernel's nbd a device's new size, which rbd-nbd itself cannot always do.

Facts: genetlink(7), ``include/uapi/linux/genetlink.h`` and ``nbd-netlink.h``, ``nbd_genl_reconfigure`` in
``drivers/block/nbd.c``: since Linux 5.14 a device that was made with a backend identifier, which is in sysfs, can only
be changed by who names that. rbd-nbd of Ceph 16 makes it so and does not name it: "must specify backend".
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from rexray.errors import RexrayError

_GENERIC = 16
_HEADER = struct.Struct("=IHHII")
_COMMAND = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _ACKNOWLEDGE = 1, 4
_ERROR = 2
_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_RECONFIGURE = 3
_INDEX, _SIZE_BYTES, _BACKEND = 1, 2, 10
_SECONDS = 5.0


def resize(number: int, size_bytes: int, backend: str) -> None:
    """Give the device of that number that size; ``backend`` is what sysfs has, empty if nothing."""
    attributes = _pack(_INDEX, struct.pack("=I", number)) + _pack(_SIZE_BYTES, struct.pack("=Q", size_bytes))
    if backend:
        attributes += _pack(_BACKEND, backend.encode() + b"\0")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC) as channel:
        channel.settimeout(_SECONDS)
        channel.bind((0, 0))
        _call(channel, _family(channel), _RECONFIGURE, attributes, what=f"grow nbd{number}")


def _family(channel: socket.socket) -> int:
    answer = _call(channel, _CONTROLLER, _GET_FAMILY, _pack(_FAMILY_NAME, b"nbd\0"), what="find nbd by netlink")
    at = _HEADER.size + _COMMAND.size
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _FAMILY_ID:
            return int(struct.unpack_from("=H", answer, at + _ATTRIBUTE.size)[0])
        at += max(_aligned(length), _ATTRIBUTE.size)
    raise RexrayError("cannot find nbd by netlink: the kernel's answer has no number")


def _call(channel: socket.socket, family: int, command: int, attributes: bytes, *, what: str) -> bytes:
    """Send a command and wait until it is acknowledged; the message that came before that, if there was one."""
    body = _COMMAND.pack(command, 1, 0) + attributes
    answer = b""
    try:
        channel.send(_HEADER.pack(_HEADER.size + len(body), family, _REQUEST | _ACKNOWLEDGE, 1, 0) + body)
        while True:
            data = channel.recv(1 << 16)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", data, _HEADER.size)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return answer
                answer, data = data[:length], data[_aligned(length) :]
    except TimeoutError:
        raise RexrayError(f"cannot {what}: the kernel does not answer") from None
    except OSError as error:
        reason = "this needs root" if error.errno == errno.EPERM else error.strerror
        raise RexrayError(f"cannot {what}: {reason}") from None


def _pack(kind: int, value: bytes) -> bytes:
    packed = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return packed.ljust(_aligned(len(packed)), b"\0")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
