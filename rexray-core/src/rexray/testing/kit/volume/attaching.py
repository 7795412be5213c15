"""Attaching without mounting, and what this host says of what it has."""

from __future__ import annotations

from rexray.errors import InUse, NotFound
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig
from rexray.types import Volume


def _here(rig: VolumeRig, volume: Volume) -> list[str]:
    """The instances of the volume's attachments that are this host."""
    here = rig.driver.instance_id()
    return [each.instance_id for each in rig.driver.get(volume.name).attachments if each.instance_id == here]


@VOLUME.check()
def attach_said_ten_times_attaches_once(rig: VolumeRig) -> None:
    """``attach`` gives the attachment of that volume to that instance, which ``get`` shows; again is the same."""
    volume, here = rig.create(), rig.driver.instance_id()
    for attachment in times(10, lambda: rig.driver.attach(volume.name, here)):
        expect_equal(
            (attachment.volume_id, attachment.instance_id), (volume.id, here), "volume and instance of the attachment"
        )
    expect_equal(_here(rig, volume), [here], "instances that have the volume, of which this host is one")
    expect(rig.driver.path(volume.name) is None, "the volume was only attached, and has a path")


@VOLUME.check()
def detach_said_ten_times_is_success(rig: VolumeRig) -> None:
    """``detach`` undoes ``attach``; a volume that is not attached is success."""
    volume, here = rig.create(), rig.driver.instance_id()
    rig.driver.detach(volume.name, here)
    rig.driver.attach(volume.name, here)
    times(10, lambda: rig.driver.detach(volume.name, here))
    expect_equal(_here(rig, volume), [], "instances that have the volume, of which this host is one")


@VOLUME.check()
def detach_of_a_mounted_volume_is_refused(rig: VolumeRig) -> None:
    """``detach`` of a mounted volume is ``InUse``, and it stays mounted."""
    volume, here = rig.create(), rig.driver.instance_id()
    where = rig.mount(volume.name).path
    with expect_raises(InUse, what="detaching a mounted volume"):
        rig.driver.detach(volume.name, here)
    expect_equal(rig.driver.path(volume.name), where, "the path after the refusal")
    expect_equal(_here(rig, volume), [here], "instances that have the volume after the refusal")


@VOLUME.check()
def a_missing_volume_can_be_neither_attached_nor_detached(rig: VolumeRig) -> None:
    """``attach``, ``detach`` and ``network_name`` of a volume that does not exist are ``NotFound``."""
    name, here = rig.name(), rig.driver.instance_id()
    for what, call in (
        ("attaching", rig.driver.attach),
        ("detaching", rig.driver.detach),
        ("the network name of", rig.driver.network_name),
    ):
        with expect_raises(NotFound, what=f"{what} a volume that never was"):
            call(name, here)


@VOLUME.check()
def devices_are_those_of_attached_volumes(rig: VolumeRig) -> None:
    """``devices`` has what is attached to this host, each by its volume's id, and nothing else."""
    volume, idle, here = rig.create(), rig.create(), rig.driver.instance_id()
    rig.driver.attach(volume.name, here)
    found = [device for device in rig.driver.devices() if device.volume_id in (volume.id, idle.id)]
    expect_equal([device.volume_id for device in found], [volume.id], "volumes of the devices, of one that is attached")
    expect_equal([device.instance_id for device in found], [here], "the instance of the device")
    rig.driver.detach(volume.name, here)
    left = [device.volume_id for device in rig.driver.devices() if device.volume_id == volume.id]
    expect_equal(left, [], "devices of a volume that was detached")


@VOLUME.check()
def a_network_name_is_told_while_attached(rig: VolumeRig) -> None:
    """``network_name`` is what the device can be found by on that instance, and empty while it is not attached."""
    volume, here = rig.create(), rig.driver.instance_id()
    expect_equal(rig.driver.network_name(volume.name, here), "", "the network name of a volume that is not attached")
    rig.driver.attach(volume.name, here)
    expect(rig.driver.network_name(volume.name, here), "the network name of an attached volume is empty")
    rig.driver.detach(volume.name, here)
    expect_equal(rig.driver.network_name(volume.name, here), "", "the network name of a volume that was detached")
