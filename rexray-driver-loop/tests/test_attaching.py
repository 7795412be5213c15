"""A volume has one instance at most, whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop_parts import MIB, Host, devices_of, make_filesystem, mounted, open_device
from rexray.errors import InUse, InvalidRequest, NotFound, OutOfCapacity
from rexray.types import AttachmentState, InstanceId, VolumeId

STATES = AttachmentState


def attached(host: Host, name: str = "v") -> list[str]:
    return [attachment.instance_id for attachment in host.storage.attachments(VolumeId(name))]


def test_attaching_is_seen_from_both_sides(host: Host, other: Host) -> None:
    host.create()
    attachment = host.attach()
    assert (attachment.volume_id, attachment.instance_id, attachment.device) == ("v", "here", "")
    assert attachment.token == str(host.data())
    assert host.get().state is STATES.ATTACHED
    assert other.get().state is STATES.UNAVAILABLE
    assert host.get().network_name == attachment.token
    assert host.get().attachments == other.get().attachments == (attachment,)
    assert [volume.state for volume in other.storage.volumes()] == [STATES.UNAVAILABLE]
    host.detach()
    assert host.get().state is other.get().state is STATES.AVAILABLE
    assert host.get().network_name == ""


def test_each_instance_has_the_volumes_that_are_attached_to_it(host: Host, other: Host) -> None:
    for name in ("a", "b", "c", "d"):
        host.create(name)
    for name in ("c", "a"):
        host.attach(name)
    other.attach("b")
    device = host.connect("a")
    found = list(host.storage.attached(host.id))
    assert [(volume.id, volume.attachments[0].device) for volume in found] == [("a", str(device)), ("c", "")]
    assert [volume.id for volume in host.storage.attached(other.id)] == ["b"]
    assert list(host.storage.attached(InstanceId("none"))) == []
    host.disconnect("a")


def test_attaching_twice_is_attaching_once(host: Host, other: Host) -> None:
    host.create()
    assert host.attach() == host.attach() == other.attach("v", "here") == host.attach(force=True)


def test_who_has_it_is_named_to_who_wants_it(host: Host, other: Host) -> None:
    host.create()
    host.attach()
    with pytest.raises(InUse, match="volume 'v' is attached to 'here', not to 'there'"):
        other.attach()
    assert attached(other) == ["here"]


def test_force_takes_it(host: Host, other: Host) -> None:
    host.create()
    host.attach()
    assert other.attach(force=True).instance_id == "there"
    assert attached(host) == ["there"]
    with pytest.raises(InUse):
        host.attach()


@pytest.mark.parametrize("force", [False, True])
def test_an_attached_volume_is_not_removed(host: Host, other: Host, force: bool) -> None:
    host.create()
    host.attach()
    for by in (host, other):
        with pytest.raises(InUse, match="attached to 'here'"):
            by.remove(force=force)
    assert host.names() == ["v"]


def test_what_is_unknown_is_named(host: Host) -> None:
    host.create()
    with pytest.raises(NotFound, match="volume 'none'"):
        host.attach("none")
    with pytest.raises(NotFound, match="instance 'none'"):
        host.attach("v", "none")
    with pytest.raises(NotFound):
        host.storage.attachments(VolumeId("none"))


def test_detaching_what_is_not_attached_is_success(host: Host, other: Host) -> None:
    host.create()
    host.detach()
    host.detach("none")
    host.attach()
    host.detach("v", "there")
    assert attached(host) == ["here"]
    assert host.storage.attachments(VolumeId("v"), InstanceId("there")) == ()
    assert len(host.storage.attachments(VolumeId("v"), InstanceId("here"))) == 1
    other.detach("v", "here")
    assert attached(host) == []


def test_an_instance_has_so_many_volumes_and_no_more(root: Path) -> None:
    small = Host(root, "small", max_volumes=2)
    large = Host(root, "large")
    for name in "abc":
        small.create(name)
    small.attach("a")
    small.attach("b")
    small.attach("a")
    with pytest.raises(OutOfCapacity, match="'small' has 2 volumes attached"):
        large.attach("c", "small")
    assert attached(small, "c") == []
    large.attach("c")
    with pytest.raises(OutOfCapacity):
        small.attach("c", force=True)
    assert attached(small, "c") == ["large"]
    small.detach("a")
    small.attach("c", force=True)
    large.attach("a")


def test_hosts_are_known_once_they_say_who_they_are(host: Host, root: Path) -> None:
    instance = Host(root, "zoned", zone="z", max_volumes=7).node.instance()
    assert (instance.id, instance.provider, instance.zone, instance.max_volumes) == ("zoned", "loop", "z", 7)
    assert list(host.storage.instances()) == [host.node.instance(), instance]
    stamp = (root / "instances/zoned.json").stat().st_mtime_ns
    Host(root, "zoned", zone="z", max_volumes=7)
    assert (root / "instances/zoned.json").stat().st_mtime_ns == stamp
    assert Host(root, "zoned", zone="z", max_volumes=8).node.instance().max_volumes == 8
    assert [known.max_volumes for known in host.storage.instances()] == [0, 8]


def test_volumes_attach_in_their_own_zone(root: Path) -> None:
    east, west = Host(root, "e", zone="east"), Host(root, "w", zone="west")
    assert (east.storage.zones(), west.storage.zones()) == (("east",), ("west",))
    assert east.create("v", MIB, zone="east").zone == "east"
    assert east.create("u").zone == "east"
    with pytest.raises(InvalidRequest, match="zone 'east', instance 'w' in zone 'west'"):
        west.attach("v")
    with pytest.raises(InvalidRequest, match="this is zone 'west'"):
        west.create("w", MIB, zone="east")
    east.attach("v")


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_force_releases_the_old_holders_device(host: Host, other: Host) -> None:
    host.create()
    host.connect()
    other.attach(force=True)
    assert devices_of(host.root) == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.parametrize("force", [False, True])
def test_a_mounted_volume_stays_where_it_is(host: Host, other: Host, tmp_path: Path, force: bool) -> None:
    host.create("v", 16 * MIB)
    device = host.connect()
    make_filesystem(device)
    with mounted(device, tmp_path / "mnt") as mnt:
        (mnt / "file").write_text("x")
        for attempt in (
            lambda: other.attach(force=True),
            lambda: host.detach(force=force),
            lambda: other.detach("v", "here", force=force),
            lambda: host.disconnect(),
        ):
            with pytest.raises(InUse, match=rf"{device} is in use: mounted at {mnt}"):
                attempt()
        assert attached(host) == ["here"]
        assert (mnt / "file").read_text() == "x"
        assert devices_of(host.root) == [(device, str(host.data()))]
    host.detach()
    assert devices_of(host.root) == []
    other.attach()


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_a_device_that_somebody_has_open_stays_and_goes_on_working(host: Host) -> None:
    """``LOOP_CLR_FD`` says that it worked, and the kernel waits for the last close: that is taken back."""
    host.create()
    device = host.connect()
    with open_device(device):
        with pytest.raises(InUse, match=rf"{device} is open in another program"):
            host.detach()
        assert attached(host) == ["here"]
    assert devices_of(host.root) == [(device, str(host.data()))], "the last close released it"
    host.detach()
    assert devices_of(host.root) == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_the_device_shows_in_the_attachment_of_this_host_only(host: Host, other: Host) -> None:
    host.create("w")
    host.create()
    host.attach("w")
    device = host.connect()
    assert [attachment.device for attachment in host.get().attachments] == [str(device)]
    assert host.attach().device == str(device)
    listed = {volume.id: volume.attachments[0].device for volume in host.storage.volumes()}
    assert listed == {"v": str(device), "w": ""}
    assert [attachment.device for attachment in other.get().attachments] == [""]
    assert [volume.attachments[0].device for volume in other.storage.volumes()] == ["", ""]
