"""Helpers that go on when this process ends: they serve a device or a mount that containers use.

A helper that is merely a child dies with the daemon. A terminal that closes ends its session; systemd, when it stops a
service, ends every process in the service's control group (systemd.kill(5), ``KillMode=control-group``), whatever
session it is in. So a helper gets a session of its own, and where this process is part of a unit a scope of its own as
well (systemd-run(1)). The scope has no default dependencies: at shutdown those would end the helper beside the
containers that still write, and not after them.

How a helper is found again, by the daemon that comes next, is its driver's: by what it noted when it started it.
"""

from __future__ import annotations

import os
import select
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rexray import child
from rexray.errors import RexrayError, TimedOut, Unavailable

if TYPE_CHECKING:
    import subprocess

SYSTEMD = Path("/run/systemd/system")
"""A directory that is there where systemd is the init system (sd_booted(3))."""
_SPARED = -900
"""How much the kernel spares a helper when memory runs out (proc(5), oom_score_adj): with it many containers stop."""
_BEGUN = "rexray-helper-begun"
_BEGIN = f"echo {_BEGUN}; {{ echo {_SPARED} >/proc/self/oom_score_adj; }} 2>/dev/null"
"""What is said before the helper takes over: what fails without it was the scope, and not the helper."""
_INTO_BACKGROUND = f'{_BEGIN}; exec "$@"'
_IN_FOREGROUND = f'{_BEGIN}; exec "$@" >/dev/null 2>&1'


def run(
    command: Sequence[str],
    *,
    name: str,
    seconds: float,
    action: str,
    keep: tuple[int, ...] = (),
    most: int = 1 << 16,
) -> child.Ended:
    """Run a program to its end as :func:`rexray.child.run` does; what it leaves in the background outlives us.

    ``name`` says what that is, in lower case with dashes. ``Unavailable`` if systemd gives it no scope: it is not
    started then, for it would end with the service and take the devices away under those who use them.
    """
    ended = child.run(
        _wrapped(command, name, _INTO_BACKGROUND), seconds=seconds, action=action, keep=keep, most=most + len(_BEGUN)
    )
    begun, _, said = ended.stdout.partition("\n")
    if begun != _BEGUN:
        raise _no_scope(action, ended.complaint)
    return replace(ended, program=os.path.basename(command[0]), stdout=said)


def start(command: Sequence[str], *, name: str, seconds: float, action: str) -> subprocess.Popen[bytes]:
    """Start a program that stays in the foreground, and outlives us; returned when it has its session and scope.

    Its standard input is a pipe from this process, which ends with this process; what it says is thrown away.
    ``Unavailable`` as above, ``TimedOut`` if it has not begun by then, and is killed.
    """
    import subprocess  # takes longer than all else here, and not every command runs a program

    environment = {"PATH": child.search_path(), "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
    try:
        process = subprocess.Popen(
            _wrapped(command, name, _IN_FOREGROUND),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise RexrayError(f"cannot {action}: {command[0]}: {error.strerror}") from None
    assert process.stdout is not None
    with process.stdout as stream:
        said = _first_line(stream.fileno(), time.monotonic() + seconds)
    if said == _BEGUN:
        return process
    process.kill()
    process.communicate()
    if said is None:
        raise TimedOut(f"cannot {action}: {os.path.basename(command[0])} did not begin within {seconds:g} s")
    raise _no_scope(action, said)


def scope(name: str, environ: Mapping[str, str] | None = None, *, systemd: Path = SYSTEMD) -> list[str]:
    """What is said before a command for it to have a scope of its own; nothing where this is no unit of systemd's.

    ``$INVOCATION_ID`` is what systemd gives the processes of a unit (systemd.exec(5)).
    """
    environ = os.environ if environ is None else environ
    if not environ.get("INVOCATION_ID") or not systemd.is_dir():
        return []
    unit = f"rexray-{name}-{uuid.uuid4().hex[:12]}"
    words = [child.need("systemd-run", "systemd"), "--scope", "--collect", "--quiet", f"--unit={unit}"]
    words += ["--property=DefaultDependencies=no"]
    if os.geteuid() == 0:
        return [*words, "--slice=system.slice", "--"]
    bus = environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return ["/usr/bin/env", f"XDG_RUNTIME_DIR={bus}", *words, "--user", "--"]


def _wrapped(command: Sequence[str], name: str, script: str) -> list[str]:
    return [*scope(name), "/bin/sh", "-c", script, name, *command]


def _first_line(descriptor: int, until: float) -> str | None:
    """What is said first, None if nothing is in time; empty if it ends without a word."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    said = b""
    while b"\n" not in said:
        if not poll.poll(max(until - time.monotonic(), 0) * 1000):
            return None
        more = os.read(descriptor, 4096)
        if not more:
            break
        said += more
    return said.decode(errors="replace").partition("\n")[0].strip()


def _no_scope(action: str, complaint: str) -> Unavailable:
    return Unavailable(f"cannot {action}: systemd gives the helper no scope of its own: {complaint}")
