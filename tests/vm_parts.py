"""A whole Debian with systemd and Docker under qemu's plain emulation, and REX-Ray's wheels for it.

Facts: qemu-system-x86_64(1), QEMU's guest agent protocol (``guest-sync``, ``guest-exec``), systemctl(1).
``tools/vm`` makes the kernel, the initial RAM disk and the disk.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MACHINE = ROOT / ".tools" / "vm"
UV = str(Path(sys.executable).with_name("uv"))
MEMBERS = (
    "rexray-core",
    "rexray-server",
    "rexray-os-linux",
    "rexray-driver-loop",
    "rexray-driver-csi-vfs",
    "rexray-driver-scaleio",
)
"""The distributions that are installed in the machine."""
PYTHON = "3.11"
"""The version of Debian's Python in the machine."""
BOOT_SECONDS = 180.0
"""How long a boot may take on a machine that is busy with other things; a quiet one needs a tenth of it."""
KERNEL_ARGUMENTS = "console=ttyS0 quiet mitigations=off tsc=reliable audit=0 random.trust_cpu=on apparmor=0 selinux=0"

INSTALL = """
set -eu
disk=$1 root=$2 wheels=$3
shift 3
mount -o loop "$disk" "$root"
trap 'umount --recursive "$root"' EXIT
mount --bind "$wheels" "$root/mnt"
chroot "$root" python3 -m venv /opt/rexray
chroot "$root" /opt/rexray/bin/pip install --quiet --no-index --find-links /mnt "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a command in the machine ended, and what it wrote to its output and error."""

    status: int
    output: str


class Vm:
    """One machine with a disk of its own, a copy of the one that ``tools/vm`` made; everything is below ``folder``."""

    def __init__(self, folder: Path, qemu: str) -> None:
        self.folder = folder
        self._qemu = qemu
        self._agent = folder / "agent"
        self._process: subprocess.Popen[bytes] | None = None
        # a raw disk, in which all is that qemu has written, also when it is killed
        subprocess.run(["cp", "--sparse=always", str(MACHINE / "disk"), str(folder / "disk")], check=True)

    def install(self, wheels: Path, *names: str) -> None:
        """Have the machine's own Python install wheels in ``/opt/rexray``, with no index, before it is switched on.

        That is done on its disk and without emulation, under which it takes a minute.
        """
        where = self.folder / "mounted"
        where.mkdir()
        script = ["unshare", "--mount", "sh", "-c", INSTALL, "sh", str(self.folder / "disk"), str(where), str(wheels)]
        subprocess.run(
            [*script, *names], check=True, stdin=subprocess.DEVNULL, env={"PATH": os.defpath + ":/usr/sbin:/sbin"}
        )

    def boot(self) -> None:
        """Switch it on, and wait until systemd has started everything."""
        self._agent.unlink(missing_ok=True)
        devices = [
            *("-drive", f"file={self.folder}/disk,format=raw,if=virtio,cache=unsafe"),
            *("-chardev", f"socket,id=agent,path={self._agent},server=on,wait=off"),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-device", "virtio-rng-pci", "-serial", f"file:{self.folder}/console"),
        ]
        self._process = subprocess.Popen(
            [
                *(self._qemu, "-no-reboot", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
                *("-smp", "2", "-m", "2048", "-nodefaults", "-display", "none", *devices),
                *("-kernel", str(MACHINE / "kernel"), "-initrd", str(MACHINE / "initrd")),
                *("-append", KERNEL_ARGUMENTS),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.run("systemctl is-system-running --wait", check=False, timeout=BOOT_SECONDS)

    def reboot(self) -> None:
        """Have systemd stop everything, and boot again."""
        assert self._process is not None
        with self._connect(60) as agent:
            agent.ask("guest-exec", path="/bin/systemctl", arg=["reboot"])
            self._process.wait(BOOT_SECONDS)  # qemu ends where a machine would begin anew
        self.boot()

    def lose_power(self) -> None:
        """Switch it off between two instructions: what its kernel has not written to the disk is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
        self._process = None

    def run(self, command: str, *, check: bool = True, timeout: float = 120) -> Answer:
        """Run a shell's command as root, and wait for its end."""
        with self._connect(timeout) as agent:
            arguments = {"path": "/bin/sh", "arg": ["-c", f"exec 2>&1; {command}"], "capture-output": True}
            pid = agent.ask("guest-exec", **arguments)["pid"]
            deadline = time.monotonic() + timeout
            while not (state := agent.ask("guest-exec-status", pid=pid))["exited"]:
                assert time.monotonic() < deadline, f"{command}: not done after {timeout:g} s\n{self.console()}"
                time.sleep(0.05)
        answer = Answer(
            status=state.get("exitcode", 128 + state.get("signal", 0)),
            output=base64.b64decode(state.get("out-data", "")).decode(errors="replace"),
        )
        assert not check or answer.status == 0, f"{command}: {answer.status}\n{answer.output}"
        return answer

    def ask(self, command: str) -> str:
        """What a command that succeeds writes, without the white space around it."""
        return self.run(command).output.strip()

    def eventually(self, command: str, seconds: float = 60) -> bool:
        """Whether a command succeeds in time."""
        end = f"end=$(($(date +%s) + {round(seconds)}))"
        waiting = f"{end}; until ({command}) >/dev/null; do [ $(date +%s) -lt $end ] || exit 1; sleep 0.2; done"
        return self.run(waiting, check=False, timeout=seconds + 120).status == 0

    def console(self) -> str:
        """The end of what was written to its serial console."""
        return (self.folder / "console").read_text(errors="replace")[-3000:]

    @contextlib.contextmanager
    def _connect(self, seconds: float) -> Iterator[_Agent]:
        with socket.socket(socket.AF_UNIX) as connection:
            deadline = time.monotonic() + seconds
            while True:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    connection.connect(str(self._agent))
                    break
                assert time.monotonic() < deadline, "qemu does not listen"
                time.sleep(0.05)
            agent = _Agent(connection)
            while not agent.greet():
                assert self._process is not None
                assert self._process.poll() is None, f"qemu has ended\n{self.console()}"
                assert time.monotonic() < deadline, f"no answer in {seconds:g} s\n{self.console()}"
            yield agent


class _Agent:
    """A connection to QEMU's guest agent; a line of JSON asks, a line answers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._greetings = 0

    def greet(self) -> bool:
        """Whether the agent answers now; its answers to earlier questions are thrown away."""
        self._greetings += 1
        number = (os.getpid() << 16) + self._greetings
        self._connection.settimeout(0.5)
        try:
            self._send("guest-sync", {"id": number})
            while self._receive().get("return") != number:
                pass
        except TimeoutError:
            return False
        self._connection.settimeout(60)
        return True

    def ask(self, verb: str, **arguments: object) -> Any:
        """What the agent returns."""
        self._send(verb, arguments)
        answer = self._receive()
        assert "return" in answer, (verb, arguments, answer)
        return answer["return"]

    def _send(self, verb: str, arguments: object) -> None:
        self._connection.sendall(json.dumps({"execute": verb, "arguments": arguments}).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        while b"\n" not in self._read:
            more = self._connection.recv(65536)
            assert more, "qemu has ended"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def build_wheels(folder: Path) -> None:
    """Build our distributions, and fetch what they need, as wheels for the machine's Python."""
    constraints = str(ROOT / "constraints.txt")
    for member in MEMBERS:
        build = ("build", "--quiet", "--wheel", "--no-sources", "-b", constraints, "--out-dir", str(folder), member)
        subprocess.run([UV, *build], check=True, cwd=ROOT)
    download = ("pip", "download", "--quiet", "--only-binary=:all:", "--python-version", PYTHON, "-c", constraints)
    ours = [str(wheel) for wheel in folder.glob("rexray_*.whl")]
    subprocess.run([UV, "tool", "run", "--quiet", *download, "--dest", str(folder), *ours], check=True, cwd=ROOT)
