"""A real Docker engine, and images for it that no registry is needed for."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from service_parts import eventually


class Engine:
    """A dockerd and a containerd of their own, in a network namespace of their own; containers outlive dockerd."""

    def __init__(self, home: Path, tool: Callable[[str], str]) -> None:
        self.home = home
        self._socket = home / "d.sock"
        self._dockerd, self._containerd = tool("dockerd"), tool("containerd")
        self._containers: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What ``$DOCKER_HOST`` is for it."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        address = self.home / "c.sock"
        if self._containers is None:
            folders = ("--root", str(self.home / "c-root"), "--state", str(self.home / "c-state"))
            self._containers = self._spawn(self._containerd, "--address", str(address), *folders)
            assert eventually(address.exists, 30), self.log()
        self._process = self._spawn(
            *("unshare", "--net", self._dockerd, "--live-restore", "--containerd", str(address)),
            *("--host", self.address, "--pidfile", str(self.home / "d.pid")),
            *("--data-root", str(self.home / "root"), "--exec-root", str(self.home / "exec")),
            *("--bridge=none", "--iptables=false", "--ip-forward=false", "--userland-proxy=false"),
            "--storage-driver=vfs",
        )
        assert eventually(lambda: self.run("version", check=False).returncode == 0, 60), self.log()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log(self) -> str:
        """The end of what both have logged."""
        return (self.home / "log").read_text(errors="replace")[-3000:]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of Docker's client."""
        answer = subprocess.run(
            ["docker", "--host", self.address, *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if check:
            assert answer.returncode == 0, (arguments, answer.stderr, self.log())
        return answer

    def import_image(self, name: str, *programs: str) -> None:
        """An image without a registry: a static busybox with a link for each of its programs, and programs of ours."""
        busybox = shutil.which("busybox") or "/bin/busybox"
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(busybox, "bin/busybox")
            for program in ("sh", "sleep", "cat", "sync", "wc", "tail", "ls", "id", "df"):
                link = tarfile.TarInfo(f"bin/{program}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            for file in (file for program in programs for file in [program, *_libraries(program)]):
                tar.add(Path(file).resolve(), file.lstrip("/"))
        path = self.home / "image.tar"
        path.write_bytes(archive.getvalue())
        self.run("import", str(path), name)

    def kill(self) -> None:
        """End dockerd with no chance to tidy up; its containers run on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        (self.home / "d.pid").unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove containers and end everything that belongs to it."""
        ids = self.run("ps", "-aq", check=False).stdout.split()
        if ids:
            self.run("rm", "-f", *ids, check=False)
        for process in (self._process, self._containers):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(60)
        subprocess.run(["pkill", "-KILL", "-f", str(self.home)], check=False)
        subprocess.run(["umount", "--recursive", "--lazy", str(self.home / "exec")], check=False, capture_output=True)


def _libraries(program: str) -> list[str]:
    """The shared libraries that a program needs, by the paths that it looks for them at."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sorted({word for line in listed.splitlines() for word in line.split() if word.startswith("/")})
