"""Detaching: from the right one, and free afterwards."""

from __future__ import annotations

from rexray.errors import InUse
from rexray.testing.kit.check import expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import (
    expect_data,
    facts,
    gone_volume,
    nobody,
    write,
)
from rexray.testing.kit.suites import STORAGE


@STORAGE.check()
def detach_said_ten_times_succeeds(rig: StorageRig) -> None:
    """``detach`` is idempotent: not attached is success."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host)
    times(10, lambda: rig.driver.detach(volume.id, host))
    expect_equal(rig.holders(volume), set(), "the instances that have the volume after ten detaches")
    rig.driver.detach(volume.id)


@STORAGE.check()
def detach_from_another_instance_leaves_the_holder(rig: StorageRig) -> None:
    """Detaching from an instance that does not have the volume is success, and its holder keeps it."""
    (holder, other), volume = rig.hosts(2), rig.create()
    made = rig.driver.attach(volume.id, holder)
    rig.driver.detach(volume.id, other)
    rig.driver.detach(volume.id, other, force=True)
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")


@STORAGE.check()
def detach_from_an_unknown_instance_leaves_the_holder(rig: StorageRig) -> None:
    """What does not exist does not have the volume: detaching from it is success, and the holder keeps it."""
    [holder], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, holder)
    rig.driver.detach(volume.id, nobody(rig))
    expect_equal(rig.holders(volume), {holder}, "the instances that have the volume afterwards")


@STORAGE.check()
def detach_that_names_no_instance_is_from_all(rig: StorageRig) -> None:
    """``detach`` without an instance disconnects the volume from whichever has it."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host)
    rig.driver.detach(volume.id)
    expect_equal(rig.holders(volume), set(), "the instances that have the volume afterwards")


@STORAGE.check()
def detach_of_an_unknown_volume_succeeds(rig: StorageRig) -> None:
    """A volume that does not exist is attached nowhere, and that is success."""
    [host] = rig.hosts(1)
    unknown = gone_volume(rig)
    rig.driver.detach(unknown)
    rig.driver.detach(unknown, host)


@STORAGE.check()
def detach_of_one_volume_leaves_the_others(rig: StorageRig) -> None:
    """``detach`` is about one volume: what else the instance has stays there."""
    [host], one, other = rig.hosts(1), rig.create(), rig.create()
    rig.driver.attach(one.id, host)
    kept = rig.driver.attach(other.id, host)
    rig.driver.detach(one.id)
    expect_equal(list(map(facts, rig.driver.attachments(other.id))), [facts(kept)], "the other volume's attachments")
    rig.driver.attach(one.id, host)
    rig.driver.detach(one.id, host, force=True)
    expect_equal(list(map(facts, rig.driver.attachments(other.id))), [facts(kept)], "the same after a detach by force")


@STORAGE.check()
def a_detached_volume_can_be_attached_elsewhere(rig: StorageRig) -> None:
    """After ``detach`` the volume is free, and the next instance gets it without force."""
    (first, second), volume = rig.hosts(2), rig.create()
    rig.driver.attach(volume.id, first)
    rig.driver.detach(volume.id, first)
    rig.driver.attach(volume.id, second)
    expect_equal(rig.holders(volume), {second}, "the instances that have the volume afterwards")


@STORAGE.check()
def data_stays_while_a_volume_moves(rig: StorageRig) -> None:
    """Attaching, detaching, taking by force and a create said again change nothing of what the volume has."""
    (first, second), volume = rig.hosts(2), rig.create()
    write(rig, volume, b"a")
    rig.driver.attach(volume.id, first)
    rig.driver.attach(volume.id, second, force=True)
    expect_data(rig, volume.id, volume, b"a", "the volume after it was taken by force")
    rig.driver.detach(volume.id)
    expect_data(rig, volume.id, volume, b"a", "the volume after it was detached")
    rig.create(volume.name)
    expect_data(rig, volume.id, volume, b"a", "the volume after its create was said again")


@STORAGE.check()
def an_attached_volume_is_not_removed(rig: StorageRig) -> None:
    """Removing a volume that an instance has is ``InUse``, and it stays there; once it is detached it goes."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host)
    with expect_raises(InUse, what="removing an attached volume"):
        rig.driver.remove(volume.id)
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")
    rig.driver.detach(volume.id, host)
    rig.driver.remove(volume.id)
    expect_equal(rig.named(volume.name), [], "the volumes of the name after it was detached and removed")


@STORAGE.check()
def a_detach_that_was_killed_and_said_again_frees_the_volume(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``detach`` leaves what a repeat finishes: the next instance gets it."""
    host, other = rig.hosts(2)

    def make() -> Call:
        volume = rig.create()
        rig.driver.attach(volume.id, host)
        return Call(method="detach", arguments=(volume.id, host))

    for killed in sweep(rig.target, rig.sources, make):
        volume = rig.driver.volume(killed.call.arguments[0])  # type: ignore[arg-type] # it is the id
        rig.driver.detach(volume.id, host)
        rig.driver.attach(volume.id, other)
        expect_equal(rig.holders(volume), {other}, f"who has the volume, killed {killed.where}, repeated and attached")
        rig.driver.detach(volume.id)
