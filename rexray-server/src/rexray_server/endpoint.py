"""The socket that the daemon listens at: its address, its owner and mode, and whoever held it before."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from rexray.csi.settings import Endpoint, parse_endpoint
from rexray.errors import InUse, SettingsError

_PATH_BYTES = 107
"""The longest path of a unix socket (unix(7))."""
_LAST_ID = 2**32 - 2
"""The highest user or group id; the one above it means none (chown(2))."""


def endpoint_to_serve(text: str, base: Path | None = None) -> Endpoint:
    """The endpoint with an absolute path, short enough to listen at; ``SettingsError`` if there is none.

    A relative path is below ``base``, by default below the working directory.
    """
    endpoint = parse_endpoint(text)
    if endpoint.path is None:
        return endpoint
    path = (base or Path.cwd()) / endpoint.path
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise SettingsError(f"endpoint {path}: a socket's path has at most {_PATH_BYTES} bytes")
    return Endpoint(path=path)


def listen(endpoint: Endpoint, *, mode: int, user: str, group: str) -> socket.socket:
    """A listening socket. A dead process's socket file is taken over; a live one's is ``InUse``.

    The file's owner and mode are set before anybody can connect.
    """
    if endpoint.path is None:
        return _listen_tcp(endpoint)
    path = endpoint.path
    owner = _user_id(user), _group_id(group)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise SettingsError(f"endpoint {path}: its directory cannot be made: {error.strerror}") from None
    _take_over(path)
    # Bound under another name and renamed once it listens: nobody ever meets it half made, and before it listens
    # nobody can connect, whatever its mode is then (connect(2)).
    fresh = path.with_name(f".{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        try:
            listener.bind(os.fspath(fresh))
        except OSError as error:
            raise SettingsError(f"endpoint {path}: cannot listen: {error.strerror or error}") from None
        try:
            os.chown(fresh, *owner)
        except OSError as error:
            raise SettingsError(f"endpoint {path}: its owner cannot be set: {error.strerror}") from None
        os.chmod(fresh, mode)
        listener.listen(socket.SOMAXCONN)
        os.rename(fresh, path)
    except BaseException:
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        raise
    return listener


def change_access(endpoint: Endpoint, *, mode: int, user: str, group: str) -> Callable[[], None]:
    """Give the file of a socket that this process serves another owner and mode; what takes that back."""
    path = endpoint.path
    if path is None:
        return lambda: None
    before = path.stat()
    owner = _user_id(user), _group_id(group)

    def undo() -> None:
        os.chown(path, before.st_uid, before.st_gid)
        os.chmod(path, stat.S_IMODE(before.st_mode))

    try:
        os.chown(path, *owner)
        os.chmod(path, mode)
    except OSError as error:
        raise SettingsError(f"endpoint {path}: its owner and mode cannot be set: {error.strerror}") from None
    return undo


def withdraw(endpoint: Endpoint) -> None:
    """Remove the socket's file, unless another process has put its own there."""
    if endpoint.path is not None:
        with contextlib.suppress(OSError):
            if _is_ours(endpoint.path):
                endpoint.path.unlink()


def _is_ours(path: Path) -> bool:
    """Whether nobody listens at the path, or this process does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little") == os.getpid()


def _take_over(path: Path) -> None:
    """Leave the way free if nobody listens at the path."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise SettingsError(f"endpoint {path}: exists and is not a socket: remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return
        except (TimeoutError, BlockingIOError):
            pass  # it listens, and is too busy to accept
        except OSError as error:
            raise SettingsError(
                f"endpoint {path}: in use or not, that cannot be told: {error.strerror}: choose another path"
            ) from None
    raise InUse(f"endpoint {path}: another process serves it: stop that first or choose another endpoint")


def _listen_tcp(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((endpoint.host, endpoint.port))
        listener.listen(socket.SOMAXCONN)
    except (UnicodeError, TypeError):  # whichever bind raises for a host that IDNA cannot encode
        listener.close()
        raise SettingsError(f"endpoint {endpoint}: {endpoint.host!r} is no name of a host") from None
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InUse(f"endpoint {endpoint}: another process serves it") from None
        raise SettingsError(f"endpoint {endpoint}: cannot listen: {error.strerror or error}") from None
    return listener


def _user_id(name: str) -> int:
    try:
        return _numeric_id(name) if _is_numeric(name) else pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise SettingsError(f"$X_CSI_ENDPOINT_USER: no such user: {name!r}") from None


def _group_id(name: str) -> int:
    try:
        return _numeric_id(name) if _is_numeric(name) else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise SettingsError(f"$X_CSI_ENDPOINT_GROUP: no such group: {name!r}") from None


def _is_numeric(name: str) -> bool:
    return not name or (name.isascii() and name.isdigit())


def _numeric_id(digits: str) -> int:
    """The id, -1 for none, which leaves it as it is; ``ValueError`` if there is no such id."""
    number = int(digits or "-1")
    if number > _LAST_ID:
        raise ValueError(digits)
    return number
