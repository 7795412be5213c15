"""Where a platform's state is kept: in this process, or in a file that processes share."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from rexray import faults
from rexray.errors import SettingsError
from rexray.locks import Locks
from rexray.testing.memory.model import State

_POLL = 0.01
_MANY = 1 << 20
_LOCK_SECONDS = 60.0


class Keeper(ABC):
    """One state, changed by one caller at a time."""

    @abstractmethod
    def reading(self) -> contextlib.AbstractContextManager[State]:
        """The state, which is only looked at."""

    @abstractmethod
    def changing(self) -> contextlib.AbstractContextManager[State]:
        """A copy of the state, which is the state from the end of the block on, unless that raises."""

    @abstractmethod
    def wait(self, until: Callable[[State], bool], seconds: float) -> bool:
        """Wait for the state to be so; False if it is not within that time."""

    @abstractmethod
    def note(self, call: str) -> None:
        """Remember that a driver made a call."""

    @abstractmethod
    def calls(self) -> list[str]:
        """The calls so far."""


class ProcessKeeper(Keeper):
    """Keeps the state in this process."""

    def __init__(self, fresh: State) -> None:
        self._state = fresh
        self._changed = threading.Condition(threading.RLock())
        self._calls: list[str] = []

    @contextlib.contextmanager
    def reading(self) -> Iterator[State]:
        """See the base class."""
        with self._changed:
            yield self._state

    @contextlib.contextmanager
    def changing(self) -> Iterator[State]:
        """See the base class."""
        with self._changed:
            fresh = self._state.copy()
            yield fresh
            self._state = fresh
            self._changed.notify_all()

    def wait(self, until: Callable[[State], bool], seconds: float) -> bool:
        """See the base class."""
        with self._changed:
            return self._changed.wait_for(lambda: until(self._state), seconds)

    def note(self, call: str) -> None:
        """See the base class."""
        self._calls.append(call)

    def calls(self) -> list[str]:
        """See the base class."""
        return list(self._calls)


class FileKeeper(Keeper):
    """Keeps the state in a file of JSON, beside it ``.lock`` and ``.calls``.

    The file is replaced as a whole: who is killed has changed everything or nothing. It need not survive a power
    failure, and is not flushed.
    """

    def __init__(self, path: Path, fresh: State) -> None:
        self._path = path
        self._fresh = fresh
        self._locks = Locks(path.parent, keep=True, waiters=_MANY)

    @contextlib.contextmanager
    def reading(self) -> Iterator[State]:
        """See the base class."""
        yield self._load()

    @contextlib.contextmanager
    def changing(self) -> Iterator[State]:
        """See the base class."""
        with self._locks.hold(f"{self._path.name}.lock", owner=f"changing {self._path}", timeout=_LOCK_SECONDS):
            state = self._load()
            yield state
            self._save(state)

    def wait(self, until: Callable[[State], bool], seconds: float) -> bool:
        """See the base class."""
        end = time.monotonic() + seconds
        while not until(self._load()):
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL)
        return True

    def note(self, call: str) -> None:
        """See the base class."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self._path}.calls", "a", encoding="utf-8") as log:
            log.write(f"{call}\n")

    def calls(self) -> list[str]:
        """See the base class."""
        try:
            return Path(f"{self._path}.calls").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def _load(self) -> State:
        try:
            return State.from_json(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return self._fresh.copy()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingsError(f"memory.file: {self._path} does not hold a platform: {error}: name another") from None

    def _save(self, state: State) -> None:
        new = Path(f"{self._path}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(state.to_json(), file)
        faults.point("memory-save-written")
        os.replace(new, self._path)
