"""Making volumes by name, once, however often it is said."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InvalidRequest
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig


@VOLUME.check()
def create_makes_a_volume_that_can_be_found(rig: VolumeRig) -> None:
    """``create`` returns the volume of that name, and ``get`` and ``list`` know it from then on."""
    name = rig.name()
    volume = rig.create(name)
    expect_equal(volume.name, name, "the name of the volume that create returned")
    expect(volume.id, "the volume that create returned has no id")
    expect_equal(rig.driver.get(name).id, volume.id, f"the id that get returns of {name!r}")
    expect_equal([found.id for found in rig.listed(name)], [volume.id], f"the volumes named {name!r} in the list")


@VOLUME.check()
def create_said_ten_times_makes_one_volume(rig: VolumeRig) -> None:
    """``create`` is idempotent: Docker says it again after every restart, and gets the same volume."""
    name = rig.name()
    ids = {volume.id for volume in times(10, lambda: rig.create(name))}
    expect_equal(len(ids), 1, f"different ids that ten creates of {name!r} returned")
    expect_equal(len(rig.listed(name)), 1, f"volumes named {name!r} after ten creates")


@VOLUME.check()
def create_of_a_different_volume_is_refused(rig: VolumeRig) -> None:
    """A volume of the name that is not as was asked for is ``AlreadyExists``, and stays as it is."""
    different = rig.different
    volume = rig.create()
    with expect_raises(AlreadyExists, what=f"creating a volume again with the options {dict(different)}"):
        rig.driver.create(volume.name, different)
    found = rig.driver.get(volume.name)
    expect_equal((found.id, found.size_bytes), (volume.id, volume.size_bytes), "the volume's id and size afterwards")


@VOLUME.check()
def create_with_an_unknown_option_makes_nothing(rig: VolumeRig) -> None:
    """An option that the driver does not know is ``InvalidRequest``: a misspelt one must not be left aside."""
    name = rig.name()
    with expect_raises(InvalidRequest, what="creating a volume with the option 'sizzze'"):
        rig.create(name, sizzze="1GiB")
    expect_equal(rig.listed(name), [], f"the volumes named {name!r} after the refusal")


@VOLUME.check()
def create_at_once_by_eight_makes_one_volume(rig: VolumeRig) -> None:
    """Callers that create the same volume at the same moment get the same one."""
    name = rig.name()
    ends = rig.together(*[lambda: rig.create(name)] * 8)
    errors = [end for end in ends if isinstance(end, Exception)]
    expect(not errors, f"of eight creates of {name!r} at once {len(errors)} failed: {errors[:1]}")
    expect_equal(len({end.id for end in ends if not isinstance(end, Exception)}), 1, "different ids that they returned")
    expect_equal(len(rig.listed(name)), 1, f"volumes named {name!r} afterwards")


@VOLUME.check()
def a_create_that_was_killed_and_said_again_leaves_one_volume(rig: VolumeRig) -> None:
    """A process that is killed anywhere in ``create`` leaves what a repeat finishes: one volume, that can be used."""

    def call() -> Call:
        return Call(method="create", arguments=(rig.name(), rig.options))

    for killed in sweep(rig.target, rig.sources, call):
        name = str(killed.call.arguments[0])
        volume = rig.restarted().create(name, rig.options)
        found = [each.id for each in rig.listed(name)]
        expect_equal(found, [volume.id], f"the volumes named {name!r}, killed {killed.where} and repeated")
