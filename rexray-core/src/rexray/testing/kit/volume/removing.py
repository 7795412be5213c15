"""Deleting volumes: what is gone is gone, and what is in use stays."""

from __future__ import annotations

from rexray.errors import InUse, NotFound
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig
from rexray.types import SHELL_HOLDER


@VOLUME.check()
def remove_deletes_the_volume(rig: VolumeRig) -> None:
    """After ``remove`` neither ``get`` nor ``list`` knows the volume, nor does another driver."""
    volume = rig.create()
    other = rig.create()
    rig.driver.remove(volume.name)
    with expect_raises(NotFound, what="getting a volume that was removed"):
        rig.driver.get(volume.name)
    expect_equal(rig.listed(volume.name), [], "volumes of the name of the one that was removed")
    expect_equal(rig.listed(volume.name, rig.restarted()), [], "the same for a driver that was made afterwards")
    expect_equal(rig.driver.get(other.name).id, other.id, "the other volume, which nobody removed")


@VOLUME.check()
def remove_said_twice_says_that_the_volume_is_missing(rig: VolumeRig) -> None:
    """``remove`` of a missing volume is ``NotFound``, also if it is missing because it was removed."""
    volume = rig.create()
    rig.driver.remove(volume.name)
    with expect_raises(NotFound, what="removing a volume that was removed"):
        rig.driver.remove(volume.name)
    with expect_raises(NotFound, what="removing a volume that never was"):
        rig.driver.remove(rig.name())


@VOLUME.check()
def remove_of_a_mounted_volume_is_refused(rig: VolumeRig) -> None:
    """A mounted volume is ``InUse``, and stays mounted: here for a shell, which lets go by itself and means it."""
    volume = rig.create()
    where = rig.mount(volume.name, SHELL_HOLDER).path
    with expect_raises(InUse, what="removing a mounted volume"):
        rig.driver.remove(volume.name)
    expect_equal(rig.driver.path(volume.name), where, "the path of the volume after the refusal")
    expect_equal(rig.driver.get(volume.name).id, volume.id, "the volume after the refusal")


@VOLUME.check()
def a_volume_that_is_made_again_is_a_new_one(rig: VolumeRig) -> None:
    """Nothing of a removed volume, neither its data nor its holders, is in the next one of its name."""
    rig.need_files()
    volume, holder = rig.create(), rig.holder()
    (rig.mount(volume.name, holder).path / "secret").write_text("of the first one")
    rig.driver.unmount(volume.name, holder)
    rig.driver.remove(volume.name)
    rig.create(volume.name)
    expect(rig.driver.path(volume.name) is None, "the new volume has a path, and nobody has mounted it")
    found = [item.name for item in rig.mount(volume.name, holder).path.iterdir() if item.name == "secret"]
    expect_equal(found, [], "files of the removed volume in the new one")


@VOLUME.check()
def a_remove_that_was_killed_can_be_said_again(rig: VolumeRig) -> None:
    """A process that is killed anywhere in ``remove`` leaves a volume that is whole, or gone, and a repeat ends it."""

    def call() -> Call:
        return Call(method="remove", arguments=(rig.create().name,))

    for killed in sweep(rig.target, rig.sources, call):
        name, driver = str(killed.call.arguments[0]), rig.restarted()
        left = rig.listed(name, driver)
        try:
            driver.remove(name)
        except NotFound:
            expect(not left, f"{name!r} is in the list, and to remove it is NotFound: killed {killed.where}")
        expect_equal(rig.listed(name, driver), [], f"volumes named {name!r}, killed {killed.where} and repeated")
        volume = driver.create(name, rig.options)
        expect(driver.path(name) is None, f"a new {name!r} has a path at once: the old one's remove was killed")
        expect_equal(driver.get(name).id, volume.id, f"the id of a new {name!r}")
