"""The root filesystem of a managed Docker plugin: a base with Python, and REX-Ray installed into it.

The base is an image of Docker's, or a directory. REX-Ray goes to ``/opt/rexray``, an environment of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rexray.errors import RexrayError, Unsupported
from rexray_server.deploy.container import PACKAGES

_PROGRAMS = ("blkid", "losetup", "mkfs.ext4", "mount", "python3")
"""A base with these is taken to be complete, unless packages are asked for by name."""
_HOME = "/opt/rexray"
_PROGRAM = "/usr/local/bin/rexray"
_WHEELS = "/rexray-wheels"
_FOLDERS = ("dev", "etc/rexray/secrets", "proc", "run/docker/plugins", "sys", "tmp", "var/lib/rexray")
_WITHOUT_PIP = "from importlib.util import find_spec; print('' if find_spec('ensurepip') else '--without-pip')"
_CONTAINERFILE = """\
FROM {base}
COPY wheels {wheels}
RUN {packages}
RUN {install}
"""


def from_image(
    root: Path, base: str, requirements: Sequence[str], *, wheels: Path | None, packages: Sequence[str]
) -> None:
    """Have Docker build an image on the base, and unpack its filesystem to ``root``, which must not exist.

    ``packages`` are Debian's that the base lacks, beside those of the container image. ``RexrayError`` where Docker
    fails; what it said is on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="rexray-plugin-") as scratch:
        context = Path(scratch)
        (context / "wheels").mkdir()
        _copy_wheels(wheels, context / "wheels")
        content = _CONTAINERFILE.format(
            base=base, wheels=_WHEELS, packages=_apt(packages), install=_install(requirements, offline=bool(wheels))
        )
        (context / "Containerfile").write_text(content)
        image = docker("build", "--quiet", "--file", str(context / "Containerfile"), scratch).strip()
    container = docker("create", image, "/none").strip()
    try:
        root.mkdir(parents=True)
        _unpack(container, root)
    finally:
        docker("rm", container)
    _complete(root)


def from_directory(root: Path, base: Path, requirements: Sequence[str], *, wheels: Path | None) -> None:
    """Copy a directory to ``root``, which must not exist, and install REX-Ray into it from wheels.

    Without wheels it must be there already. ``Unsupported`` says what the directory lacks.
    """
    if wheels is None and not has_rexray(base):
        raise Unsupported(
            f"{base} has no {_PROGRAM.lstrip('/')}: install REX-Ray there, or name its wheels by --wheels"
        )
    _checked(["cp", "-a", "--reflink=auto", "--one-file-system", f"{base}/.", str(root)], f"copy {base}")
    if wheels is not None:
        inside = root / _WHEELS.lstrip("/")
        inside.mkdir()
        _copy_wheels(wheels, inside)
        command = ["chroot", str(root), "/bin/sh", "-ec", _install(requirements, offline=True)]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        _checked(command, f"install REX-Ray in {root}", environment)
    _complete(root)


def has_rexray(root: Path) -> bool:
    """Whether the program is where the plugin looks for it; a link is seen as it is inside."""
    return os.path.lexists(root / _PROGRAM.lstrip("/")) or os.path.lexists(root / "usr/bin/rexray")


def docker(*words: str) -> str:
    """What a command of Docker's client prints; it finds Docker as ``$DOCKER_HOST`` or its context says."""
    return _checked([_need("docker"), *words], f"docker {words[0]}")


def _install(requirements: Sequence[str], *, offline: bool) -> str:
    """A base that is Debian's has the means in a package of its own, others have pip beside Python."""
    where = ["--no-index", f"--find-links={_WHEELS}"] if offline else []
    pip = [f"{_HOME}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    steps = (
        f"without=$(python3 -c {shlex.quote(_WITHOUT_PIP)})",
        f"python3 -m venv --system-site-packages $without {_HOME}",
        shlex.join([*pip, *where, *requirements]),
        f"{_HOME}/bin/python -c 'import rexray_server.service'",  # a base may lack a library that gRPC needs
        f"mkdir -p {os.path.dirname(_PROGRAM)}",
        f"ln -sf {_HOME}/bin/rexray {_PROGRAM}",
        f"rm -rf {_WHEELS}",
    )
    return " && ".join(steps)


def _apt(packages: Sequence[str]) -> str:
    """Install packages, in a base that lacks any."""
    get = "apt-get update && apt-get install --yes --no-install-recommends " + shlex.join([*PACKAGES, *packages])
    clean = "rm -rf /var/lib/apt/lists/*"
    here = "false" if packages else " && ".join(f"command -v {program}" for program in _PROGRAMS)
    return f"({here}) >/dev/null || ({get} && {clean})"


def _copy_wheels(wheels: Path | None, to: Path) -> None:
    for wheel in sorted(wheels.glob("*.whl")) if wheels is not None else ():
        shutil.copy(wheel, to)


def _unpack(container: str, root: Path) -> None:
    unpacking = ["tar", "--extract", "--numeric-owner", "--directory", str(root)]
    with subprocess.Popen([_need("docker"), "export", container], stdout=subprocess.PIPE) as exporting:
        unpacked = subprocess.run(unpacking, stdin=exporting.stdout, check=False)
    if exporting.returncode != 0 or unpacked.returncode != 0:
        raise RexrayError(f"cannot unpack the image to {root}: see what docker export and tar say above")


def _complete(root: Path) -> None:
    """The directories that something is mounted at, or written to."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)


def _checked(command: Sequence[str], action: str, environment: dict[str, str] | None = None) -> str:
    """What the program prints; what it complains of goes to standard error as it does."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise RexrayError(f"cannot {action}: {os.path.basename(command[0])} says above what is wrong")
    return done.stdout


def _need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Unsupported(f"{program} is not installed on this host: install Docker's client")
    return path
