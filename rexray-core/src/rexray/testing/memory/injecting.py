"""Faults: what tests have a platform do to the calls of its drivers, in this process or another one."""

from __future__ import annotations

from rexray import errors
from rexray.errors import NotFound, RexrayError, Unavailable
from rexray.testing.memory.keeping import Keeper
from rexray.testing.memory.model import FaultRecord, digest

FAIL, LOSE, HANG, SLOW, LATE = "fail", "lose", "hang", "slow", "late"
ANY = "*"
"""A fault for calls of every name."""


class FaultInjection:
    """A platform's faults. A call's name is the driver's method that makes it, such as ``attach`` or ``connect``.

    What hangs or is slow beyond its caller's patience is not done; the caller raises ``TimedOut`` by itself.
    """

    _keeper: Keeper

    def fail(self, call: str, error: type[RexrayError] = Unavailable, *, times: int = 1, message: str = "") -> None:
        """The next calls of that name, or of :data:`ANY`, do nothing and raise the error."""
        self._inject(FaultRecord(call=call, effect=FAIL, times=times, error=error.__name__, message=message))

    def lose_answer(self, call: str, *, times: int = 1, message: str = "") -> None:
        """The next calls of that name do what they do, and then raise ``Unavailable``."""
        self._inject(FaultRecord(call=call, effect=LOSE, times=times, message=message))

    def hang(self, call: str, *, times: int = 1) -> None:
        """The next calls of that name wait for :meth:`release`; who gives up before that has changed nothing."""
        self._inject(FaultRecord(call=call, effect=HANG, times=times))

    def slow(self, call: str, seconds: float, *, times: int = 1) -> None:
        """The next calls of that name take so long; who gives up before that has changed nothing."""
        self._inject(FaultRecord(call=call, effect=SLOW, times=times, seconds=seconds))

    def act_late(self, call: str, seconds: float = 0.0, *, times: int = 1) -> None:
        """The next calls of that name are done so many seconds after their caller has given up."""
        self._inject(FaultRecord(call=call, effect=LATE, times=times, seconds=seconds))

    def release(self) -> None:
        """Let go on whatever hangs now."""
        with self._keeper.changing() as state:
            state.releases += 1

    def clear_faults(self) -> None:
        """Inject nothing any more, be up, and let go on whatever hangs."""
        with self._keeper.changing() as state:
            state.faults, state.down = (), ""
            state.releases += 1

    def go_down(self, message: str = "the platform cannot be reached") -> None:
        """Answer every call over the network with ``Unavailable``."""
        with self._keeper.changing() as state:
            state.down = message

    def come_up(self) -> None:
        """Answer again."""
        with self._keeper.changing() as state:
            state.down = ""

    def set_password(self, password: str) -> None:
        """Ask for a password from now on; empty for none."""
        with self._keeper.changing() as state:
            state.password = digest(password)

    def _inject(self, fault: FaultRecord) -> None:
        with self._keeper.changing() as state:
            state.faults = (*state.faults, fault)


def error_named(name: str) -> type[RexrayError]:
    """The class of an error by its name."""
    found = getattr(errors, name, None)
    if not (isinstance(found, type) and issubclass(found, RexrayError)):
        raise NotFound(f"there is no error {name!r} in rexray.errors")
    return found
