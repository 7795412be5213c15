"""Who this host is, and what the driver may know and do before anything is asked of it."""

from __future__ import annotations

from rexray.errors import RexrayError
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import times
from rexray.testing.kit.runs import overhearing
from rexray.testing.kit.suites import NODE
from rexray.testing.kit.viability import expect_quick, expect_reason
from rexray.types import Directory

_CANARY = "kit-canary-5c1f0a"
_QUICK = 1.0


@NODE.check(reads_only=True)
def instance_has_an_id_and_a_provider(rig: NodeRig) -> None:
    """``instance`` is this host as the platform knows it: an id, and the platform's word for itself."""
    found = rig.driver.instance()
    expect(found.id.strip(), f"instance returned an empty id: {found}")
    expect(found.provider.strip(), f"instance returned no provider: {found}")
    expect(found.max_volumes >= 0, f"max_volumes is {found.max_volumes}; where the platform does not say it is 0")


@NODE.check(reads_only=True)
def instance_said_ten_times_is_the_same(rig: NodeRig) -> None:
    """``instance`` is stable: whoever remembers an attachment compares it with this host's id later."""
    found = {(instance.id, instance.zone) for instance in times(10, rig.driver.instance)}
    expect_equal(len(found), 1, f"different ids and zones that ten calls of instance returned, {sorted(found)}")


@NODE.check(reads_only=True)
def instance_is_the_same_after_a_restart(rig: NodeRig) -> None:
    """This host is the same one to a process that has just begun."""
    before = rig.driver.instance()
    after = rig.restarted().instance()
    expect_equal((after.id, after.provider), (before.id, before.provider), "instance, of another driver object")


@NODE.check(reads_only=True)
def instance_is_one_that_the_storage_driver_lists(rig: NodeRig) -> None:
    """Node and storage driver speak of hosts by the same ids: ``instance`` is one of the platform's ``instances``."""
    here = rig.here
    known = [instance.id for instance in rig.storage.driver.instances()]
    expect(here in known, f"instance says {here!r}; the storage driver's instances are {known}")


@NODE.check()
def attach_takes_the_id_that_instance_says(rig: NodeRig) -> None:
    """A volume can be attached to the id that ``instance`` says, and is then attached to just that one."""
    attachment = rig.attach()
    found = rig.storage.driver.attachments(attachment.volume_id)
    expect_equal([each.instance_id for each in found], [rig.here], "the instances that have the attached volume")


@NODE.check(reads_only=True)
def viable_says_why_not(rig: NodeRig) -> None:
    """``viable`` says whether the driver can work on this host, and if not why, in one line."""
    expect_reason(rig.target)


@NODE.check(reads_only=True)
def viable_is_a_quick_look(rig: NodeRig) -> None:
    """``viable`` calls no platform: it is asked of every installed driver whenever they are listed."""
    expect_quick(rig.target)


@NODE.check()
def making_the_driver_has_no_effect(rig: NodeRig) -> None:
    """A driver that is made does nothing by that: what is connected stays so, and is not tidied up."""
    attachment = rig.attach()
    rig.connect(attachment)
    before = rig.driver.devices()
    times(3, rig.restarted)
    expect_equal(set(rig.driver.devices()), set(before), "the devices, after the driver was made three times more")


@NODE.check()
def it_works_without_the_platforms_credentials(rig: NodeRig) -> None:
    """The node driver holds no credentials: with every secret setting empty it does all that it does."""
    bare = rig.restarted(rig.with_secrets(""))
    attachment = rig.attach()
    expect_equal(bare.instance().id, rig.here, "instance, without the secret settings")
    bare.next_device()
    rig.connect(attachment, bare)
    expect(rig.entries(attachment, bare), "devices, without the secret settings, does not have the connected volume")
    bare.disconnect(attachment)


@NODE.check()
def no_secret_shows(rig: NodeRig) -> None:
    """No secret setting reaches a log, a repr or an error, whatever is done and whatever goes wrong."""
    told = rig.restarted(rig.with_secrets(_CANARY))
    attachment = rig.attach()
    with overhearing() as heard:
        shown = [repr(told), repr(told.instance()), repr(told.devices()), told.next_device()]
        shown.append(repr(rig.connect(attachment, told)))
        told.disconnect(attachment)
        rig.storage.driver.detach(attachment.volume_id)
        try:
            rig.locate(told.connect(attachment, deadline=1.0), 1.0)
        except RexrayError as error:
            shown += [str(error), repr(error)]
    for text in (*shown, *heard):
        expect(_CANARY not in text, f"a secret setting shows in {text!r}")


@NODE.check()
def connect_gives_an_identity_or_a_directory(rig: NodeRig) -> None:
    """``connect`` says what proves that the device is the volume's, never a bare path: names pass to other devices."""
    attachment = rig.attach()
    found = rig.driver.connect(attachment, deadline=rig.deadline)
    if isinstance(found, Directory):
        expect(found.source.strip(), f"connect returned a directory without a source: {found}")
        return
    identity = found.identity
    proven = identity.serial or identity.wwn or identity.link or identity.backing_file
    expect(proven, f"connect returned {found}, whose identity says nothing")
