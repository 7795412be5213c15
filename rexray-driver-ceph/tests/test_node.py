"""Images as devices of this host, in every way that it can map them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ceph_parts import CephCluster, wait_until
from node_parts import MIB, RbdHost, die_at, run, size_of
from rexray import mounts
from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    TimedOut,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.types import Attachment, BlockDevice, InstanceId, VolumeId
from rexray_driver_ceph.node import RbdNode

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("ceph")]
MAPPERS = [
    pytest.param("krbd", marks=pytest.mark.needs("krbd")),
    pytest.param("nbd", marks=pytest.mark.needs("nbd", "rbd-nbd")),
    pytest.param("loop", marks=[pytest.mark.needs("loop"), pytest.mark.needs("qemu-storage-daemon")]),
]
here = pytest.mark.parametrize("mapper", MAPPERS[2:], indirect=True)
"""For what has nothing to do with the way in which an image is mapped: a guest, which has the others, is slow."""


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephCluster]:
    """As small as a cluster can be, for a slow machine."""
    with CephCluster(tmp_path_factory.mktemp("ceph") / "cluster", osds=1, mgr=False) as cluster:
        yield cluster


@pytest.fixture(params=MAPPERS)
def mapper(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(cluster: CephCluster, tmp_path: Path, mapper: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RbdHost]:
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path / "home"))
    made = RbdHost(cluster, tmp_path, mapper)
    yield made
    for volume in made.mapped():
        made.node.disconnect(Attachment(volume_id=VolumeId(volume), instance_id=InstanceId("here")))


def test_what_is_written_is_there_when_it_is_mapped_again(host: RbdHost, place: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    assert size_of(device) == 64 * MIB
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    (place / "file").write_text("written")
    run("umount", place)
    host.node.disconnect(attachment)
    assert host.mapped() == {}
    assert host.watchers() == 0
    again = host.connect(attachment)
    run("mount", again, place)
    assert (place / "file").read_text() == "written"
    run("umount", place)


def test_a_mapped_image_is_found_by_every_process_and_not_mapped_twice(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    assert host.node.devices() == ()
    device = host.connect(attachment)
    assert host.connect(attachment) == device
    assert host.watchers() == 1
    expected = BlockDevice(
        provider="rbd",
        instance_id=InstanceId("here"),
        volume_id=VolumeId("rbd/data"),
        device=str(device),
        status="attached",
        network_name="rbd/data",
    )
    other = RbdNode(host.settings)
    assert host.node.devices() == other.devices() == (expected,)
    other.disconnect(attachment)
    assert host.mapped() == {}
    other.disconnect(attachment)


def test_an_image_of_a_namespace_and_one_with_dots_keep_their_names(host: RbdHost) -> None:
    host.cluster.rbd("namespace", "create", "rbd/tenant")
    host.image("a.b")
    host.image("tenant/data")
    for volume in ("rbd/a.b", "rbd/tenant/data"):
        host.connect(host.attachment(volume))
    assert sorted(host.mapped()) == ["rbd/a.b", "rbd/tenant/data"]


def test_a_read_only_attachment_cannot_be_written(host: RbdHost) -> None:
    attachment = host.attachment(host.image(), read_only=True)
    device = host.connect(attachment)
    with pytest.raises(OSError, match=r"not permitted|Read-only|denied"), device.open("r+b", buffering=0) as file:
        file.write(b"x" * 512)
    with pytest.raises(AlreadyExists, match="read-only, and was asked for writable"):
        host.connect(replace(attachment, read_only=False))
    host.node.disconnect(attachment)
    host.connect(replace(attachment, read_only=False))
    with pytest.raises(AlreadyExists, match="writable, and was asked for read-only"):
        host.connect(attachment)


def test_a_mounted_device_is_not_taken_away(host: RbdHost, place: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    with pytest.raises(InUse, match=f"{device} is mounted at {place}"):
        host.node.disconnect(attachment)
    (place / "file").write_text("still there")
    os.sync()
    run("umount", place)
    host.node.disconnect(attachment)
    assert host.mapped() == {}


@here
def test_an_open_device_and_a_bound_one_are_not_taken_away(host: RbdHost, tmp_path: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    with device.open("rb"), pytest.raises(InUse, match=rf"open in pid {os.getpid()} \("):
        host.node.disconnect(attachment)
    bound = tmp_path / "bound"
    bound.touch()
    mounts.bind(device, bound)
    try:
        with pytest.raises(InUse, match=f"bound at {bound}"):
            host.node.disconnect(attachment)
    finally:
        mounts.unmount(bound)
    assert size_of(device) == 64 * MIB
    host.node.disconnect(attachment)


def test_a_mapped_device_follows_its_image(host: RbdHost, place: Path) -> None:
    attachment = host.attachment(host.image(size=320 * MIB))
    device = host.connect(attachment)
    run("mkfs.xfs", "-q", device)
    run("mount", device, place)
    (place / "file").write_text("kept")
    host.cluster.rbd("resize", "--no-progress", "--size", "400M", "rbd/data")
    assert host.connect(host.attachment()) == device
    assert size_of(device) == 400 * MIB
    host.cluster.rbd("resize", "--no-progress", "--size", "480M", "rbd/data")
    fields = {key: value for key, value in attachment.fields.items() if key != "sizeBytes"}
    host.connect(replace(attachment, fields=fields))
    assert size_of(device) == 480 * MIB
    run("xfs_growfs", place)
    assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize > 400 * MIB
    assert (place / "file").read_text() == "kept"
    run("umount", place)
    host.node.disconnect(attachment)
    assert host.cluster.json("info", "rbd/data", program="rbd")["size"] == 480 * MIB


def test_an_encrypted_image_shows_what_is_in_it_to_who_has_its_passphrase(host: RbdHost) -> None:
    volume = host.encrypted("secret", "correct horse")
    attachment = host.attachment(volume, encryption="luks2", sizeBytes=str(48 * MIB))
    key = host.keys / "default"
    key.write_text("battery staple")
    with pytest.raises(Forbidden, match="passphrase"):
        host.connect(replace(attachment, fields={**attachment.fields, "sizeBytes": ""}))
    assert host.mapped() == {}
    assert host.watchers(volume) == 0
    key.write_text("correct horse")
    device = host.connect(attachment)
    assert size_of(device) == 48 * MIB
    device.write_bytes(b"plain text" * 1000)
    assert host.mapped() == {volume: str(device)}
    assert host.connect(attachment) == device
    host.cluster.rbd("resize", "--no-progress", "--size", "128M", volume)
    assert host.connect(host.attachment(volume, encryption="luks2", sizeBytes=str(112 * MIB))) == device
    assert size_of(device) == 112 * MIB
    host.node.disconnect(attachment)
    assert host.mapped() == {}
    raw = host.folder / "raw"
    host.cluster.rbd("export", "--no-progress", volume, str(raw))
    assert b"plain text" not in raw.read_bytes()
    with host.connect(attachment).open("rb") as file:
        assert file.read(10) == b"plain text"
    host.node.disconnect(attachment)
    key.unlink()
    with pytest.raises(NotReady, match="passphrase"):
        host.connect(attachment)


def test_another_image_of_the_same_name_is_refused(host: RbdHost) -> None:
    attachment = host.attachment(host.image(), imageId="10000000beef")
    with pytest.raises(WrongDevice, match="10000000beef"):
        host.connect(attachment)
    assert host.mapped() == {}
    host.connect(host.attachment())
    with pytest.raises(WrongDevice, match="10000000beef"):
        host.connect(attachment)


@here
def test_an_image_that_somebody_locked_is_refused(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    host.cluster.rbd("lock", "add", "rbd/data", "by-hand")
    with pytest.raises(InUse, match=r"locked by client\.\d+ at .*'by-hand'"):
        host.connect(attachment)
    assert host.mapped() == {}


@here
def test_what_is_not_there_is_not_found(host: RbdHost) -> None:
    attachment = replace(host.attachment(host.image()), volume_id=VolumeId("rbd/other"))
    with pytest.raises(NotFound, match="rbd/other"):
        host.connect(attachment)
    with pytest.raises(NotFound, match="nopool"):
        host.connect(replace(attachment, volume_id=VolumeId("nopool/data")))
    assert host.mapped() == {}
    host.node.disconnect(attachment)


@here
def test_attachments_of_others_are_left_alone(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    elsewhere = replace(attachment, instance_id=InstanceId("elsewhere"))
    with pytest.raises(NotReady, match="elsewhere"):
        host.connect(elsewhere)
    host.node.disconnect(elsewhere)
    assert host.mapped() == {"rbd/data": str(device)}


@here
def test_a_snapshot_is_no_volume(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    with pytest.raises(InvalidRequest, match="snapshot"):
        host.connect(replace(attachment, volume_id=VolumeId("rbd/data@then")))


@here
def test_a_host_that_is_elsewhere_has_no_devices(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    host.connect(attachment)
    remote = RbdNode(host.settings, remote=True)
    assert remote.instance().id == "here"
    assert remote.devices() == ()
    with pytest.raises(NotReady, match="elsewhere"):
        remote.connect(attachment, deadline=1)
    remote.disconnect(attachment)
    assert list(host.mapped()) == ["rbd/data"]


def test_a_cluster_that_does_not_answer_is_not_waited_for(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    quick = RbdNode(replace(host.settings, timeout=2.0))
    with host.cluster.frozen():
        began = time.monotonic()
        assert [found.device for found in quick.devices()] == [str(device)]
        with contextlib.suppress(TimedOut, Unavailable, InUse):  # which of them depends on how far the kernel got
            quick.disconnect(attachment)
        assert time.monotonic() - began < 40
    host.node.disconnect(attachment)
    assert host.mapped() == {}
    wait_until(lambda: host.watchers() == 0, "nobody has the image open", timeout=60)


def test_what_the_kernel_cannot_map_is_known_before(host: RbdHost, mapper: str) -> None:
    feature = "journaling"
    volume = host.image("data", 64 * MIB, "--image-feature", f"layering,exclusive-lock,{feature}")
    attachment = host.attachment(volume)
    if mapper == "krbd":
        with pytest.raises(Unsupported, match=f"rbd feature disable rbd/data {feature}"):
            host.connect(attachment)
        with pytest.raises(Unsupported, match=feature):
            host.connect(replace(attachment, fields={}))
        assert host.mapped() == {}
    else:
        assert size_of(host.connect(attachment)) == 64 * MIB


CONNECTING = [
    pytest.param("krbd", "rbd-krbd-mapped", marks=pytest.mark.needs("krbd")),
    pytest.param("nbd", "rbd-nbd-mapped", marks=pytest.mark.needs("nbd", "rbd-nbd")),
    *(
        pytest.param(
            "loop", f"rbd-export-{step}", marks=[pytest.mark.needs("loop"), pytest.mark.needs("qemu-storage-daemon")]
        )
        for step in ("noted", "served", "showing", "looped")
    ),
]
DISCONNECTING = [
    pytest.param("krbd", "rbd-krbd-closed", marks=pytest.mark.needs("krbd")),
    pytest.param(
        "loop", "rbd-export-detached", marks=[pytest.mark.needs("loop"), pytest.mark.needs("qemu-storage-daemon")]
    ),
]


@pytest.mark.parametrize(("mapper", "point"), CONNECTING)
def test_a_mapping_that_was_killed_is_found_or_leaves_nothing(host: RbdHost, point: str) -> None:
    attachment = host.attachment(host.image())
    # to list what the kernel has changes nothing, but an export that was begun is swept away
    for then in ("devices", "disconnect", "connect") if point.startswith("rbd-export-") else ("devices", "disconnect"):
        die_at(host, point, "connect", attachment)
        if then == "devices":
            left = host.mapped()
            wait_until(lambda: host.watchers() == len(left), f"as many clients as {left}")  # noqa: B023
        elif then == "disconnect":
            host.node.disconnect(attachment)
            assert host.mapped() == {}
            wait_until(lambda: host.watchers() == 0, "nobody has the image open")
        device = host.connect(attachment)
        assert host.mapped() == {"rbd/data": str(device)}
        wait_until(lambda: host.watchers() == 1, "one client")
        device.write_bytes(b"x" * 4096)
        host.node.disconnect(attachment)
        assert host.mapped() == {}


@pytest.mark.parametrize(("mapper", "point"), DISCONNECTING)
def test_an_unmapping_that_was_killed_is_done_again(host: RbdHost, point: str) -> None:
    attachment = host.attachment(host.image())
    host.connect(attachment).write_bytes(b"x" * 4096)
    die_at(host, point, "disconnect", attachment)
    host.node.disconnect(attachment)
    assert host.mapped() == {}
    wait_until(lambda: host.watchers() == 0, "nobody has the image open")
    with host.connect(attachment).open("rb") as device:
        assert device.read(4096) == b"x" * 4096
