"""Restarts: what a driver knows is on the platform, and a fresh one knows it as well."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InUse, NotFound
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume


@STORAGE.check()
def a_restarted_driver_sees_the_volumes(rig: StorageRig) -> None:
    """A driver that was just made sees every volume that another has made, as that one saw it."""
    made = [rig.create() for _ in range(3)]
    fresh = rig.restarted()
    for volume in made:
        expect_equal(_facts(fresh.volume(volume.id)), _facts(volume), f"what a restarted driver tells of {volume.id!r}")
        found = [each.id for each in fresh.volumes_named(volume.name)]
        expect_equal(found, [volume.id], f"the volumes named {volume.name!r} by a restarted driver")
    listed = {volume.id for volume in fresh.volumes()}
    expect_equal({volume.id for volume in made} - listed, set(), "the volumes that a restarted driver does not list")


@STORAGE.check()
def a_restarted_driver_sees_the_attachments(rig: StorageRig) -> None:
    """A driver that was just made sees what is attached, everywhere, and does not give it to another instance."""
    [host, other], volume = rig.hosts(2), rig.create()
    rig.driver.attach(volume.id, host)
    fresh = rig.restarted()
    expect_equal(rig.holders(volume, fresh), {host}, "the instances that have the volume, by a restarted driver")
    listed = {each.instance_id for found in rig.named(volume.name, fresh) for each in found.attachments}
    expect_equal(listed, {host}, "the instances that have it in a restarted driver's list")
    expect(volume.id in {each.id for each in fresh.attached(host)}, "attached of a restarted driver lacks the volume")
    with expect_raises(InUse, what="attaching elsewhere after a restart"):
        fresh.attach(volume.id, other)


@STORAGE.check()
def a_restarted_driver_detaches_what_another_attached(rig: StorageRig) -> None:
    """What one driver has attached another can detach and remove."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host)
    fresh = rig.restarted()
    with expect_raises(InUse, what="removing an attached volume after a restart"):
        fresh.remove(volume.id)
    fresh.detach(volume.id, host)
    expect_equal(rig.holders(volume), set(), "the instances that have the volume, by the first driver")
    fresh.remove(volume.id)
    expect_equal(rig.named(volume.name), [], "the volumes of the name, by the first driver")


@STORAGE.check()
def create_after_a_restart_is_the_same_volume(rig: StorageRig) -> None:
    """``create`` is idempotent over restarts: a fresh driver returns the volume, or refuses one that differs."""
    volume = rig.create()
    fresh = rig.restarted()
    expect_equal(fresh.create(rig.spec(volume.name)).id, volume.id, "the id that a restarted driver's create returned")
    with expect_raises(AlreadyExists, what="creating it in another size after a restart"):
        fresh.create(rig.spec(volume.name, size_bytes=volume.size_bytes + 8 * rig.step_bytes))
    expect_equal([each.id for each in rig.named(volume.name)], [volume.id], "the volumes of the name afterwards")


@STORAGE.check()
def long_names_are_the_same_after_a_restart(rig: StorageRig) -> None:
    """What is made of a name that the platform cannot keep as it is, is the same in every process."""
    names = [rig.name("-" + "n" * 100), rig.name("-" + "\N{HIRAGANA LETTER NE}" * 30), rig.name(" a 'b' %s")]
    for name in names:
        volume, fresh = rig.create(name), rig.restarted()
        found = [(each.id, each.name) for each in fresh.volumes_named(name)]
        expect_equal(found, [(volume.id, name)], f"what a restarted driver finds by the name {name!r}")
        expect_equal(fresh.create(rig.spec(name)).id, volume.id, f"the id that its create of {name!r} returned")


@STORAGE.check()
def a_driver_sees_what_another_changes(rig: StorageRig) -> None:
    """A driver keeps no picture of the platform that grows old: what another one does it sees at once."""
    [host], other = rig.hosts(1), rig.restarted()
    list(rig.driver.volumes())
    volume = other.create(rig.spec())
    expect_equal([each.id for each in rig.named(volume.name)], [volume.id], "the list, after another made a volume")
    expect_equal(rig.driver.volume(volume.id).attachments, (), "the attachments of the new volume")
    other.attach(volume.id, host)
    expect_equal(rig.holders(volume), {host}, "the instances that have the volume, which another attached")
    told = {each.instance_id for each in rig.driver.volume(volume.id).attachments}
    expect_equal(told, {host}, "the same by volume")
    other.detach(volume.id, host)
    expect_equal(rig.holders(volume), set(), "the instances that have it, after another detached it")
    other.remove(volume.id)
    expect_equal(rig.named(volume.name), [], "the list, after another removed the volume")
    with expect_raises(NotFound, what="looking up a volume that another driver removed"):
        rig.driver.volume(volume.id)


@STORAGE.check()
def create_after_another_removed_it_makes_it_again(rig: StorageRig) -> None:
    """What a driver has made is not there for ever: ``create`` makes it again if it was removed behind its back."""
    name = rig.name()
    for _ in range(2):
        volume = rig.create(name)
        expect_equal(rig.driver.volume(volume.id).name, name, "the name of the volume that create returned")
        expect_equal([each.id for each in rig.named(name)], [volume.id], f"the volumes named {name!r}")
        rig.restarted().remove(volume.id)


@STORAGE.check()
def making_a_driver_changes_nothing(rig: StorageRig) -> None:
    """A driver that starts, even ten times, disturbs no volume and no attachment."""
    [host], volume, other = rig.hosts(1), rig.create(), rig.create()
    rig.driver.attach(volume.id, host)
    before = [_facts(each) for each in (rig.driver.volume(volume.id), rig.driver.volume(other.id))]
    for _ in range(10):
        list(rig.restarted().volumes())
    after = [_facts(each) for each in (rig.driver.volume(volume.id), rig.driver.volume(other.id))]
    expect_equal(after, before, "an attached and a free volume after ten drivers were made")


def _facts(volume: Volume) -> tuple[object, ...]:
    own = (volume.id, volume.name, volume.size_bytes, volume.type, volume.zone, volume.encrypted)
    return (*own, frozenset(attachment.instance_id for attachment in volume.attachments))
