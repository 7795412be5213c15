"""Disconnecting volumes: once, again, and no others."""

from __future__ import annotations

from dataclasses import replace

from rexray.errors import InUse
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.node_rig import NodeRig, place_of
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import NODE

_MARK = b"rexray conformance: data beside a volume that goes " * 8
_AT = 1 << 16


@NODE.check()
def disconnect_said_ten_times_is_success(rig: NodeRig) -> None:
    """``disconnect`` is idempotent: not connected any more is success."""
    attachment = rig.attach()
    rig.connect(attachment)
    times(10, lambda: rig.driver.disconnect(attachment))


@NODE.check()
def disconnect_of_what_was_never_connected_is_success(rig: NodeRig) -> None:
    """An attached volume that nobody connected is disconnected already."""
    rig.driver.disconnect(rig.attach())


@NODE.check()
def disconnect_of_what_is_not_attached_is_success(rig: NodeRig) -> None:
    """A volume that was detached behind our back is disconnected already, and so is one that is removed."""
    attachment = rig.attach()
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    rig.driver.disconnect(attachment)
    rig.storage.driver.remove(attachment.volume_id)
    rig.driver.disconnect(attachment)


@NODE.check()
def disconnect_lets_the_volume_be_detached_and_removed(rig: NodeRig) -> None:
    """After ``disconnect`` nothing of this host is in the way of the platform."""
    attachment = rig.attach()
    rig.connect(attachment)
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    expect_equal(rig.storage.driver.attachments(attachment.volume_id), (), "the attachments of the detached volume")
    rig.storage.driver.remove(attachment.volume_id)


@NODE.check()
def disconnect_leaves_other_volumes_connected(rig: NodeRig) -> None:
    """Every other volume keeps its device."""
    first, second = rig.attach(), rig.attach()
    places = [place_of(rig.connect(attachment)) for attachment in (first, second)]
    rig.driver.disconnect(first)
    found = [entry.device for entry in rig.entries(second)]
    expect(found, f"devices has volume {second.volume_id!r} no more, after another one was disconnected")
    expect_equal(place_of(rig.connect(second)), places[1], "where the other volume is connected")


@NODE.check()
def disconnect_leaves_the_data_of_other_volumes(rig: NodeRig) -> None:
    """The device of another volume goes on showing that volume."""
    first, second = rig.attach(), rig.attach()
    rig.connect(first)
    device = rig.device(second)
    rig.devices.write(device, _AT, _MARK)
    rig.driver.disconnect(first)
    expect_data(rig.devices.read(device, _AT, len(_MARK)), _MARK, f"what {device.path} shows, after another one went")


@NODE.check()
def disconnect_of_another_hosts_attachment_changes_nothing(rig: NodeRig) -> None:
    """What another instance connected is left to it, and what this one connected stays: the attachment says whose."""
    mine, other = rig.attach(), rig.elsewhere()
    rig.connect(mine)
    rig.driver.disconnect(replace(mine, instance_id=other))
    expect(rig.entries(mine), f"devices has the volume no more, after the attachment of {other!r} was disconnected")


@NODE.check()
def disconnect_of_a_device_in_use_is_refused(rig: NodeRig) -> None:
    """A device that is mounted or otherwise claimed is ``InUse``, and stays: its user has data on the way to it."""
    attachment = rig.attach()
    device = rig.device(attachment)
    with (
        rig.devices.claim(device),
        expect_raises(InUse, what=f"disconnecting a volume while something has {device.path} to itself"),
    ):
        rig.driver.disconnect(attachment)
    expect(rig.entries(attachment), "devices has the volume no more, although its disconnect was refused")
    rig.driver.disconnect(attachment)


@NODE.check()
def a_disconnect_that_was_killed_and_said_again_disconnects(rig: NodeRig) -> None:
    """A process that is killed anywhere in ``disconnect`` leaves what a repeat finishes; the volume can be detached."""

    def make() -> Call:
        attachment = rig.attach()
        rig.connect(attachment)
        return Call(method="disconnect", arguments=(attachment,))

    for killed in sweep(rig.target, rig.sources, make):
        [attachment] = killed.call.arguments
        rig.driver.disconnect(attachment)  # type: ignore[arg-type] # it is an Attachment
        volume_id = attachment.volume_id  # type: ignore[attr-defined] # it is an Attachment
        rig.storage.driver.detach(volume_id, rig.here)
        rig.eventually(
            lambda volume_id=volume_id: all(entry.volume_id != volume_id for entry in rig.driver.devices()),  # type: ignore[misc]
            f"devices still has the volume whose disconnect was killed {killed.where} and repeated",
        )
