"""A device whose node is bound somewhere is in use, also while nobody has it open."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loop_parts import Host, devices_of
from rexray import mounts, uses
from rexray.errors import InUse
from rexray_driver_loop import loops

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("loop")]


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Path]:
    """A file to bind a device at, as in a pod."""
    place = tmp_path / "published"
    place.touch()
    yield place
    mounts.unmount(place)


@pytest.fixture
def elsewhere(published: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell in a mount namespace of its own; it does what it is told, and answers with a line."""
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        'while read -r line; do eval "$line"; done',
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        yield shell
        shell.kill()


def tell(shell: subprocess.Popen[str], line: str) -> None:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{line}; echo $?\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == "0\n"


def refuse_all(host: Host, words: str) -> None:
    device = devices_of(host.root)
    with pytest.raises(InUse, match=words):
        host.disconnect()
    with pytest.raises(InUse, match=words):
        host.detach()
    with pytest.raises(InUse, match=words):
        host.detach(force=True)
    assert devices_of(host.root) == device != []


def test_a_bound_node_keeps_its_device(host: Host, other: Host, published: Path) -> None:
    host.create()
    mounts.bind(host.connect(), published)
    refuse_all(host, f"it is bound at {published}")
    with pytest.raises(InUse, match=f"bound at {published}"):
        other.attach(force=True)
    mounts.unmount(published)
    host.detach()
    assert devices_of(host.root) == []


def test_a_bind_in_another_mount_namespace_counts(
    host: Host, published: Path, elsewhere: subprocess.Popen[str]
) -> None:
    host.create()
    device = host.connect()
    tell(elsewhere, f"mount --bind {device} {published}")
    refuse_all(host, rf"bound at {published} of pid {elsewhere.pid} \(sh\)")
    tell(elsewhere, f"umount {published}")
    host.detach()


def test_another_node_of_the_device_counts(host: Host, published: Path, elsewhere: subprocess.Popen[str]) -> None:
    host.create()
    number = host.connect().stat().st_rdev
    tell(elsewhere, f"mount -t tmpfs none {host.root}/tmp && mknod {host.root}/tmp/own b 7 {number & 0xFF}")
    tell(elsewhere, f"mount --bind {host.root}/tmp/own {published}")
    refuse_all(host, f"bound at {published} of pid")


def test_a_number_that_is_still_bound_is_not_given_to_another_volume(host: Host, published: Path) -> None:
    """Somebody may have released a device by other means."""
    host.create("a")
    old = host.connect("a")
    mounts.bind(old, published)
    subprocess.run(["losetup", "--detach", old], check=True, timeout=30)
    assert uses.binding(old) == str(published)
    host.create("b")
    new = host.connect("b")
    assert new != old
    assert [path for _, path in devices_of(host.root)] == [str(host.data("b"))]
    found = loops.find(host.data("b"))
    assert found is not None
    assert found.device == new
