"""A root with Python for a managed plugin, the wheels that go into it, and a registry that the engine can reach."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from docker_parts import Engine
from service_parts import eventually

ROOT = Path(__file__).resolve().parent.parent
GUEST = ROOT / ".tools" / "uml"
"""A Debian with more in it than a plugin needs."""
MEMBERS = ("rexray-core", "rexray-driver-loop", "rexray-os-linux", "rexray-server")
_PACKAGES = ("coreutils", "dash", "e2fsprogs", "libstdc++6", "mount", "python3", "util-linux")
_LEFT_OUT = (
    "/usr/share/doc",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/lib/x86_64-linux-gnu/gconv",
    "/var/lib/dpkg",
)


def make_root(root: Path, uv: str) -> None:
    """What those packages of Debian's are, with what they depend on; and pip."""
    asking = ["dpkg-query", f"--admindir={GUEST}/var/lib/dpkg"]
    shown = run(*asking, "--show", "--showformat", "${Package}\t${Depends}, ${Pre-Depends}\n")
    depends = {package: _names(words) for package, _, words in (line.partition("\t") for line in shown.splitlines())}
    wanted: set[str] = set()
    waiting = [*_PACKAGES]
    while waiting:
        package = waiting.pop()
        if package in depends and package not in wanted:
            wanted.add(package)
            waiting += depends[package]
    files = run(*asking, "--listfiles", *sorted(wanted)).splitlines()
    names = {"bin", "lib", "lib64", "sbin", *_inside(file for file in files if not file.startswith(_LEFT_OUT))}
    root.mkdir()
    listed, packed = root.with_name("listed"), root.with_name("root.tar")
    listed.write_text("\n".join(sorted(names)))
    run("tar", "--create", "--no-recursion", "--directory", GUEST, "--files-from", listed, "--file", packed)
    run("tar", "--extract", "--directory", root, "--file", packed)
    packed.unlink()
    packages = root / "usr/local/lib/python3.11/dist-packages"
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        "-c",
        "constraints.txt",
        "--target",
        packages,
        "pip",
    )


def _names(words: str) -> list[str]:
    return [re.split(r"[ (:]", one.strip())[0] for group in words.split(",") for one in group.split("|") if one.strip()]


def _inside(files: Iterable[str]) -> Iterator[str]:
    """The paths as tar needs them, without the links of directories that Debian has at ``/bin`` and its like."""
    for file in files:
        if file.startswith("/") and file != "/.":
            folder, _, name = file.rpartition("/")
            found = Path(f"{GUEST}{folder}").resolve() / name
            if found.is_symlink() or found.exists():
                yield str(found.relative_to(GUEST))


def make_wheels(folder: Path, uv: str) -> None:
    """Our wheels, and those of all that they need, for the Python of the root."""
    for member in MEMBERS:
        run(uv, "build", "--quiet", "--wheel", "--no-sources", "-b", "constraints.txt", "--out-dir", folder, member)
    environment = folder.with_name("pip")
    run(uv, "venv", "--quiet", "--python", sys.executable, environment)
    run(uv, "pip", "install", "--quiet", "--python", environment, "-c", "constraints.txt", "pip")
    python = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none")
    kinds = [f"--platform={kind}_x86_64" for kind in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    downloading = ("download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", *python, *kinds)
    where = ("--dest", folder, "--find-links", folder, "-c", "constraints.txt")
    run(environment / "bin/python", "-m", "pip", *downloading, *where, *MEMBERS)


def run(*command: str | Path) -> str:
    """Run a command in the checkout; what it printed."""
    done = subprocess.run([*map(str, command)], capture_output=True, cwd=ROOT, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Registry:
    """A registry on the engine's own loopback, where Docker asks for no certificate."""

    def __init__(self, engine: Engine, folder: Path, tool: Callable[[str], str]) -> None:
        self.address = "127.0.0.1:5000"
        config = folder / "registry.yml"
        where = f"{{filesystem: {{rootdirectory: {folder / 'registry'}}}}}"
        config.write_text(f'version: 0.1\nstorage: {where}\nhttp: {{addr: "{self.address}"}}\n')
        inside = [shutil.which("nsenter") or "nsenter", "--net", "--target", (engine.home / "d.pid").read_text()]
        run(*inside, "ip", "link", "set", "lo", "up")
        log = folder / "registry.log"
        with log.open("wb") as said:
            command = [*inside, tool("docker-registry"), "serve", str(config)]
            self._process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        assert eventually(lambda: "listening on" in log.read_text(), 30), log.read_text()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)
