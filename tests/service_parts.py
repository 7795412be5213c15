"""A real daemon in a home of its own, and what the end-to-end tests do with it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rexray.paths import find_paths
from rexray_server import daemon as control

REXRAY = str(Path(sys.executable).with_name("rexray"))


BRIDGE = {"X_CSI_NATIVE": "false", "X_CSI_DRIVER": "libstorage", "REXRAY_STORAGEDRIVERS": "loop"}
"""The environment of a daemon that serves loop devices instead."""


class Daemon:
    """``rexray start -f`` on native csi-vfs, as a user would run it; every path is below ``home``."""

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.endpoint = home / "run/docker/plugins/rexray.sock"
        self.data = home / "vfs"
        self.log = home / "daemon.log"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("X_CSI_", "CSI_", "REXRAY_"))},
            "REXRAY_HOME": str(home),
            "X_CSI_NATIVE": "true",
            "X_CSI_DRIVER": "csi-vfs",
            "X_CSI_VFS_DATA": str(self.data),
            "CSI_ENDPOINT": str(self.endpoint),
            **(environ or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Daemon:
        """Run it in the foreground, and wait until it says that it serves."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [REXRAY, "start", "-f"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert b"REX-Ray serves" in line, self.log.read_text()
        return self

    def stop(self) -> int:
        """Ask it to end, and wait."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it with no chance to tidy up."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    def rexray(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the ``rexray`` program against it."""
        return subprocess.run(
            [REXRAY, *arguments],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def socket_of(self, module: str) -> Path:
        """Where a module without a host of its own is."""
        return self.home / f"run/docker/plugins/{module}.sock"

    def configure(self, text: str) -> Path:
        """Write its configuration file."""
        file = self.home / "etc/config.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def states(self) -> dict[str, str]:
        """The state of each module, as ``service status`` tells it, with the reason if there is one."""
        lines = control.status(find_paths(self.environ))[1].splitlines()[1:]
        cells = [re.split(r"  +", line.strip()) for line in lines]
        return {row[0]: row[-1] for row in cells}

    def connect(self, endpoint: Path | None = None) -> socket.socket:
        """A bare connection to its socket, or to another one."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        connection.connect(str(endpoint or self.endpoint))
        return connection

    def docker(self, call: str, **body: object) -> dict[str, object]:
        """One call of Docker's protocol; an error is an AssertionError with its message."""
        return self.docker_at(self.endpoint, call, **body)

    def docker_at(self, endpoint: Path, call: str, **body: object) -> dict[str, object]:
        """The same at another socket."""
        status, answer = self.docker_raw(call, json.dumps(body).encode(), endpoint)
        assert status == 200, (call, body, answer)
        return answer

    def docker_raw(self, call: str, body: bytes, endpoint: Path | None = None) -> tuple[int, dict[str, object]]:
        """One call of Docker's protocol: its status and answer."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect(endpoint)
        try:
            connection.request("POST", f"/{call}", body)
            response = connection.getresponse()
            content: dict[str, object] = json.loads(response.read())
            return response.status, content
        finally:
            connection.close()

    def mounts(self) -> list[str]:
        """Where anything is mounted below its home."""
        with open("/proc/self/mountinfo") as table:
            return [line.split()[4] for line in table if str(self.home) in line.split()[4]]

    def loops(self) -> list[str]:
        """The loop devices whose files are below its home."""
        found = []
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if str(self.home) in backing.read_text():
                    found.append(f"/dev/{backing.parts[3]}")
        return found

    def facts(self) -> Mapping[str, int]:
        """The daemon's open files, threads and resident memory in bytes."""
        assert self.process is not None
        root = Path("/proc") / str(self.process.pid)
        status = dict(line.split(":", 1) for line in (root / "status").read_text().splitlines() if ":" in line)
        return {
            "files": len(os.listdir(root / "fd")),
            "threads": int(status["Threads"]),
            "memory": int(status["VmRSS"].split()[0]) * 1024,
        }

    def clean_up(self) -> None:
        """Leave nothing behind, whatever a test has done."""
        self.kill()
        for target in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", "--lazy", target], check=False)
        for device in self.loops():
            subprocess.run(["losetup", "--detach", device], check=False)


def eventually(check: object, seconds: float = 10) -> bool:
    """Whether the check comes true in time."""
    assert callable(check)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False
