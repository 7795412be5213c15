"""Starting the service in the background, stopping it, and asking how it is."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import click

from rexray.cli import message_of
from rexray.errors import NotReady, RexrayError, TimedOut
from rexray.paths import Paths
from rexray.redaction import scrub
from rexray.settings import Sources
from rexray_server import board, logs_text
from rexray_server.board import Board
from rexray_server.monitoring.state import FAILED, ModuleState
from rexray_server.pidfile import PidFile

START_SECONDS = 30.0
"""How long a start in the background may take to answer connections."""
STOP_SECONDS = 30.0
"""How long a stop may take; calls under way have ten seconds of it."""


RELOAD_SECONDS = 60.0
"""How long a reload may take."""
DEFAULT = "default-csi"
"""The module that Docker knows as ``rexray``."""
_PROTOCOLS = {"csi+docker": "Docker and CSI", "csi": "CSI", "docker": "Docker"}


class StartFailed(RexrayError):
    """The service in the background did not become ready; its own error is the message."""


class ReloadRefused(RexrayError):
    """The service goes on as it was; its own error is the message."""


def serve(
    sources: Sources, paths: Paths, *, reread: Callable[[], Sources], pid_file: bool, ready_fd: int | None
) -> None:
    """Run the service in this process until a signal stops it."""
    from rexray_server import logs

    handshake = os.fdopen(ready_fd, "w") if ready_fd is not None else None
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))  # it would end us before it can be heard
    try:
        logs.start(sources)
        with contextlib.ExitStack() as stack:
            if pid_file:
                holder = PidFile(paths.pid_file)
                holder.acquire()
                stack.callback(holder.release)
            from rexray_server.service import Service

            service = Service(sources, paths, reread=reread)

            def ready(state: Board) -> None:
                if handshake is None:
                    click.echo(hints(state))
                else:
                    os.chdir("/")  # a daemon must not keep the caller's filesystem busy
                    _tell(handshake, {"hints": hints(state)})
                if early:
                    os.kill(os.getpid(), signal.SIGHUP)

            service.run(ready)
        _leave_hung_calls_behind()
    except (RexrayError, OSError) as error:
        if handshake is not None:
            _tell(handshake, {"error": scrub(message_of(error))})
        raise


def _leave_hung_calls_behind() -> None:
    """End the process although a call hangs in a thread: the interpreter would wait for it for ever."""
    hung = [thread for thread in threading.enumerate() if thread.name.startswith(("csi", "docker", "module"))]
    deadline = time.monotonic() + 1.0
    for thread in hung:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in hung):
        logging.getLogger(__name__).warning("calls still hang, leaving them behind")
        logging.shutdown()
        os._exit(0)


def _tell(handshake: TextIO, message: dict[str, str]) -> None:
    """Answer the starting process, once."""
    if not handshake.closed:
        with contextlib.suppress(BrokenPipeError), handshake:
            handshake.write(json.dumps(message))


def hints(state: Board) -> str:
    """What the service serves, where, and lines to try it by."""
    if len(state.modules) == 1:
        (module,), (speaks,) = state.modules, state.speaks
        lines = [f"REX-Ray serves {_PROTOCOLS.get(speaks, speaks)} at {module.endpoint}"]
        if module.reason:
            lines.append(f"  {module.state}: {module.reason}")
    else:
        lines = [f"REX-Ray serves {len(state.modules)} modules:", *state.lines()]
    serving = [pair for pair in zip(state.modules, state.speaks, strict=True) if pair[0].state != FAILED]
    docker = next((module for module, speaks in serving if "docker" in speaks.split("+")), None)
    csi = next((module for module, speaks in serving if "csi" in speaks.split("+")), None)
    return "\n".join(
        [
            *lines,
            "Try it:",
            *(_docker_hints(docker) if docker else []),
            *([f"  CSI_ENDPOINT={csi.endpoint} rexray csi ls"] if csi else []),
        ]
    )


def _docker_hints(module: ModuleState) -> list[str]:
    endpoint = module.endpoint
    name = "rexray" if module.name == DEFAULT else module.name
    if endpoint.startswith("tcp://"):
        curl = f"curl -X POST http://{endpoint.removeprefix('tcp://')}/VolumeDriver.List"
        spec = f"echo {endpoint} | sudo tee /etc/docker/plugins/{name}.spec; "
    else:
        curl = f"curl --unix-socket {endpoint} -X POST http://localhost/VolumeDriver.List"
        known = Path(endpoint).parent == Path("/run/docker/plugins")
        name = Path(endpoint).stem if known else name
        spec = "" if known else f"echo unix://{endpoint} | sudo tee /etc/docker/plugins/{name}.spec; "
    return [f"  {curl}", f"  {spec}docker volume create -d {name} data"]


def start_in_background(arguments: Sequence[str], paths: Paths) -> str:
    """Start the service as a daemon and wait until it answers; what to tell the user. ``StartFailed`` otherwise.

    ``arguments`` are those of ``rexray start`` without the ones that this function knows.
    """
    running = PidFile(paths.pid_file).owner()
    if running is not None:
        return f"REX-Ray is running at PID {running}"
    paths.log.mkdir(parents=True, exist_ok=True, mode=0o755)
    reader, writer = os.pipe()
    with open(paths.log_file, "a+b") as log_file:
        begin = log_file.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-m", "rexray", "start", *arguments, "--foreground", f"--ready-fd={writer}"],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        answer = _await_ready(reader, process)
        log_file.seek(begin)
        if "hints" in answer:
            for line in log_file.read().decode(errors="replace").splitlines():
                click.echo(logs_text.as_text(line), err=True)
    if "hints" not in answer:
        raise StartFailed(answer.get("error") or f"the service ended at once: see {paths.log_file}")
    return f"REX-Ray is running at PID {process.pid}\n{answer['hints']}"


def _await_ready(reader: int, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """What the service tells, nothing if it ended without a word; one that takes too long is killed."""
    deadline = time.monotonic() + START_SECONDS
    try:
        message = _read_to_end(reader, deadline)
        answer: dict[str, str] = json.loads(message) if message else {}
        if "hints" not in answer:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return {"error": f"the service was not ready after {START_SECONDS:g} s"}
    finally:
        os.close(reader)
    return answer


def _read_to_end(reader: int, deadline: float) -> bytes:
    """All that comes through a pipe until its writer closes it; ``TimeoutError`` if that is not by the deadline."""
    message = b""
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 65536)
        if not part:
            return message
        message += part
    raise TimeoutError


def stop(paths: Paths) -> str:
    """Stop the service and wait until it is gone; a service that does not run is stopped already."""
    pid_file = PidFile(paths.pid_file)
    pid = pid_file.owner()
    if pid is None:
        return "REX-Ray is stopped"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while pid_file.owner() == pid:
        if time.monotonic() > deadline:
            raise TimedOut(f"REX-Ray at PID {pid} still runs {STOP_SECONDS:g} s after it was told to stop")
        time.sleep(0.02)
    return "REX-Ray is stopped"


def reload(paths: Paths) -> str:
    """Have the service read its settings anew, and wait for that; ``ReloadRefused`` says what is wrong in them."""
    pid = PidFile(paths.pid_file).owner()
    if pid is None:
        raise NotReady("REX-Ray is stopped: there is nothing to reload")
    asked = time.monotonic_ns()
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + RELOAD_SECONDS
    while True:
        state = board.read(paths, pid)
        if state is not None and state.reloaded.began >= asked:
            break
        if PidFile(paths.pid_file).owner() != pid:
            raise NotReady(f"REX-Ray at PID {pid} ended before it had read its settings: see {paths.log_file}")
        if time.monotonic() > deadline:
            raise TimedOut(f"REX-Ray at PID {pid} has not read its settings after {RELOAD_SECONDS:g} s")
        time.sleep(0.02)
    if state.reloaded.error:
        raise ReloadRefused(state.reloaded.error)
    return "\n".join(["REX-Ray has read its settings anew", *state.lines()])


def status(paths: Paths) -> tuple[int, str]:
    """The exit status that LSB gives the state, a line that says it, and one for each module."""
    pid_file = PidFile(paths.pid_file)
    pid = pid_file.owner()
    if pid is not None:
        state = board.read(paths, pid)
        return 0, "\n".join([f"REX-Ray is running at PID {pid}", *(state.lines() if state else [])])
    if pid_file.is_stale():
        return 1, f"REX-Ray is stopped, and its PID file is left at {paths.pid_file}"
    return 3, "REX-Ray is stopped"
