"""The export in user space: what serves it, what of it can be seen, and what becomes of it when something dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceph_parts import CephCluster, wait_until
from node_parts import (
    MIB,
    RbdHost,
    connect_and_disconnect_in_a_unit,
    connect_and_lose_the_session,
    die_at,
    run,
    size_of,
)
from rexray.errors import InUse, Unauthorized, Unavailable
from rexray.types import Attachment, Device, InstanceId, VolumeId
from rexray_driver_ceph.node import RbdNode

pytestmark = [
    pytest.mark.needs("root"),
    pytest.mark.needs("ceph"),
    pytest.mark.needs("loop"),
    pytest.mark.needs("qemu-storage-daemon"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Longer than a socket's address has room for."""
    home = tmp_path / ("home-" + "x" * 90)
    monkeypatch.setenv("REXRAY_HOME", str(home))
    return home


@pytest.fixture
def host(cluster: CephCluster, tmp_path: Path, home: Path) -> Iterator[RbdHost]:
    made = RbdHost(cluster, tmp_path, "loop")
    yield made
    for volume in made.mapped():
        made.node.disconnect(Attachment(volume_id=VolumeId(volume), instance_id=InstanceId("here")))


def servers(home: Path) -> dict[int, list[str]]:
    """The daemons that serve exports of that home, with their arguments."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "qemu-storage-daemon" in words[0] and any(str(home) in word for word in words):
            found[int(pid)] = words
    return found


def exports(home: Path) -> list[Path]:
    folder = home / "var/run/rbd"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_nothing_is_left_of_an_export_that_was_unmapped(host: RbdHost, home: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.node.connect(attachment, deadline=60)
    assert isinstance(device, Device)
    assert len(servers(home)) == 1
    (folder,) = exports(home)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "ceph.conf").stat().st_mode & 0o777 == 0o600
    assert device.identity.backing_file == str(folder / "image")
    host.node.disconnect(attachment)
    assert servers(home) == {}
    assert exports(home) == []
    assert str(home) not in Path("/proc/self/mounts").read_text()


def test_its_daemon_is_nobodys_child_and_knows_secrets_by_their_files_alone(host: RbdHost, home: Path) -> None:
    volume = host.encrypted("secret", "correct horse")
    host.connect(host.attachment(volume, encryption="luks2", sizeBytes=str(48 * MIB)))
    ((pid, words),) = servers(home).items()
    assert os.getsid(pid) != os.getsid(0)
    shown = " ".join(words) + Path(f"/proc/{pid}/environ").read_text()
    assert "correct horse" not in shown
    secret = host.cluster.keyring.read_text().partition("key = ")[2].split()[0]
    assert len(secret) > 30
    assert secret not in shown


def test_it_serves_on_when_its_daemons_session_is_killed_and_is_taken_over_by_the_next(
    host: RbdHost, home: Path, place: Path
) -> None:
    attachment = host.attachment(host.image())
    connect_and_lose_the_session(host, attachment)
    (served_by,) = servers(home)
    (device,) = host.mapped().values()
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    (place / "file").write_text("written without a daemon")
    run("sync", "-f", place)
    assert host.connect(attachment) == Path(device)
    assert list(servers(home)) == [served_by]
    assert (place / "file").read_text() == "written without a daemon"
    run("umount", place)
    host.node.disconnect(attachment)
    assert servers(home) == {}
    assert host.mapped() == {}


def test_in_a_unit_of_systemd_it_has_a_scope_of_its_own(host: RbdHost, home: Path) -> None:
    asked = connect_and_disconnect_in_a_unit(host, host.attachment(host.image())).splitlines()
    (unit,) = (word for word in asked if word.startswith("--unit="))
    assert unit.startswith("--unit=rexray-qemu-storage-daemon-")
    assert servers(home) == {}


def test_discarded_blocks_are_free_in_the_cluster(host: RbdHost, place: Path) -> None:
    attachment = host.attachment(host.image(size=128 * MIB))
    device = host.connect(attachment)
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    (place / "large").write_bytes(os.urandom(64 * MIB))
    run("sync", "-f", place)
    used = host.cluster.json("du", "rbd/data", program="rbd")["images"][0]["used_size"]
    assert used >= 64 * MIB
    (place / "large").unlink()
    run("sync", "-f", place)  # ext4 gives blocks away when it has written down that they are free
    run("fstrim", place)
    run("umount", place)
    host.node.disconnect(attachment)
    assert (
        host.cluster.json("du", "rbd/data", program="rbd")["images"][0]["used_size"] <= used - 24 * MIB
    )  # whole objects go


def test_a_daemon_that_died_is_replaced_where_nobody_uses_its_device(host: RbdHost, home: Path, place: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    for pid in servers(home):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers(home), "the daemon is dead")
    with pytest.raises(Unavailable, match=f"mounted at {place} and what served it has died"):
        host.connect(attachment)
    assert host.mapped() == {"rbd/data": str(device)}
    run("umount", "--lazy", place)
    again = host.connect(attachment)
    assert len(servers(home)) == 1
    assert size_of(again) == 64 * MIB
    wait_until(lambda: host.watchers() == 1, "the dead client is forgotten", timeout=60)


def test_growing_that_was_killed_is_done_again(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    host.cluster.rbd("resize", "--no-progress", "--size", "96M", "rbd/data")
    die_at(host, "rbd-export-grown", "connect", host.attachment())
    assert host.connect(host.attachment()) == device
    assert size_of(device) == 96 * MIB
    assert host.cluster.json("info", "rbd/data", program="rbd")["size"] == 96 * MIB


def test_a_size_that_the_image_does_not_have_changes_nothing(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    for size in (1 * MIB, 1 << 40):
        assert host.connect(replace(attachment, fields={**attachment.fields, "sizeBytes": str(size)})) == device
        assert size_of(device) == 64 * MIB
        assert host.cluster.json("info", "rbd/data", program="rbd")["size"] == 64 * MIB


def test_a_user_with_few_rights_and_a_keyring_of_their_own(cluster: CephCluster, host: RbdHost, tmp_path: Path) -> None:
    caps = {"mon": "profile rbd", "osd": "profile rbd pool=rbd"}
    keyring = cluster.user("worker", caps).rename(tmp_path / "worker's keyring")
    attachment = host.attachment(host.image())
    settings = replace(host.settings, user="worker", keyring=str(keyring))
    worker = RbdNode(settings)
    device = worker.connect(attachment, deadline=60)
    assert size_of(device.path) == 64 * MIB
    worker.disconnect(attachment)
    keyring.write_text(host.cluster.keyring.read_text().replace("client.admin", "client.worker"))
    with pytest.raises(Unauthorized):
        RbdNode(settings).connect(attachment, deadline=60)
    assert host.mapped() == {}


def test_monitors_without_a_configuration_file(host: RbdHost, cluster: CephCluster) -> None:
    attachment = host.attachment(host.image())
    monitors = ",".join(cluster.mon_hosts)
    bare = RbdNode(replace(host.settings, conf="", monitors=monitors, keyring=str(cluster.keyring)))
    device = bare.connect(attachment, deadline=60)
    assert size_of(device.path) == 64 * MIB
    assert host.mapped() == {"rbd/data": str(device.path)}
    bare.disconnect(attachment)
    assert host.mapped() == {}


def test_an_image_of_the_same_name_in_another_cluster_is_another_one(
    host: RbdHost, tmp_path: Path, cluster: CephCluster
) -> None:
    """Several services of one host may have several clusters."""
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    text = cluster.conf.read_text().replace(cluster.fsid, "00000000-0000-4000-8000-000000000001")
    other = tmp_path / "other.conf"
    other.write_text(text)
    node = RbdNode(replace(host.settings, conf=str(other)))
    assert node.devices() == ()
    node.disconnect(attachment)
    assert host.mapped() == {"rbd/data": str(device)}


def test_an_export_in_use_outlives_the_loss_of_what_was_noted_of_it(host: RbdHost, home: Path, place: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    (folder,) = exports(home)
    about = (folder / "about.json").read_text()
    (folder / "about.json").unlink()
    host.node.disconnect(attachment)
    with pytest.raises(InUse, match="rbd/data is open by"):
        RbdNode(replace(host.settings, watcher_timeout=1.0)).connect(attachment, deadline=30)
    (place / "file").write_text("still there")
    run("sync", "-f", place)
    assert len(servers(home)) == 1
    (folder / "about.json").write_text(about)
    assert host.mapped() == {"rbd/data": str(device)}
    run("umount", place)
