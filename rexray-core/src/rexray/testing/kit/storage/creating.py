"""Making volumes: once, however often it is said."""

from __future__ import annotations

from rexray.errors import AlreadyExists
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE


@STORAGE.check()
def create_makes_a_volume_of_the_name_and_size(rig: StorageRig) -> None:
    """``create`` makes a volume that bears the name and is at least as large as was asked."""
    name = rig.name()
    volume = rig.create(name)
    expect_equal(volume.name, name, "the name of the volume that create returned")
    expect(volume.size_bytes >= rig.size_bytes, f"asked for {rig.size_bytes} bytes, it made {volume.size_bytes}")
    expect_equal([found.id for found in rig.named(name)], [volume.id], f"the volumes named {name!r} afterwards")


@STORAGE.check()
def create_said_ten_times_makes_one_volume(rig: StorageRig) -> None:
    """``create`` is idempotent: the same wish again is the same volume."""
    name = rig.name()
    ids = {volume.id for volume in times(10, lambda: rig.create(name))}
    expect_equal(len(ids), 1, f"different ids that ten creates of {name!r} returned")
    expect_equal(len(rig.named(name)), 1, f"volumes named {name!r} after ten creates")


@STORAGE.check()
def create_of_another_size_is_refused(rig: StorageRig) -> None:
    """A volume of the name that differs from the wish is ``AlreadyExists``, and stays as it is."""
    volume = rig.create()
    with expect_raises(AlreadyExists, what="creating a volume of the same name and another size"):
        rig.create(volume.name, size_bytes=volume.size_bytes + 8 * rig.step_bytes)
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check()
def a_create_that_was_killed_and_said_again_leaves_one_volume(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``create`` leaves what a repeat finishes: one volume, and it is whole."""
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="create", arguments=(rig.spec(),))):
        name = rig.claim(killed.call.arguments[0].name)  # type: ignore[attr-defined] # it is a VolumeSpec
        volume = rig.create(name)
        found = [each.id for each in rig.named(name)]
        expect_equal(found, [volume.id], f"the volumes named {name!r}, killed {killed.where} and repeated")
