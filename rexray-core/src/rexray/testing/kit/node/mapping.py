"""The map of this host's devices, and the names that are proposed for new ones."""

from __future__ import annotations

from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.node_rig import NodeRig, place_of
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import NODE
from rexray.types import VolumeId


@NODE.check()
def devices_has_a_connected_volume(rig: NodeRig) -> None:
    """``devices`` maps each volume that is connected here to its device, by the platform's id of it."""
    attachment = rig.attach()
    rig.connect(attachment)
    found = rig.entries(attachment)
    expect_equal(len(found), 1, f"entries of the connected volume {attachment.volume_id!r}")
    [entry] = found
    expect_equal(entry.instance_id, rig.here, "the instance of the connected volume's entry")
    expect(entry.device.startswith("/"), f"the connected volume's device is {entry.device!r}, which is no path")
    expect_equal(entry.provider, rig.driver.instance().provider, "the provider of the connected volume's entry")


@NODE.check()
def devices_leaves_out_a_volume_that_is_not_attached(rig: NodeRig) -> None:
    """A volume that is attached nowhere is no device of this host."""
    rig.connect(rig.attach())
    volume = rig.storage.create()
    found = [entry.volume_id for entry in rig.driver.devices()]
    expect(volume.id not in found, f"devices has volume {volume.id!r}, which was never attached")


@NODE.check()
def devices_leaves_out_a_volume_of_another_host(rig: NodeRig) -> None:
    """A volume that another instance has is no device of this host."""
    volume, other = rig.storage.create(), rig.elsewhere()
    rig.storage.driver.attach(volume.id, other)
    found = [entry.volume_id for entry in rig.driver.devices()]
    expect(volume.id not in found, f"devices has volume {volume.id!r}, which is attached to {other!r}")


@NODE.check()
def devices_forgets_a_detached_volume(rig: NodeRig) -> None:
    """What was disconnected and detached is in the map no more, once the platform has taken the device away."""
    attachment = rig.attach()
    rig.connect(attachment)
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    rig.eventually(
        lambda: not rig.entries(attachment), f"devices still has the detached volume {attachment.volume_id!r}"
    )


@NODE.check()
def devices_names_every_device_once(rig: NodeRig) -> None:
    """A volume has one entry, and so has a device: two volumes are never said to be one device."""
    first, second = rig.attach(), rig.attach()
    for attachment in (first, second):
        rig.connect(attachment)
    found = rig.driver.devices()
    names = [entry.device for entry in found]
    expect_equal(len(set(names)), len(names), f"different devices among the entries {sorted(names)}")
    for attachment in (first, second):
        expect_equal(len(rig.entries(attachment)), 1, f"entries of volume {attachment.volume_id!r}")


@NODE.check()
def devices_is_the_same_after_a_restart(rig: NodeRig) -> None:
    """The map is this host's and the platform's, not the process's: another one sees the same."""
    attachment = rig.attach()
    rig.connect(attachment)
    here = [(entry.volume_id, entry.device) for entry in rig.entries(attachment)]
    there = [(entry.volume_id, entry.device) for entry in rig.entries(attachment, rig.restarted())]
    expect_equal(there, here, "the connected volume's entries, of another driver object")


@NODE.check(reads_only=True)
def devices_said_ten_times_is_the_same(rig: NodeRig) -> None:
    """To look changes nothing: ``devices`` says the same while nobody connects anything."""
    found = {
        frozenset((entry.volume_id, entry.device) for entry in devices) for devices in times(10, rig.driver.devices)
    }
    expect_equal(len(found), 1, "different maps that ten calls of devices returned")


@NODE.check()
def next_device_is_free(rig: NodeRig) -> None:
    """``next_device`` proposes a name that no attached volume has; empty where the platform chooses."""
    attachment = rig.attach()
    rig.connect(attachment)
    proposed = rig.driver.next_device()
    taken = {entry.device for entry in rig.driver.devices()}
    taken |= {each.device for each in rig.storage.driver.attachments(attachment.volume_id, rig.here)}
    expect(not proposed or proposed not in taken, f"next_device proposed {proposed!r}, which a volume has already")


@NODE.check(reads_only=True)
def next_device_changes_nothing(rig: NodeRig) -> None:
    """A proposal is only that: however many are asked for, the map stays as it is, and they do not run out."""
    before = rig.driver.devices()
    found = times(10, rig.driver.next_device)
    expect(all(isinstance(name, str) for name in found), f"next_device returned {found!r}, which are not all texts")
    expect_equal(set(rig.driver.devices()), set(before), "devices, after ten calls of next_device")


@NODE.check()
def two_proposals_in_a_row_can_both_be_used(rig: NodeRig) -> None:
    """Two callers that ask for a name before either attaches both get a volume, and devices of their own."""
    rig.here  # noqa: B018 which makes the host known
    names = times(2, rig.driver.next_device)
    attachments = [rig.attach(device=name) for name in names]
    places = {place_of(rig.connect(attachment)) for attachment in attachments}
    expect_equal(len(places), 2, f"different places of two volumes that were attached as {names}")


@NODE.check()
def devices_agrees_with_connect(rig: NodeRig) -> None:
    """The map shows the device that ``connect`` gave."""
    attachment = rig.attach()
    device = rig.device(attachment)
    found = [entry.device for entry in rig.entries(attachment)]
    expect_equal(found, [str(device.path)], f"the devices of volume {VolumeId(attachment.volume_id)!r} in the map")
