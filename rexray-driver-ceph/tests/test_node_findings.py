"""Images that others have or had meanwhile, and what must not be lost or written twice then."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceph_parts import CephCluster, wait_until
from node_parts import MIB, RbdHost, run, size_of
from rbd_parts import Client
from rexray.errors import InUse, NotReady, RexrayError, TimedOut, Unavailable
from rexray.types import Attachment, InstanceId, VolumeId
from rexray_driver_ceph import qmp
from rexray_driver_ceph.export import Export
from rexray_driver_ceph.mapping import Mapped, Wanted
from rexray_driver_ceph.node import RbdNode

pytestmark = [
    pytest.mark.needs("root"),
    pytest.mark.needs("ceph"),
    pytest.mark.needs("loop"),
    pytest.mark.needs("qemu-storage-daemon"),
]


@pytest.fixture
def host(cluster: CephCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RbdHost]:
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path / "home"))
    made = RbdHost(cluster, tmp_path, "loop")
    yield made
    for volume in made.mapped():
        made.node.disconnect(Attachment(volume_id=VolumeId(volume), instance_id=InstanceId("here")))


def test_what_librbd_still_has_to_write_outlives_a_disconnect_that_is_tried_again(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    with device.open("r+b") as file:  # from its first flush on librbd writes back
        file.write(b"a" * MIB)
        file.flush()
        os.fsync(file.fileno())
    quick = RbdNode(replace(host.settings, timeout=2.0))
    with host.cluster.frozen():
        with device.open("r+b") as file:
            file.write(b"Z" * 4 * MIB)
        for _ in range(2):
            with pytest.raises(TimedOut):
                quick.disconnect(attachment)
        assert quick.devices() == ()
        time.sleep(4)  # more than it is given where nobody can have written
    host.node.disconnect(attachment)
    assert host.watchers() == 0
    with host.connect(attachment).open("rb") as file:
        assert file.read(4 * MIB) == b"Z" * 4 * MIB


def test_an_image_that_was_taken_away_is_not_mapped(host: RbdHost, monkeypatch: pytest.MonkeyPatch) -> None:
    attachment = host.attachment(host.image())
    host.claim(instance="elsewhere")
    with pytest.raises(NotReady, match="attached to 'elsewhere' by now"):
        host.connect(attachment)
    host.claim()
    original = Export.map

    def taken_meanwhile(self: Export, wanted: Wanted, *, seconds: float) -> Mapped:
        mapped = original(self, wanted, seconds=seconds)
        host.claim(instance="elsewhere")
        return mapped

    monkeypatch.setattr(Export, "map", taken_meanwhile)
    with pytest.raises(NotReady, match="attached to 'elsewhere' by now"):
        host.connect(attachment)
    assert host.mapped() == {}
    wait_until(lambda: host.watchers() == 0, "nobody has the image open")


def test_an_image_that_somebody_else_has_open_is_not_mapped_and_one_who_died_is_waited_for(
    host: RbdHost, cluster: CephCluster
) -> None:
    attachment = host.attachment(host.image())
    with Client(cluster, "rbd/data") as client:
        (address,) = host.cluster.watchers("rbd/data")
        impatient = RbdNode(replace(host.settings, watcher_timeout=1.0))
        with pytest.raises(InUse, match=address):
            impatient.connect(attachment, deadline=30)
        with pytest.raises(Unavailable):  # whether it lives is not known so soon
            host.node.connect(attachment, deadline=4)
        assert host.mapped() == {}
        client.die()
        host.connect(attachment)


def test_a_mapping_that_was_shut_out_is_made_anew_unless_somebody_uses_it(host: RbdHost, place: Path) -> None:
    attachment = host.attachment(host.image())
    device = host.connect(attachment)
    run("mkfs.ext4", "-q", device)
    run("mount", device, place)
    run("sync", "-f", place)
    (address,) = host.cluster.watchers("rbd/data")
    host.cluster.ceph("osd", "blocklist", "add", address)
    wait_until(lambda: host.watchers() == 0, "it is shut out")
    with pytest.raises(Unavailable, match=f"mounted at {place} and its client has been shut out"):
        host.connect(attachment)
    run("umount", place)
    again = host.connect(attachment)
    run("mount", again, place)
    (place / "file").write_text("written")
    run("sync", "-f", place)
    run("umount", place)
    assert host.watchers() == 1


def test_without_an_fsid_in_its_configuration_another_clusters_image_is_told_apart(
    host: RbdHost, cluster: CephCluster, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.conf"
    lines = cluster.conf.read_text().splitlines(keepends=True)
    bare.write_text("".join(line for line in lines if not line.strip().startswith("fsid")))
    settings = replace(host.settings, conf=str(bare), keyring=str(cluster.keyring), timeout=3.0)
    attachment = host.attachment(host.image())
    RbdNode(settings).connect(attachment, deadline=30)
    (about,) = (tmp_path / "home/var/run/rbd").glob("*/about.json")
    known = json.loads(about.read_text())
    assert known["fsid"] == cluster.fsid
    with cluster.frozen():
        assert [device.volume_id for device in RbdNode(settings).devices()] == ["rbd/data"]
    about.write_text(json.dumps({**known, "fsid": "00000000-0000-4000-8000-000000000001"}))
    node = RbdNode(settings)
    assert node.devices() == ()
    node.disconnect(attachment)
    about.write_text(json.dumps(known))
    node.disconnect(replace(attachment, fields={"imageId": "10000000beef"}))
    assert list(host.mapped()) == ["rbd/data"]


def test_an_image_that_grows_while_it_is_followed_is_followed_again(
    host: RbdHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = host.connect(host.attachment(host.image()))
    sizes = [96, 128]
    original = qmp.command

    def grow(more: int) -> None:
        host.cluster.rbd("resize", "--no-progress", "--size", f"{more}M", "rbd/data")

    def command(path: Path, name: str, arguments: Mapping[str, Any], *, seconds: float) -> Any:
        answer = original(path, name, arguments, seconds=seconds)
        if name == "block_resize" and sizes:
            grow(sizes.pop(0))
        return answer

    monkeypatch.setattr(qmp, "command", command)
    grow(80)
    assert host.connect(host.attachment()) == device
    assert size_of(device) == 128 * MIB


def test_a_read_only_mapping_is_made_anew_when_its_image_has_grown_unless_somebody_uses_it(host: RbdHost) -> None:
    device = host.connect(host.attachment(host.image(), read_only=True))
    host.cluster.rbd("resize", "--no-progress", "--size", "96M", "rbd/data")
    attachment = host.attachment(read_only=True)
    with device.open("rb"):
        assert host.connect(attachment) == device
        assert size_of(device) == 64 * MIB
    assert size_of(host.connect(attachment)) == 96 * MIB


def test_connecting_takes_no_longer_than_it_may(host: RbdHost) -> None:
    attachment = host.attachment(host.image())
    with host.cluster.frozen():
        began = time.monotonic()
        with pytest.raises(RexrayError):
            host.node.connect(attachment, deadline=2)
        assert time.monotonic() - began < 7
    assert host.mapped() == {}
