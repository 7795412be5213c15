"""Speaking with a ``qemu-storage-daemon``.

Facts: QEMU's documentation, "QEMU Machine Protocol Specification": a greeting, then a line of JSON for every command
and every answer, with events between them.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rexray.errors import RexrayError, TimedOut, Unavailable


def listen(path: Path) -> socket.socket:
    """A socket that listens there; paths may be longer than a socket's address has room for."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        _at(path, listener.bind)
        os.chmod(path, 0o600)
        listener.listen(8)
    except BaseException:
        listener.close()
        raise
    return listener


def command(path: Path, name: str, arguments: Mapping[str, Any], *, seconds: float) -> Any:
    """What the daemon that listens there answers; ``Unavailable`` if none does."""
    action = f"{name} by qemu-storage-daemon"
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(max(seconds, 0.1))
            _at(path, channel.connect)
            with channel.makefile("rw", encoding="utf-8") as stream:
                stream.readline()
                _ask(stream, "qmp_capabilities", {}, action)
                return _ask(stream, name, arguments, action)
    except TimeoutError:
        raise TimedOut(f"cannot {action}: no answer within {seconds:g} s") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot {action}: {error}") from None


def _ask(stream: Any, name: str, arguments: Mapping[str, Any], action: str) -> Any:
    stream.write(json.dumps({"execute": name, "arguments": dict(arguments)}) + "\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise RexrayError(f"cannot {action}: {answer['error'].get('desc', answer['error'])}")
        if "return" in answer:
            return answer["return"]
    raise Unavailable(f"cannot {action}: it has ended")


def _at(path: Path, use: Any) -> None:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
