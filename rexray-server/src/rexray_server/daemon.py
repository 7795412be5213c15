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
from rexray.errors import RexrayError, TimedOut
from rexray.paths import Paths
from rexray.settings import Sources
from rexray_server.pidfile import PidFile

START_SECONDS = 30.0
"""How long a start in the background may take to answer connections."""
STOP_SECONDS = 30.0
"""How long a stop may take; calls under way have ten seconds of it."""


class StartFailed(RexrayError):
    """The service in the background did not become ready; its own error is the message."""


def serve(
    sources: Sources, paths: Paths, *, reread: Callable[[], Sources], pid_file: bool, ready_fd: int | None
) -> None:
    """Run the service in this process until a signal stops it."""
    from rexray.core_settings import CoreSettings
    from rexray_server import logs

    handshake = os.fdopen(ready_fd, "w") if ready_fd is not None else None
    try:
        logs.configure(sources.load(CoreSettings).effective_log_level)
        with contextlib.ExitStack() as stack:
            if pid_file:
                holder = PidFile(paths.pid_file)
                holder.acquire()
                stack.callback(holder.release)
            from rexray_server.service import Service

            service = Service(sources, paths, reread=reread)

            def ready() -> None:
                if handshake is None:
                    click.echo(hints(str(service.endpoint), paths))
                else:
                    os.chdir("/")  # a daemon must not keep the caller's filesystem busy
                    _tell(handshake, {"endpoint": str(service.endpoint)})

            service.run(ready)
        _leave_hung_calls_behind()
    except (RexrayError, OSError) as error:
        if handshake is not None:
            _tell(handshake, {"error": message_of(error)})
        raise


def _leave_hung_calls_behind() -> None:
    """End the process although a call hangs in a thread: the interpreter would wait for it for ever."""
    hung = [thread for thread in threading.enumerate() if thread.name.startswith(("csi", "docker"))]
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


def hints(endpoint: str, paths: Paths) -> str:
    """Where the service is and three lines to try it by."""
    if endpoint.startswith("tcp://"):
        where = endpoint.removeprefix("tcp://")
        curl = f"curl -X POST http://{where}/VolumeDriver.List"
        spec = f"echo {endpoint} | sudo tee /etc/docker/plugins/rexray.spec; "
    else:
        curl = f"curl --unix-socket {endpoint} -X POST http://localhost/VolumeDriver.List"
        known = Path(endpoint).parent == Path("/run/docker/plugins")
        spec = "" if known else f"echo unix://{endpoint} | sudo tee /etc/docker/plugins/rexray.spec; "
    name = "rexray" if spec or endpoint.startswith("tcp://") else Path(endpoint).stem
    return "\n".join(
        [
            f"REX-Ray serves Docker and CSI at {endpoint}",
            "Try it:",
            f"  {curl}",
            f"  {spec}docker volume create -d {name} data",
            f"  CSI_ENDPOINT={endpoint} rexray csi ls",
        ]
    )


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
        if "endpoint" in answer:
            click.echo(log_file.read().decode(errors="replace"), err=True, nl=False)
    if "endpoint" not in answer:
        raise StartFailed(answer.get("error") or f"the service ended at once: see {paths.log_file}")
    return f"REX-Ray is running at PID {process.pid}\n{hints(answer['endpoint'], paths)}"


def _await_ready(reader: int, process: subprocess.Popen[bytes]) -> dict[str, str]:
    """What the service tells, nothing if it ended without a word; one that takes too long is killed."""
    deadline = time.monotonic() + START_SECONDS
    try:
        message = _read_to_end(reader, deadline)
        answer: dict[str, str] = json.loads(message) if message else {}
        if "endpoint" not in answer:
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


def status(paths: Paths) -> tuple[int, str]:
    """The exit status that LSB gives the state, and a line that says it."""
    pid_file = PidFile(paths.pid_file)
    pid = pid_file.owner()
    if pid is not None:
        return 0, f"REX-Ray is running at PID {pid}"
    if pid_file.is_stale():
        return 1, f"REX-Ray is stopped, and its PID file is left at {paths.pid_file}"
    return 3, "REX-Ray is stopped"
