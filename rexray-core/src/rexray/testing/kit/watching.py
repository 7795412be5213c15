"""What a driver says and starts while one looks: logs, errors, child processes, URLs, threads and open files."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from rexray.settings import Option, Sources, options_of

_STARTS = {"subprocess.Popen": 1, "os.exec": 1, "os.posix_spawn": 1, "os.system": 0}
"""Events that begin a process, and which of their arguments is its command line."""
_guard = threading.RLock()
_watches: list[Watch] = []
_hooked = False


class Watch(logging.Handler):
    """Listens to every logger at ``DEBUG``, and notes command lines and URLs; one at a time in a process.

    ``told`` has each with a word for where it was.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[tuple[str, str]] = []
        self._before: list[tuple[logging.Logger, int]] = []
        self._disabled = 0

    def __enter__(self) -> Self:
        _guard.acquire()
        _hook()
        known = logging.root.manager.loggerDict.values()
        for logger in (logging.root, *(item for item in known if isinstance(item, logging.Logger))):
            self._before.append((logger, logger.level))
            logger.setLevel(logging.DEBUG)
            if not logger.propagate or logger is logging.root:
                logger.addHandler(self)
        self._disabled = logging.root.manager.disable
        logging.disable(logging.NOTSET)
        _watches.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _watches.remove(self)
        logging.disable(self._disabled)
        for logger, level in self._before:
            logger.setLevel(level)
            logger.removeHandler(self)
        _guard.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Note what a logger says, and the error that it shows."""
        where = f"the log of {record.name}"
        self.told.append((where, record.getMessage()))
        if record.exc_info and record.exc_info[1] is not None:
            self.told += [(where, text) for text in messages_of(record.exc_info[1])]

    def hear(self, where: str, text: object) -> None:
        """Note something else."""
        self.told.append((where, str(text)))

    def note_error(self, what: str, error: BaseException) -> None:
        """Note all that an error says."""
        self.told += [(f"the error of {what}", text) for text in messages_of(error)]

    def places_of(self, words: tuple[str, ...]) -> list[str]:
        """Where one of the words was, each place once."""
        return list(dict.fromkeys(where for where, text in self.told if any(word in text for word in words)))


def _hook() -> None:
    global _hooked
    if not _hooked:
        sys.addaudithook(_on_event)  # which cannot be taken away again, and does nothing while nobody watches
        _hooked = True


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    if event in _STARTS:
        _watches[-1].hear("the command line of a process", arguments[_STARTS[event]])
    elif event == "http.client.send" and isinstance(arguments[1], bytes):
        first = arguments[1].split(b"\r\n", 1)[0]
        if b" HTTP/" in first:  # a body may be sent by itself, and is no URL
            _watches[-1].hear("the URL of a request", first.decode(errors="replace"))
    elif event == "urllib.Request":
        _watches[-1].hear("the URL of a request", arguments[0])


def messages_of(error: BaseException) -> Iterator[str]:
    """All that an error says, and the errors that it came of, whether a traceback would show them or not."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield f"{found} {found!r} {' '.join(getattr(found, '__notes__', ()))}"
        left += [found.__cause__, found.__context__, *getattr(found, "exceptions", ())]


def secret_options(settings: type | None) -> tuple[Option, ...]:
    """The options of a settings class that are secrets."""
    return () if settings is None else tuple(option for option in options_of(settings) if option.secret)


def with_value(sources: Sources, option: Option, value: str) -> Sources:
    """The sources with another value of one option, which wins over all that they say."""
    if option.flags:
        return replace(sources, flags={**sources.flags, **dict.fromkeys(option.flags, value)})
    content = {f"{scope}{option.key}".lower(): value for scope in ("", *sources.scopes)}
    environ = {**sources.environ, **dict.fromkeys(option.env, value)}
    return replace(sources, environ=environ, files=(*sources.files, ("the kit", content)))


def threads_and_files() -> tuple[int, int]:
    """How many threads and open files this process has."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def settled(before: tuple[int, int], allowed: int, seconds: float) -> tuple[int, int]:
    """The threads and files that are more than before, once they are no more than allowed or the time is over."""
    until = time.monotonic() + seconds
    while True:
        now = threads_and_files()
        more = (now[0] - before[0], now[1] - before[1])
        if max(more) <= allowed or time.monotonic() > until:
            return more
        time.sleep(0.02)
