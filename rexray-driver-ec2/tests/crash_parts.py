"""Processes that make one call of the driver and can be killed at it. Run as a program, this is who forks them.

boto3 takes longer to import, and to read EC2's model, than the call takes: the program does that once.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

Call = tuple[str, dict[str, Any]]
"""A method of the driver and its parameters, as JSON has them; those of ``create`` are a spec's."""


@dataclass(frozen=True)
class Ending:
    status: int
    """An exit status, or a signal's negative number."""
    answer: str
    """What the call returned, as the ids that are in it, or what it raised."""


class Forker:
    """A process that forks others, one at a time; ``with Forker() as forker``."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._known = threading.Event()
        self._pid = 0

    def __enter__(self) -> Forker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, environ: Mapping[str, str], call: Call) -> Ending:
        """Have a process make the call with a driver of its own, and wait for its end."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self._known.clear()
        stdin.write(json.dumps([dict(environ), *call]) + "\n")
        stdin.flush()
        self._pid = int(stdout.readline())
        self._known.set()
        status, answer = json.loads(stdout.readline())
        return Ending(status, answer)

    def kill(self) -> None:
        """End the process as a power cut would; it is waiting for an answer."""
        assert self._known.wait(10)
        os.kill(self._pid, signal.SIGKILL)


def _make(environ: dict[str, str], method: str, parameters: dict[str, Any]) -> str:
    from rexray.settings import Sources
    from rexray.types import VolumeSpec
    from rexray_driver_ec2.storage import Ec2Storage

    storage = Ec2Storage.make(Sources(environ=environ))
    arguments = {"spec": VolumeSpec(**parameters)} if method == "create" else parameters
    answer = getattr(storage, method)(**arguments)
    shown = [getattr(answer, name, "") for name in ("id", "volume_id", "instance_id", "device")]
    return " ".join([type(answer).__name__, *filter(None, shown)])


def _fork(environ: dict[str, str], call: Call, output: IO[str]) -> None:
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        status, answer = 1, ""
        try:
            answer = _make(environ, *call)
            status = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(sink, answer.encode())
            os._exit(status)
    os.close(sink)
    print(pid, file=output, flush=True)
    with os.fdopen(source) as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([status, answer]), file=output, flush=True)


def main() -> None:
    import boto3.session
    from botocore.loaders import JSONFileLoader

    read_once = functools.cache(JSONFileLoader().load_file)
    JSONFileLoader.load_file = lambda self, file_path: read_once(file_path)  # type: ignore[method-assign]
    boto3.session.Session("key", "secret", region_name="us-west-1").client("ec2")
    import rexray_driver_ec2.storage  # noqa: F401 - for those who are forked

    for line in sys.stdin:
        environ, method, parameters = json.loads(line)
        _fork(environ, (method, parameters), sys.stdout)


def tag(item: Mapping[str, Any], key: str = "Name") -> str:
    """The value of a tag of a volume or snapshot, empty without it."""
    return next((str(entry["Value"]) for entry in item.get("Tags", []) if entry["Key"] == key), "")


def ids_in(text: str) -> list[str]:
    """The ids of EC2's in a text."""
    return re.findall(r"\b(?:vol|snap|i)-[0-9a-f]{8,}", text)


if __name__ == "__main__":
    main()
