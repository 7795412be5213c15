"""What every test of the workspace may ask of the machine: the marker ``needs`` and the fixture ``tool``.

Imports nothing beyond the standard library and pytest: the tests of one distribution alone use it too.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent


def find_tool(name: str) -> str | None:
    """The path of a program, None if it is not here; ``sbin`` counts, which is not on every user's PATH."""
    places = [
        os.environ.get("REXRAY_TOOLS_BIN", ""),
        str(ROOT / ".tools" / "bin"),
        str(Path(sys.executable).parent),
        os.environ.get("PATH", os.defpath),
        "/usr/sbin:/sbin",
    ]
    return shutil.which(name, path=os.pathsep.join(place for place in places if place))


_TRY_TO_MOUNT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
sys.exit(
    libc.unshare(CLONE_NEWNS)
    or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    or libc.mount(b"tmpfs", os.fsencode(sys.argv[1]), b"tmpfs", 0, None)
)
"""


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-c", _TRY_TO_MOUNT, directory]
        return os.geteuid() == 0 and subprocess.run(command, check=False, timeout=30).returncode == 0


def _can_loop() -> bool:
    losetup = find_tool("losetup")
    if losetup is None or os.geteuid() != 0:
        return False
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(1 << 20)
        attach = [losetup, "--find", "--show", image.name]
        attached = subprocess.run(attach, check=False, capture_output=True, text=True, timeout=30)
        if attached.returncode != 0:
            return False
        detach = [losetup, "--detach", attached.stdout.strip()]
        return subprocess.run(detach, check=False, timeout=30).returncode == 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a machine that some tests need: how to see it, and how to come by it."""

    present: Callable[[], bool]
    hint: str
    in_ci: bool = True
    """Whether CI must have it: what ``.ci/run`` installs fails there when it is missing, it does not skip."""


def _can_crypt() -> bool:
    """Whether the kernel has, or loads, dm-crypt; the tools talk to it."""
    tools = [find_tool(name) for name in ("cryptsetup", "dmsetup")]
    if os.geteuid() != 0 or None in tools:
        return False
    modprobe = find_tool("modprobe")
    if modprobe is not None:
        subprocess.run([modprobe, "--quiet", "dm_crypt"], check=False, timeout=30)
    asking = [str(tools[1]), "target-version", "crypt"]
    return subprocess.run(asking, check=False, capture_output=True, timeout=30).returncode == 0


def _has_module(shown: str, name: str) -> Callable[[], bool]:
    """Whether the kernel has, or loads, a module; its place in sysfs tells."""

    def has() -> bool:
        modprobe = find_tool("modprobe")
        if not Path(shown).exists() and modprobe is not None and os.geteuid() == 0:
            subprocess.run([modprobe, "--quiet", name], check=False, timeout=30)
        return Path(shown).exists()

    return has


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(find_tool(name) for name in names)


CEPH = ("ceph-mon", "ceph-osd", "ceph-mgr", "ceph-authtool", "monmaptool", "ceph", "rbd", "rados")
"""What a cluster is made of, and asked by."""

PARTS = {
    "root": Part(present=_can_mount, hint="run as root where mounts are allowed"),
    "loop": Part(present=_can_loop, hint="run as root where loop devices are allowed"),
    "dm-crypt": Part(
        present=_can_crypt,
        hint="apt-get install cryptsetup-bin dmsetup, as root of a kernel with dm-crypt",
        in_ci=False,
    ),
    "krbd": Part(present=_has_module("/sys/bus/rbd", "rbd"), hint="a kernel with rbd: tools/uml has one", in_ci=False),
    "nbd": Part(
        present=_has_module("/sys/block/nbd0", "nbd"), hint="a kernel with nbd: tools/uml has one", in_ci=False
    ),
    "iscsi": Part(
        present=lambda: (
            _has_module("/sys/module/iscsi_target_mod", "iscsi_target_mod")()
            and _programs("iscsiadm", "iscsid", "multipathd")()
        ),
        hint="a kernel with iSCSI, open-iscsi and multipath-tools: tools/uml has them",
        in_ci=False,
    ),
    "uml": Part(
        present=lambda: find_tool("linux.uml") is not None and (ROOT / ".tools" / "uml").is_dir(),
        hint="tools/uml, as root",
    ),
    "vm": Part(
        present=lambda: find_tool("qemu-system-x86_64") is not None and (ROOT / ".tools" / "vm" / "key").is_file(),
        hint="tools/vm, as root, after apt-get install qemu-system-x86 mmdebstrap",
    ),
    "ceph": Part(
        present=lambda: os.geteuid() == 0 and _programs(*CEPH)(),
        hint="apt-get install ceph-mon ceph-osd ceph-mgr ceph-common",
    ),
    "rbd-nbd": Part(present=_programs("rbd-nbd"), hint="apt-get install rbd-nbd"),
    "qemu-storage-daemon": Part(
        present=lambda: (
            find_tool("qemu-storage-daemon") is not None and any(Path("/usr").glob("lib*/*/qemu/block-rbd.so"))
        ),
        hint="apt-get install qemu-system-common qemu-block-extra",
    ),
    "tgt": Part(
        present=lambda: os.geteuid() == 0 and _programs("tgtd", "tgtadm", "iscsi-inq")(),
        hint="apt-get install tgt libiscsi-bin",
    ),
    "docker": Part(
        present=_programs("dockerd", "docker", "containerd", "runc", "iptables"),
        hint="apt-get install docker.io",
    ),
    "docker-registry": Part(present=_programs("docker-registry", "nsenter"), hint="apt-get install docker-registry"),
    "sqlite3": Part(present=_programs("sqlite3"), hint="apt-get install sqlite3"),
    "busybox": Part(present=_programs("busybox"), hint="apt-get install busybox-static"),
    "curl": Part(present=_programs("curl"), hint="apt-get install curl"),
    "git": Part(present=_programs("git"), hint="apt-get install git"),
    "mkfs.ext4": Part(present=_programs("mkfs.ext4"), hint="apt-get install e2fsprogs"),
    "mkfs.xfs": Part(present=_programs("mkfs.xfs"), hint="apt-get install xfsprogs"),
    "mkfs.btrfs": Part(present=_programs("mkfs.btrfs"), hint="apt-get install btrfs-progs"),
    "csi-sanity": Part(present=_programs("csi-sanity"), hint="make tools"),
    "csc": Part(present=_programs("csc"), hint="make tools"),
    "ec2-metadata-mock": Part(present=_programs("ec2-metadata-mock"), hint="make tools"),
    "systemd": Part(present=_programs("systemctl", "systemd-analyze"), hint="apt-get install systemd"),
    "update-rc.d": Part(present=_programs("update-rc.d"), hint="apt-get install init-system-helpers"),
    "shellcheck": Part(present=_programs("shellcheck"), hint="apt-get install shellcheck"),
    "dash": Part(present=_programs("dash"), hint="apt-get install dash"),
    "go": Part(present=_programs("go"), hint="install Go 1.25 or later", in_ci=False),
}
"""Every part that ``@pytest.mark.needs("PART", ...)`` may name."""


@functools.cache
def is_present(part: str) -> bool:
    """Whether this machine has the part; looked at once."""
    return PARTS[part].present()


def in_ci() -> bool:
    """Whether this is a run of CI."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


_missing = pytest.StashKey[Counter[str]]()
"""How many tests were skipped for want of each part."""


_long = pytest.StashKey[int]()
"""How many long tests were left out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long`` runs the tests that are marked so, which take many minutes."""
    parser.addoption("--long", action="store_true", help="run the tests that are marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the counts of what is missing and what is left out."""
    config.stash[_missing] = Counter()
    config.stash[_long] = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long; a part that is misspelt must not look like one that is missing."""
    if not config.option.long:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.stash[_long] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    for item in items:
        unknown = set(_parts_of(item)) - PARTS.keys()
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} needs {sorted(unknown)}: conftest.py knows {sorted(PARTS)}")


def _parts_of(item: pytest.Item) -> list[str]:
    return [part for mark in item.iter_markers("needs") for part in mark.args]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose parts are missing; in CI, fail it if the part ought to be there."""
    missing = [part for part in dict.fromkeys(_parts_of(item)) if not is_present(part)]
    if not missing:
        return
    reason = "; ".join(f"needs {part}: {PARTS[part].hint}" for part in missing)
    if in_ci() and any(PARTS[part].in_ci for part in missing):
        pytest.fail(reason, pytrace=False)
    item.config.stash[_missing].update(missing)
    pytest.skip(reason)


CONFORMANCE = ROOT / "docs" / "conformance"
"""What the conformance runs of our own drivers came to, which the docs' matrix shows."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hold the docs to what the conformance runs have come to; with ``REXRAY_WRITE_DOCS`` set, write that down."""
    writing = bool(os.environ.get("REXRAY_WRITE_DOCS"))
    plugin = session.config.pluginmanager.get_plugin("rexray")
    if plugin is None or session.config.option.rexray_driver or not (writing or in_ci()):
        return
    for report in plugin.reports(session.config):
        if not report.distribution or not report.whole:
            continue
        path = CONFORMANCE / f"{report.kind}-{report.driver}.json"
        came_to = report.summary()
        if writing:
            CONFORMANCE.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(came_to, indent=2) + "\n")
        elif not path.exists() or _lasting(json.loads(path.read_text())) != _lasting(came_to):
            writer = session.config.get_terminal_writer()
            writer.line(f"\n{path} is not what the run came to: run it with REXRAY_WRITE_DOCS=1", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _lasting(summary: dict[str, Any]) -> dict[str, Any]:
    """What is the same on every machine; one that lacks a part skips more checks."""
    words = ("kind", "driver", "distribution", "version", "contract", "failed", "deviations")
    return {**{word: summary[word] for word in words}, "checks": summary["run"] + summary["skipped"]}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """After everything else, name what was skipped and what to install for it."""
    yield
    if config.stash[_long]:
        terminalreporter.section(f"{config.stash[_long]} long tests left out: make test-all, or pytest --long")
    missing = config.stash[_missing]
    if not missing:
        return
    terminalreporter.section("skipped for want of a part of this machine")
    for part, tests in sorted(missing.items()):
        count = f"{tests} test{'s' if tests > 1 else ''}"
        terminalreporter.line(f"{part:<12} {count:<12} {PARTS[part].hint}")


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """``tool("csc")`` is the path of that program; a test that calls it names the part with ``needs``."""

    def path_of(name: str) -> str:
        found = find_tool(name)
        if found is None:
            pytest.fail(f"{name} is not here: let the test say what it needs", pytrace=False)
        return found

    return path_of
