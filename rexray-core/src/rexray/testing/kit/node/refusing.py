"""What is not connected: volumes that this host does not have, and those that do not appear in time."""

from __future__ import annotations

import time

from rexray.errors import Busy, RexrayError, TimedOut
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.node_rig import NodeRig, words_of
from rexray.testing.kit.suites import NODE
from rexray.types import Attachment, Device

_SHORT = 1.0


def _reach(rig: NodeRig, attachment: Attachment) -> None:
    """Connect and locate, each with a short deadline."""
    with rig.at_most(_SHORT, "connect"):
        found = rig.driver.connect(attachment, deadline=_SHORT)
    with rig.at_most(_SHORT, "locate"):
        rig.locate(found, _SHORT)


@NODE.check()
def connect_of_a_volume_that_is_attached_no_more_is_refused(rig: NodeRig) -> None:
    """What is not attached to this host is no device of it: an error, within the deadline, that names the volume."""
    attachment = rig.attach()
    found = rig.driver.connect(attachment, deadline=rig.deadline)
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    with expect_raises(RexrayError, what="connecting a volume that is attached no more") as caught:
        _reach(rig, attachment)
    volume = rig.storage.driver.volume(attachment.volume_id)
    known = words_of(found.identity) if isinstance(found, Device) else (found.source,)
    words = [word for word in (volume.id, volume.name, attachment.token, *known) if word]
    expect(any(word in caught.text for word in words), f"the error does not name volume {volume.id!r}: {caught.text}")


@NODE.check()
def connect_of_a_volume_that_was_removed_is_refused(rig: NodeRig) -> None:
    """A volume that is gone is an error, within the deadline."""
    attachment = rig.attach()
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    rig.storage.driver.remove(attachment.volume_id)
    with expect_raises(RexrayError, what="connecting a volume that was removed"):
        _reach(rig, attachment)


@NODE.check()
def connect_of_another_hosts_attachment_is_refused(rig: NodeRig) -> None:
    """The attachment of another instance is not this host's to connect, and no device shows."""
    volume, other = rig.storage.create(), rig.elsewhere()
    attachment = rig.storage.driver.attach(volume.id, other)
    with expect_raises(RexrayError, what=f"connecting the attachment of {other!r}"):
        _reach(rig, attachment)
    expect_equal(rig.entries(attachment), [], "entries of another host's volume in devices")


@NODE.check()
def connect_with_another_hosts_name_is_refused(rig: NodeRig) -> None:
    """An attachment that says another instance is refused, although the volume is attached to this one."""
    mine, other = rig.attach(), rig.elsewhere()
    theirs = Attachment(volume_id=mine.volume_id, instance_id=other, token=mine.token, device=mine.device)
    with expect_raises(RexrayError, what=f"connecting an attachment that says {other!r}"):
        _reach(rig, theirs)


@NODE.check()
def connect_of_a_volume_that_another_host_took_is_refused(rig: NodeRig) -> None:
    """Who remembers an attachment from before the volume went to another host does not get it."""
    attachment, other = rig.attach(), rig.elsewhere()
    rig.driver.disconnect(attachment)
    rig.storage.driver.detach(attachment.volume_id, rig.here)
    rig.storage.driver.attach(attachment.volume_id, other)
    with expect_raises(RexrayError, what=f"connecting a volume that {other!r} took"):
        _reach(rig, attachment)
    expect_equal(rig.entries(attachment), [], "entries of the volume in devices")


@NODE.check()
def connect_keeps_to_its_deadline(rig: NodeRig) -> None:
    """A device that does not appear is ``TimedOut`` after the deadline, or ``Busy`` where something holds it up.

    A driver may leave the waiting to ``OSDriver.locate``, and only say what the device is found by.
    """
    attachment = rig.attach()
    with (
        rig.stalled(attachment),
        expect_raises(TimedOut, Busy, what="connecting a volume whose device does not appear"),
    ):
        _reach(rig, attachment)


@NODE.check()
def connect_waits_for_a_device_as_long_as_its_deadline(rig: NodeRig) -> None:
    """A device that appears late, but before the deadline, is connected."""
    attachment = rig.attach()
    begin = time.monotonic()
    with rig.stalled(attachment):
        waiting = rig.begin(lambda: rig.connect(attachment))
        time.sleep(_SHORT / 2)
    found = waiting.result(rig.deadline)
    took = time.monotonic() - begin
    expect(rig.entries(attachment), f"the volume is not in devices, {took:.1f} s after its connect gave {found}")


@NODE.check()
def a_connect_that_timed_out_succeeds_when_it_is_said_again(rig: NodeRig) -> None:
    """A deadline that passed leaves nothing behind that would be in the way of the next attempt."""
    attachment = rig.attach()
    with (
        rig.stalled(attachment),
        expect_raises(TimedOut, Busy, what="connecting a volume whose device does not appear"),
    ):
        _reach(rig, attachment)
    rig.connect(attachment)
    expect_equal(len(rig.entries(attachment)), 1, "entries of the volume in devices, once it was connected")
