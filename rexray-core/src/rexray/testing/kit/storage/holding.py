"""What is told of attachments: the same by every call, and no two alike."""

from __future__ import annotations

from collections import Counter

from rexray.errors import NotFound
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.storage.parts import (
    at_one_moment,
    facts,
    gone_volume,
)
from rexray.testing.kit.suites import STORAGE
from rexray.types import Attachment, AttachmentState


@STORAGE.check()
def attachments_agree_wherever_they_are_told(rig: StorageRig) -> None:
    """``attachments``, ``volume``, ``volumes``, ``volumes_named`` and ``attached`` tell the same of a volume."""
    [host], volume = rig.hosts(1), rig.create()
    made = facts(rig.driver.attach(volume.id, host))
    told = {
        "attachments": [rig.driver.attachments(volume.id)],
        "volume": [rig.driver.volume(volume.id).attachments],
        "volumes": [each.attachments for each in rig.driver.volumes() if each.id == volume.id],
        "volumes_named": [each.attachments for each in rig.driver.volumes_named(volume.name) if each.id == volume.id],
        "attached": [each.attachments for each in rig.driver.attached(host) if each.id == volume.id],
    }
    for call, found in told.items():
        expect_equal([list(map(facts, each)) for each in found], [[made]], f"the volume's attachments by {call}")


@STORAGE.check()
def attachments_of_an_instance_are_those_alone(rig: StorageRig) -> None:
    """``attachments`` with an instance has what is attached there, and nothing of another instance's."""
    (host, other), volume = rig.hosts(2), rig.create()
    made = rig.driver.attach(volume.id, host)
    expect_equal(list(map(facts, rig.driver.attachments(volume.id, host))), [facts(made)], "the holder's attachments")
    expect_equal(rig.driver.attachments(volume.id, other), (), "the attachments of an instance that has nothing")


@STORAGE.check()
def attachments_of_an_unknown_volume_are_not_found(rig: StorageRig) -> None:
    """Of a volume that does not exist nobody can say where it is attached: ``NotFound``."""
    unknown = gone_volume(rig)
    with expect_raises(NotFound, what="asking for the attachments of an unknown volume"):
        rig.driver.attachments(unknown)


@STORAGE.check()
def attached_has_the_volumes_of_the_instance_alone(rig: StorageRig) -> None:
    """``attached`` lists what the instance has, each volume once, and neither others' nor free ones."""
    (host, other), mine, others, free = rig.hosts(2), rig.create(), rig.create(), rig.create()
    rig.driver.attach(mine.id, host)
    rig.driver.attach(others.id, other)
    made = {mine.id, others.id, free.id}
    found = Counter(each.id for each in rig.driver.attached(host) if each.id in made)
    expect_equal(dict(found), {mine.id: 1}, f"how often each volume of the check is listed as attached to {host!r}")


@STORAGE.check(reads_only=True)
def attachments_in_the_list_are_of_their_volumes(rig: StorageRig) -> None:
    """Every attachment in the list of volumes is of the volume that it is at, and of an instance that it names once."""
    for volume in rig.driver.volumes():
        places = Counter(attachment.instance_id for attachment in volume.attachments)
        expect(all(places), f"volume {volume.id!r} has an attachment that names no instance")
        expect(max(places.values(), default=1) == 1, f"volume {volume.id!r} is listed twice at one instance: {places}")
        for attachment in volume.attachments:
            expect_equal(attachment.volume_id, volume.id, f"the volume of an attachment that {volume.id!r} lists")


@STORAGE.check()
def an_attachment_stays_the_same_while_it_lasts(rig: StorageRig) -> None:
    """Token and device are the same at every call, also for a driver that has just been started."""
    [host], volume = rig.hosts(1), rig.create()
    made = facts(rig.driver.attach(volume.id, host))
    again = rig.restarted()
    for what, found in (
        ("the next call", rig.driver.attachments(volume.id)),
        ("a restarted driver", again.attachments(volume.id)),
        ("a restarted driver's attach", (again.attach(volume.id, host),)),
    ):
        expect_equal(list(map(facts, found)), [made], f"the attachment by {what}")


@STORAGE.check()
def volumes_of_one_instance_are_told_apart(rig: StorageRig) -> None:
    """Several volumes of an instance have tokens and device names of their own: no node driver may mistake them."""
    [host] = rig.hosts(1)
    _expect_apart([rig.driver.attach(rig.create().id, host) for _ in range(3)])


@STORAGE.check()
def volumes_that_are_attached_at_one_moment_are_told_apart(rig: StorageRig) -> None:
    """So they have when they are attached at the same moment."""
    [host], volumes = rig.hosts(1), [rig.create() for _ in range(3)]
    calls = [lambda volume=volume: rig.driver.attach(volume.id, host) for volume in volumes]
    _expect_apart(at_one_moment(rig, "attaching", *calls))
    for volume in volumes:
        expect_equal(rig.holders(volume), {host}, "the instances that have a volume that was attached beside others")


@STORAGE.check()
def a_proposed_device_is_not_given_twice(rig: StorageRig) -> None:
    """``device`` is a proposal: one that is taken is replaced, and what is returned is what then is told."""
    [host], one, other = rig.hosts(1), rig.create(), rig.create()
    first = rig.driver.attach(one.id, host, device="/dev/xvdf")
    second = rig.driver.attach(other.id, host, device=first.device or "/dev/xvdf")
    _expect_apart([first, second])
    for made in (first, second):
        found = [facts(attachment) for attachment in rig.driver.attachments(made.volume_id)]
        expect_equal(found, [facts(made)], "the attachment that is told, beside the one that attach returned")


@STORAGE.check()
def sizes_that_attachments_tell_are_the_volumes(rig: StorageRig) -> None:
    """``sizeBytes`` among an attachment's fields is the volume's size, wherever it is told, or left out."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host)
    for attachment in (made, *rig.driver.attachments(volume.id), *rig.driver.volume(volume.id).attachments):
        told = attachment.fields.get("sizeBytes", str(volume.size_bytes))
        expect_equal(told, str(volume.size_bytes), "the size of the volume by its attachment")


@STORAGE.check()
def a_volume_says_whether_it_is_attached(rig: StorageRig) -> None:
    """``state`` is ``available`` only for a volume that is attached nowhere, and never says the reverse."""
    [host], volume = rig.hosts(1), rig.create()
    busy = (AttachmentState.ATTACHED, AttachmentState.UNAVAILABLE)
    expect(rig.driver.volume(volume.id).state not in busy, "a volume that nobody has says that it is attached")
    rig.driver.attach(volume.id, host)
    for found in (rig.driver.volume(volume.id), *rig.named(volume.name)):
        expect(found.state is not AttachmentState.AVAILABLE, f"a volume that {host!r} has says that it is available")
    rig.driver.detach(volume.id)
    expect(rig.driver.volume(volume.id).state not in busy, "a volume that was detached says that it is attached")


def _expect_apart(made: list[Attachment]) -> None:
    for what, words in (("tokens", [each.token for each in made]), ("devices", [each.device for each in made])):
        given = [word for word in words if word]
        expect_equal(len(set(given)), len(given), f"different {what} among {given} of one instance")
    expect(all(each.token or each.device for each in made), "an attachment has neither a token nor a device")
