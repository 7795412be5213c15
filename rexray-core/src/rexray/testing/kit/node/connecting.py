"""Connecting volumes: once, again, several at a time, and with their own data."""

from __future__ import annotations

from rexray.mixins import ReadOnlyAttach
from rexray.testing.kit.check import Failed, expect, expect_equal
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.node_rig import NodeRig, place_of
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import NODE
from rexray.types import Device

_MARK = b"rexray conformance: the data of one volume and of no other " * 8
_AT = 1 << 16


@NODE.check()
def connect_said_ten_times_gives_one_device(rig: NodeRig) -> None:
    """``connect`` is idempotent: connected already is the same device."""
    attachment = rig.attach()
    found = times(10, lambda: rig.connect(attachment))
    expect_equal(len({place_of(each) for each in found}), 1, f"different places that ten connects gave, {found}")
    expect_equal(len(rig.entries(attachment)), 1, "entries of the volume in devices, after ten connects")


@NODE.check()
def connect_gives_two_volumes_two_devices(rig: NodeRig) -> None:
    """Volumes have devices, and identities, of their own."""
    first, second = (rig.connect(rig.attach()) for _ in range(2))
    expect(place_of(first) != place_of(second), f"two volumes were both connected as {first}")
    if isinstance(first, Device) and isinstance(second, Device):
        expect(first.identity != second.identity, f"two volumes were both connected as {first.identity}")


@NODE.check()
def connect_says_the_same_after_a_restart(rig: NodeRig) -> None:
    """A process that has just begun finds what is connected as the same device with the same identity."""
    attachment = rig.attach()
    before, after = rig.connect(attachment), rig.connect(attachment, rig.restarted())
    expect_equal(after, before, "the connected volume, of another driver object")


@NODE.check()
def connect_after_disconnect_is_the_same_volume(rig: NodeRig) -> None:
    """A volume that was disconnected is connected again, with the same identity."""
    attachment = rig.attach()
    before = rig.connect(attachment)
    rig.driver.disconnect(attachment)
    after = rig.connect(attachment)
    if isinstance(before, Device) and isinstance(after, Device):
        expect_equal(after.identity, before.identity, "the identity of the volume that was connected again")
    expect_equal(len(rig.entries(attachment)), 1, "entries of the volume in devices, once it is connected again")


@NODE.check()
def connects_of_one_volume_at_once_give_one_device(rig: NodeRig) -> None:
    """Callers that connect the same volume at the same moment all get its one device."""
    attachment = rig.attach()
    found = rig.storage.together(*[lambda: rig.connect(attachment)] * 4)
    errors = [each for each in found if isinstance(each, Exception)]
    expect(not errors, f"of four connects of one volume at once {len(errors)} failed: {errors[:1]}")
    places = {place_of(each) for each in found if not isinstance(each, Exception)}
    expect_equal(len(places), 1, f"different places that four connects at once gave, {sorted(places)}")
    expect_equal(len(rig.entries(attachment)), 1, "entries of the volume in devices, after four connects at once")


@NODE.check()
def connects_of_several_volumes_at_once_all_succeed(rig: NodeRig) -> None:
    """Connecting one volume keeps no other from being connected, and each gets a device of its own."""
    attachments = [rig.attach() for _ in range(4)]
    calls = [lambda attachment=attachment: rig.connect(attachment) for attachment in attachments]
    found = rig.storage.together(*calls)
    errors = [each for each in found if isinstance(each, Exception)]
    expect(not errors, f"of four connects at once {len(errors)} failed: {errors[:1]}")
    places = {place_of(each) for each in found if not isinstance(each, Exception)}
    expect_equal(len(places), 4, f"different places of four volumes that were connected at once, {sorted(places)}")


@NODE.check()
def the_device_is_as_large_as_the_volume(rig: NodeRig) -> None:
    """The device has the volume's size."""
    volume = rig.storage.create()
    device = rig.device(rig.attach(volume))
    expect_equal(rig.devices.size(device), volume.size_bytes, f"the size of the device of volume {volume.id!r}")


@NODE.check()
def the_device_shows_what_is_on_the_volume(rig: NodeRig) -> None:
    """The device is the volume's: what was put on the volume by other means is read from it."""
    volume, other = rig.storage.create(), rig.storage.create()
    rig.storage.contents.write(volume.id, _AT, _MARK)
    device = rig.device(rig.attach(volume))
    blank = rig.device(rig.attach(other))
    expect_data(rig.devices.read(device, _AT, len(_MARK)), _MARK, f"what {device.path} shows of volume {volume.id!r}")
    expect_data(rig.devices.read(blank, _AT, 64), bytes(64), f"what {blank.path} shows of a new volume")


@NODE.check()
def what_is_written_to_the_device_is_on_the_volume(rig: NodeRig) -> None:
    """What was written to the device is on the volume once that is disconnected, and on the device when it is back."""
    attachment = rig.attach()
    rig.devices.write(rig.device(attachment), _AT, _MARK)
    rig.driver.disconnect(attachment)
    again = rig.device(attachment)
    expect_data(rig.devices.read(again, _AT, len(_MARK)), _MARK, "what the device shows once it is connected again")
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    found = rig.storage.contents.read(attachment.volume_id, _AT, len(_MARK))
    expect_data(found, _MARK, f"what volume {attachment.volume_id!r} holds after it was written to and detached")


@NODE.check()
def connect_keeps_what_is_on_the_volume(rig: NodeRig) -> None:
    """To connect, repeat that and disconnect changes no byte at either end of the volume."""
    volume = rig.storage.create()
    places = (0, volume.size_bytes - len(_MARK))
    for at in places:
        rig.storage.contents.write(volume.id, at, _MARK)
    attachment = rig.attach(volume)
    times(3, lambda: rig.connect(attachment))
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(volume.id, rig.here)
    for at in places:
        expect_data(rig.storage.contents.read(volume.id, at, len(_MARK)), _MARK, f"what the volume holds at byte {at}")


@NODE.check()
def a_volume_attached_read_only_cannot_be_written_to(rig: NodeRig) -> None:
    """What was attached read-only is connected so that this host cannot write to it."""
    rig.storage.having(ReadOnlyAttach)
    device = rig.device(rig.attach(read_only=True))
    try:
        rig.devices.write(device, _AT, _MARK)
    except OSError:
        return
    raise Failed(f"{device.path} could be written to, of a volume that was attached read-only")


@NODE.check()
def a_connect_that_was_killed_and_said_again_connects(rig: NodeRig) -> None:
    """A process that is killed anywhere in ``connect`` leaves what a repeat finishes: one device, the volume's."""
    for killed in sweep(rig.target, rig.sources, lambda: _call(rig, "connect")):
        attachment = killed.call.arguments[0]
        device = rig.connect(attachment)  # type: ignore[arg-type] # it is an Attachment
        found = rig.entries(attachment)  # type: ignore[arg-type] # it is an Attachment
        expect_equal(len(found), 1, f"entries of the volume in devices, killed {killed.where} and connected again")
        if isinstance(device, Device):
            expect_equal(found[0].device, str(device.path), f"its device, killed {killed.where} and connected again")
        rig.driver.disconnect(attachment)  # type: ignore[arg-type] # it is an Attachment


def _call(rig: NodeRig, method: str) -> Call:
    return Call(method=method, arguments=(rig.attach(),), keywords={"deadline": rig.deadline})
