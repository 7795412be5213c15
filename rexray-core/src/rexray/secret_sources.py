"""Where a secret can be kept instead of in the setting itself.

A secret setting may be the secret, or say where it is: ``file:/path``, ``env:NAME`` or ``command:PROGRAM WORDS``.
It is fetched when the settings are loaded. No error shows it, nor what was written in its place: what somebody
took for a source may be the secret.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping

from rexray.errors import RexrayError, SettingsError, TimedOut

log = logging.getLogger(__name__)

SECONDS = 10.0
"""How long a command may take."""
_MOST = 1 << 16
"""The bytes of a secret, beyond which it is something else."""


def resolve(text: str, origin: str, environ: Mapping[str, str]) -> str:
    """The secret itself; ``SettingsError`` begins with the ``origin``. A text that names no source is the secret."""
    if not is_source(text):
        return text
    if told := malformed(text):
        raise SettingsError(f"{origin}: {told}")
    scheme, _, rest = text.partition(":")
    return _SCHEMES[scheme](rest, origin, environ)


class Fetched:
    """Secrets that were fetched, so that a program is run and a file is read once for all who load settings."""

    __slots__ = ("_lock", "_secrets")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[Fetched], tuple[()]]:
        """Another process fetches for itself: no secret goes there."""
        return Fetched, ()

    def get(self, text: str, origin: str, environ: Mapping[str, str]) -> str:
        """As :func:`resolve`; what failed is tried again the next time."""
        if text.startswith(_VARIABLE):
            return resolve(text, origin, environ)
        with self._lock:
            if text not in self._secrets:
                self._secrets[text] = resolve(text, origin, environ)
            return self._secrets[text]


_VARIABLE = "env:"


def is_source(text: str) -> bool:
    """Whether a text says where the secret is, and is not the secret."""
    return text.partition(":")[0] in _SCHEMES and ":" in text


def malformed(text: str) -> str:
    """What is wrong with how a source is written, empty for nothing; the source itself is not looked at."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "file" and (not rest.startswith("/") or "\0" in rest):
        return "file: is to be followed by a path from the root, such as file:/etc/rexray/key"
    if colon and scheme == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        return "env: is to be followed by the name of a variable, such as env:PASSWORD"
    if colon and scheme == "command" and (not rest.strip() or "\0" in rest):
        return "command: is to be followed by a program and its words"
    return ""


def _from_file(path: str, origin: str, _: Mapping[str, str]) -> str:
    where = f"{origin}: {path}"
    try:
        # What opens may be a pipe that nobody writes to.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _refuse_readable(os.fstat(handle), path, where)
            data = os.read(handle, _MOST + 1)
        finally:
            os.close(handle)
    except OSError as error:
        told = "no such file" if error.errno == errno.ENOENT else error.strerror
        raise SettingsError(f"{where}: the secret cannot be read: {told}") from None
    return _one_line(data, where)


def _refuse_readable(facts: os.stat_result, path: str, where: str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise SettingsError(f"{where}: a secret is to be in a plain file")
    if facts.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"{where}: it belongs to the user {facts.st_uid}, who may read it: say chown root {path}")
    if facts.st_mode & 0o066:
        raise SettingsError(f"{where}: others than its owner may read or change this secret: say chmod 600 {path}")


def _from_variable(name: str, origin: str, environ: Mapping[str, str]) -> str:
    if not environ.get(name):
        raise SettingsError(f"{origin}: the variable {name}, which is to have the secret, is not set or empty")
    return environ[name]


def _from_command(words: str, origin: str, _: Mapping[str, str]) -> str:
    import shlex

    from rexray import child

    where = f"{origin}: its command"
    try:
        argv = shlex.split(words)
    except ValueError:
        raise SettingsError(f"{where}: a quotation mark has no other to close it") from None
    try:
        ended = child.run(argv, seconds=SECONDS, action="get a secret", most=_MOST + 1)
    except TimedOut:
        raise SettingsError(f"{where} did not end within {SECONDS:g} s") from None
    except RexrayError:
        raise SettingsError(f"{where} cannot be run: say a program that is installed, best by its whole path") from None
    if ended.status:
        raise SettingsError(f"{where} ended with status {ended.status}: run it by hand to see why")
    if "\N{REPLACEMENT CHARACTER}" in ended.stdout:
        raise SettingsError(f"{where}: what it prints is no text")
    return _one_line(ended.stdout.encode(), where)


def _one_line(data: bytes, where: str) -> str:
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SettingsError(f"{where}: what is there is no text") from None
    if not text:
        raise SettingsError(f"{where}: what is there is empty, and no secret")
    if len(data) > _MOST or len(text.splitlines()) > 1 or "\0" in text:
        raise SettingsError(f"{where}: a secret is one line of at most {_MOST >> 10} KiB")
    return text


_SCHEMES: Mapping[str, Callable[[str, str, Mapping[str, str]], str]] = {
    "file": _from_file,
    "env": _from_variable,
    "command": _from_command,
}


@functools.cache
def warn_if_readable(path: str) -> None:
    """Say, once for each file, that others can read the secrets which a configuration file has in it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # no file at all: settings that a test or a program made
    if mode & 0o044:
        log.warning("%s: others than its owner may read the secrets in it: say chmod 600 %s", path, path)
