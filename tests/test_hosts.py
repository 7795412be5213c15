"""The service on a host of its own: installed, run by its script, and taken away from under mounted volumes.

The host is a tree with this machine's programs, its own ``/etc`` and ``/var``, and a mount namespace: what the real
``systemctl`` and ``update-rc.d`` do to it stays in it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root")

REXRAY = Path(sys.executable).with_name("rexray")
ROOT = Path(__file__).resolve().parents[1]
FROM_HERE = ("usr", "bin", "sbin", "lib", "lib64", "dev", "proc", "sys")
NATIVE = "X_CSI_NATIVE=true\nX_CSI_DRIVER=csi-vfs\nX_CSI_VFS_DATA=/var/lib/rexray/vfs\n"

HOLD = """
set -e
mount --make-rprivate /
for folder in {folders}; do mount --rbind "/$folder" "{root}/$folder"; done
mount --rbind "{root}" "{root}"
cd "{root}"
echo ready
exec sleep 600
"""


class Host:
    """A tree in a mount namespace of its own, in which commands are run as on a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        own = (sys.prefix, sys.base_prefix, str(ROOT))
        folders = dict.fromkeys([*FROM_HERE, *(path.lstrip("/") for path in own if not path.startswith("/usr"))])
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for folder in ("etc/init.d", "etc/systemd/system", "run", "var/lib", "var/log", "tmp", "root"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for level in "0123456S":
            (root / f"etc/rc{level}.d").mkdir()
        (root / "var/run").symlink_to("/run")
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", root / "etc")
        script = HOLD.format(folders=shlex.join(folder for folder in folders if Path("/", folder).is_dir()), root=root)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n", self.holder.communicate()[1]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "chroot", str(self.root)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI_", "CSI_"))}
        return subprocess.run(
            [*enter, *map(str, command)],
            env={**kept, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def rexray(self, *words: str) -> str:
        """What ``rexray`` says, which has to succeed."""
        done = self.run(REXRAY, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mounts(self) -> list[str]:
        """The mount points below the host's ``/var/lib/rexray``, as the host sees them."""
        lines = Path(f"/proc/{self.holder.pid}/mountinfo").read_text().splitlines()
        return [path for line in lines if "/var/lib/rexray/" in (path := line.split()[4].removeprefix(str(self.root)))]

    def files(self, folder: str) -> set[str]:
        """The files and links below a folder."""
        top = self.root / folder
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_symlink() or path.is_file()}

    def end(self) -> None:
        """Take it down with all that runs and is mounted in it."""
        self.run(REXRAY, "stop")
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def host() -> Iterator[Host]:
    root = Path(tempfile.mkdtemp(prefix="rxh"))
    made = Host(root)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(root)


@pytest.mark.needs("systemd")
def test_systemd_starts_the_installed_service_at_boot_until_it_is_uninstalled(host: Host) -> None:
    assert host.run(REXRAY, "service", "initsys").stdout == "systemd\n"
    before = host.files("etc")
    said = host.rexray("install")
    assert "ran systemctl enable rexray.service\n" in said
    links = host.root / "etc/systemd/system/multi-user.target.wants"
    assert os.readlink(links / "rexray.service") == "/etc/systemd/system/rexray.service"
    program = f'"{REXRAY}"' if " " in str(REXRAY) else REXRAY
    assert f"ExecStart={program} start -f" in (host.root / "etc/systemd/system/rexray.service").read_text()
    assert not (host.root / "run/rexray").exists(), "it was enabled, not started"
    host.rexray("install")
    assert host.run("systemctl", "is-enabled", "rexray.service").stdout == "enabled\n"
    host.rexray("uninstall")
    assert host.files("etc") == before
    assert "REX-Ray is stopped" in host.rexray("uninstall")


@pytest.mark.needs("update-rc.d")
@pytest.mark.needs("curl")
def test_the_script_runs_the_service_and_uninstalling_it_leaves_mounted_volumes(host: Host) -> None:
    (host.root / "etc/rexray").mkdir()
    (host.root / "etc/rexray/rexray.env").write_text(NATIVE)
    before = host.files("etc")
    said = host.rexray("install", "--init", "update-rc.d", "--now")
    assert "ran update-rc.d rexray defaults\n" in said
    assert any(name.startswith("S") and name.endswith("rexray") for name in host.files("etc/rc3.d"))
    assert host.run("/etc/init.d/rexray", "status").returncode == 0
    for word in ("restart", "reload", "start", "status"):
        done = host.run("/etc/init.d/rexray", word)
        assert done.returncode == 0, (word, done.stdout, done.stderr)
    endpoint = "unix:///run/docker/plugins/rexray.sock"
    call = f"curl --silent --fail --unix-socket {endpoint.removeprefix('unix://')} -XPOST http://x/VolumeDriver."
    for verb, body in (("Create", '{"Name":"data"}'), ("Mount", '{"Name":"data","ID":"c"}')):
        done = host.run("sh", "-c", f"{call}{verb} -d {shlex.quote(body)}")
        assert done.returncode == 0, done.stderr
    (place,) = [path for path in host.mounts() if "/volumes/" in path]
    assert host.run("sh", "-c", f"echo precious >{shlex.quote(place)}/file").returncode == 0
    mounted, state = host.mounts(), host.files("var/lib")

    said = host.rexray("uninstall", "--init", "update-rc.d")

    assert host.run(REXRAY, "status").returncode == 3
    assert host.mounts() == mounted
    assert state <= host.files("var/lib")
    assert host.run("cat", f"{place}/file").stdout == "precious\n"
    assert (host.root / "etc/rexray/rexray.env").read_text() == NATIVE
    assert host.files("etc") == before
    for line in ("kept /etc/rexray: ", "kept /var/lib/rexray: ", f"kept {len(mounted)} mounted below /var/lib/rexray"):
        assert line in said
    assert host.rexray("uninstall", "--init", "update-rc.d").startswith("REX-Ray is stopped")


def test_nothing_is_removed_when_the_service_cannot_be_stopped(host: Host) -> None:
    host.rexray("install", "--init", "update-rc.d")
    script = host.root / "etc/init.d/rexray"
    script.write_text("#!/bin/sh\necho it hangs >&2\nexit 1\n")
    before = host.files("etc")
    refused = host.run(REXRAY, "uninstall", "--init", "update-rc.d")
    assert (refused.returncode, host.files("etc")) == (1, before)
    assert refused.stderr == "error: cannot stop the service: /etc/init.d/rexray stop: it hangs\n"
