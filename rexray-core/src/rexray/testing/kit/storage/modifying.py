"""Changing what a volume is: known properties only, and all of what was asked or nothing."""

from __future__ import annotations

from collections.abc import Mapping

from rexray.errors import InvalidRequest, NotFound
from rexray.mixins import Modify
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import expect_data, gone_volume, write
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume

UNKNOWN = {"kit-no-such-property": "1"}


@STORAGE.check(Modify)
def modify_changes_the_volume(rig: StorageRig) -> None:
    """``modify`` changes the named properties and returns the volume so; the list tells nothing else."""
    options, volume = _modification(rig), rig.create()
    made = rig.having(Modify).modify(volume.id, options)
    expect_equal(made.id, volume.id, "the id of the volume that modify returned")
    expect(_kind(made) != _kind(volume), f"the volume is as it was, {_kind(made)}, where {dict(options)} was asked for")
    for found in (rig.driver.volume(volume.id), rig.restarted().volume(volume.id)):
        expect_equal(_kind(found), _kind(made), "what the volume is afterwards")
        for option, told in (("type", found.type), ("iops", str(found.iops))):
            expect_equal(told, options.get(option, told), f"the {option} of the volume afterwards")
    for found in rig.named(volume.name):
        expect(found.type in ("", made.type), f"the list tells type {found.type!r}, where it is {made.type!r} now")
        expect(found.iops in (0, made.iops), f"the list tells {found.iops} IOPS, where it is {made.iops} now")


@STORAGE.check(Modify)
def modify_said_ten_times_changes_once(rig: StorageRig) -> None:
    """``modify`` is idempotent: so already is success."""
    options, volume = _modification(rig), rig.create()
    made = {_kind(each) for each in times(10, lambda: rig.having(Modify).modify(volume.id, options))}
    expect_equal(len(made), 1, f"different volumes that ten modify returned ({made})")


@STORAGE.check(Modify)
def modify_of_an_unknown_property_is_refused(rig: StorageRig) -> None:
    """A property that the platform does not have is ``InvalidRequest``, and changes nothing."""
    volume = rig.create()
    with expect_raises(InvalidRequest, what="changing a property that no volume has"):
        rig.having(Modify).modify(volume.id, UNKNOWN)
    expect_equal(_kind(rig.driver.volume(volume.id)), _kind(volume), "what the volume is afterwards")


@STORAGE.check(Modify)
def modify_of_a_known_and_an_unknown_property_changes_nothing(rig: StorageRig) -> None:
    """An unknown property changes nothing, also beside one that could be changed, in whatever order."""
    options, volume = _modification(rig), rig.create()
    for asked in ({**options, **UNKNOWN}, {**UNKNOWN, **options}):
        with expect_raises(InvalidRequest, what="changing a property that there is and one that no volume has"):
            rig.having(Modify).modify(volume.id, asked)
        expect_equal(_kind(rig.driver.volume(volume.id)), _kind(volume), "what the volume is afterwards")


@STORAGE.check(Modify)
def modify_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """Changing a volume that does not exist is ``NotFound``."""
    options, unknown = _modification(rig), gone_volume(rig)
    with expect_raises(NotFound, what="changing an unknown volume"):
        rig.having(Modify).modify(unknown, options)


@STORAGE.check(Modify)
def modify_of_nothing_changes_nothing(rig: StorageRig) -> None:
    """No options are no change, and success."""
    volume = rig.create()
    made = rig.having(Modify).modify(volume.id, {})
    expect_equal(_kind(made), _kind(volume), "what the volume is after nothing was asked for")


@STORAGE.check(Modify)
def a_modified_volume_keeps_its_data(rig: StorageRig) -> None:
    """What a volume has does not change with what it is; nor does its size, its name or any other volume."""
    options, volume, other = _modification(rig), rig.create(), rig.create()
    write(rig, volume, b"a")
    made = rig.having(Modify).modify(volume.id, options)
    expect_data(rig, volume.id, volume, b"a", "the volume after it was changed")
    expect_equal((made.name, made.size_bytes), (volume.name, volume.size_bytes), "its name and its size")
    expect_equal(_kind(rig.driver.volume(other.id)), _kind(other), "what another volume is")


def _modification(rig: StorageRig) -> Mapping[str, str]:
    if not rig.modification:
        raise Skipped("nothing is given that can be changed of a volume")
    return rig.modification


def _kind(volume: Volume) -> tuple[object, ...]:
    """What of a volume ``modify`` may change; its size and its name are not among that."""
    return (volume.size_bytes, volume.type, volume.iops, volume.zone, volume.encrypted, *sorted(volume.fields.items()))
