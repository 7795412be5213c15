"""The platform: its state, the calls that drivers make to it, and what tests do to it behind their backs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar, Self, TypeVar

from rexray import faults
from rexray.errors import InvalidRequest, RexrayError, TimedOut, Unauthorized, Unavailable
from rexray.testing.memory import content
from rexray.testing.memory.copies import Array
from rexray.testing.memory.injecting import ANY, HANG, LATE, LOSE, SLOW, FaultInjection, error_named
from rexray.testing.memory.keeping import FileKeeper, Keeper, ProcessKeeper
from rexray.testing.memory.model import FaultRecord, HostRecord, State, VolumeRecord, digest
from rexray.testing.memory.settings import MemorySettings

T = TypeVar("T")


class MemoryPlatform(FaultInjection):
    """A platform that is kept in this process or in a file; every method may be called by any thread.

    ``MemoryPlatform(MemorySettings())`` is one of its own; :meth:`of` is the one that drivers of the settings share.
    """

    _known: ClassVar[dict[str, MemoryPlatform]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, settings: MemorySettings | None = None) -> None:
        settings = settings or MemorySettings()
        settings.check()
        hosts = {
            name: HostRecord(zone=zone, max_volumes=settings.max_volumes) for name, zone in settings.hosts().items()
        }
        fresh = State(zones=settings.zones, capacity=settings.capacity, hosts=hosts)
        self._keeper: Keeper = FileKeeper(settings.path, fresh) if settings.path else ProcessKeeper(fresh)
        self._late: list[threading.Thread] = []

    @classmethod
    def of(cls, settings: MemorySettings) -> Self:
        """The platform of the file, or of that name in this process."""
        key = str(settings.path or "") or f"name {settings.name}"
        with MemoryPlatform._guard:
            found = MemoryPlatform._known.get(key)
            if not isinstance(found, cls):
                found = MemoryPlatform._known[key] = cls(settings)
            return found

    # What drivers call

    def call(
        self,
        name: str,
        work: Callable[[Array], T],
        *,
        timeout: float,
        changes: bool = False,
        password: str | None = None,
        about: str = "",
    ) -> T:
        """The result of the work on the platform; every call of a driver is one of these.

        ``name`` is what the call does, which faults are injected by. ``password`` is None for a call on a host,
        which asks nobody for permission, and works while the platform is down. ``TimedOut``, which says what it was
        ``about``, after ``timeout`` seconds.
        """
        self._keeper.note(name)
        if password is not None:
            self._admit(password)
        until = time.monotonic() + timeout
        late = f"{name}{about and f' of {about}'}: no answer within {timeout:g} s"
        fault = self._meet(name)
        if fault is None:
            return self._work(name, work, changes=changes)
        if fault.effect == LOSE:
            self._work(name, work, changes=changes)
            raise Unavailable(fault.message or f"{name}: the connection broke before the answer came")
        if fault.effect == LATE:
            time.sleep(timeout)
            self._begin_late(fault.seconds, name, work, changes=changes)
            raise TimedOut(late)
        if fault.effect not in (HANG, SLOW):
            raise error_named(fault.error)(fault.message or f"{name}: the platform answers {fault.error}")
        if not self._passes(fault, until - time.monotonic()):
            raise TimedOut(late)
        return self._work(name, work, changes=changes)

    def _passes(self, fault: FaultRecord, seconds: float) -> bool:
        """Whether a call that hangs is let go, or a slow one gets there, within that time."""
        if fault.effect == HANG:
            return self._keeper.wait(lambda state: state.releases != fault.times, seconds)
        time.sleep(min(fault.seconds, seconds))
        return fault.seconds <= seconds

    def wait(self, until: Callable[[Array], bool], seconds: float) -> bool:
        """Wait for the platform to be so; False if it is not within that time."""
        return self._keeper.wait(lambda state: until(Array(state)), seconds)

    def _admit(self, password: str) -> None:
        with self._keeper.reading() as state:
            if state.down:
                raise Unavailable(state.down)
            if state.password and digest(password) != state.password:
                raise Unauthorized("the platform refused the credentials: check memory.password ($MEMORY_PASSWORD)")

    def _meet(self, name: str) -> FaultRecord | None:
        """The fault that this call meets, used up by it; one that hangs tells by ``times`` which release it awaits."""
        with self._keeper.reading() as state:
            if not any(fault.call in (name, ANY) for fault in state.faults):
                return None
        with self._keeper.changing() as state:
            for index, fault in enumerate(state.faults):
                if fault.call in (name, ANY):
                    left = (replace(fault, times=fault.times - 1),) if fault.times > 1 else ()
                    state.faults = (*state.faults[:index], *left, *state.faults[index + 1 :])
                    return replace(fault, times=state.releases) if fault.effect == HANG else fault
        return None

    def _work(self, name: str, work: Callable[[Array], T], *, changes: bool) -> T:
        if not changes:
            with self._keeper.reading() as state:
                return work(Array(state))
        faults.point(f"memory-{name}-asked")
        with self._keeper.changing() as state:
            result = work(Array(state))
        faults.point(f"memory-{name}-recorded")
        return result

    def _begin_late(self, seconds: float, name: str, work: Callable[[Array], T], *, changes: bool) -> None:
        def act() -> None:
            with contextlib.suppress(RexrayError):  # whoever asked has left
                self._work(name, work, changes=changes)

        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self._late.append(timer)
        timer.start()

    def settle(self, seconds: float = 10.0) -> None:
        """Wait for what this process is to do late; ``TimedOut`` if that takes longer."""
        until = time.monotonic() + seconds
        for thread in self._late:
            thread.join(max(until - time.monotonic(), 0))
            if thread.is_alive():
                raise TimedOut(f"a late call is not done within {seconds:g} s")
        self._late.clear()

    # What tests look at and change behind the drivers' backs

    @property
    def calls(self) -> list[str]:
        """The names of the calls of every driver so far, a page of a list being a call of its own."""
        return self._keeper.calls()

    def state(self) -> State:
        """A copy of everything that the platform knows."""
        with self._keeper.reading() as state:
            return state.copy()

    @contextlib.contextmanager
    def looking(self) -> Iterator[Array]:
        """The platform as it is, to be looked at only."""
        with self._keeper.reading() as state:
            yield Array(state)

    @contextlib.contextmanager
    def array(self) -> Iterator[Array]:
        """Change the platform as its administrator would; nothing is changed if the block raises."""
        with self._keeper.changing() as state:
            yield Array(state)

    def read(self, volume_id: str, offset: int, length: int) -> bytes:
        """What a host to which the volume is attached would read; ``InvalidRequest`` beyond its end."""
        with self._keeper.reading() as state:
            volume = Array(state).volume(volume_id)
        _check_range(volume, offset, length)
        return content.read(volume.content, offset, length)

    def write(self, volume_id: str, offset: int, data: bytes) -> None:
        """Write as such a host would; ``InvalidRequest`` beyond the end."""
        with self.array() as array:
            volume = array.volume(volume_id)
            _check_range(volume, offset, len(data))
            array.write(volume_id, content.write(volume.content, offset, data))

    def set_health(self, volume_id: str, message: str = "") -> None:
        """Say what is wrong with a volume; empty if nothing is."""
        with self.array() as array:
            array.state.volumes[volume_id] = replace(array.volume(volume_id), sick=message)

    def reboot(self, instance_id: str) -> None:
        """Have an instance lose its connections, claims and mounts, as a reboot does; what is attached stays so."""
        with self.array() as array:
            array.state.hosts[instance_id] = replace(array.host(instance_id), connected=(), claimed=(), mounts={})


def _check_range(volume: VolumeRecord, offset: int, length: int) -> None:
    if offset < 0 or offset + length > volume.size_bytes:
        raise InvalidRequest(
            f"bytes {offset} to {offset + length} are not in volume {volume.id!r} of {volume.size_bytes}"
        )
