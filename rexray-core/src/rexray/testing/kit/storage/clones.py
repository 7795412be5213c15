"""Clones: volumes that are made from another one, and share nothing with it that can be seen."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.mixins import Clone
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import expect_data, expect_mark, gone_volume, larger_than, mark, write
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume


@STORAGE.check(Clone)
def a_clone_is_another_volume_of_that_name(rig: StorageRig) -> None:
    """``create`` with ``source_volume`` makes a volume with a name and an id of its own, and leaves the source."""
    source, name = rig.create(), rig.name()
    made = _clone(rig, source, name)
    expect_equal(made.name, name, "the name of the clone")
    expect(made.id != source.id, f"the clone has its source's id {source.id!r}")
    expect_equal([each.id for each in rig.named(name)], [made.id], "the volumes of the clone's name")
    expect_equal([each.id for each in rig.named(source.name)], [source.id], "the volumes of the source's name")


@STORAGE.check(Clone)
def a_clone_has_its_sources_data(rig: StorageRig) -> None:
    """A clone has what its source had when it was made."""
    source = rig.create()
    write(rig, source, b"a")
    expect_data(rig, _clone(rig, source).id, source, b"a", "the clone")


@STORAGE.check(Clone)
def a_clone_does_not_change_with_its_source(rig: StorageRig) -> None:
    """What is written to the source afterwards does not show in the clone."""
    source = rig.create()
    write(rig, source, b"a")
    clone = _clone(rig, source)
    write(rig, source, b"b")
    expect_data(rig, clone.id, source, b"a", "the clone after its source was written to")


@STORAGE.check(Clone)
def a_source_does_not_change_with_its_clone(rig: StorageRig) -> None:
    """What is written to the clone does not show in its source."""
    source = rig.create()
    write(rig, source, b"a")
    write(rig, _clone(rig, source), b"b")
    expect_data(rig, source.id, source, b"a", "the source after its clone was written to")


@STORAGE.check(Clone)
def a_clone_said_ten_times_is_one_volume(rig: StorageRig) -> None:
    """Making a clone is idempotent, and the clone is not made anew of what the source has become."""
    source, name = rig.create(), rig.name()
    ids = {each.id for each in times(10, lambda: _clone(rig, source, name))}
    expect_equal([each.id for each in rig.named(name)], list(ids), "the volumes of the clone's name after ten creates")


@STORAGE.check(Clone)
def a_clone_that_is_said_again_keeps_what_it_has(rig: StorageRig) -> None:
    """Saying it again does not copy the source over what has been written to the clone since."""
    source, name = rig.create(), rig.name()
    write(rig, _clone(rig, source, name), b"c")
    write(rig, source, b"b")
    again = _clone(rig, source, name)
    expect_data(rig, again.id, source, b"c", "the clone after it was said again")


@STORAGE.check(Clone)
def a_clone_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """A ``source_volume`` that does not exist is ``NotFound``, and nothing is made: least of all an empty volume."""
    unknown, name = gone_volume(rig), rig.name()
    with expect_raises(NotFound, what="making a clone of an unknown volume"):
        rig.create(name, source_volume=unknown)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Clone)
def a_clone_may_be_larger_than_its_source(rig: StorageRig) -> None:
    """A size beyond the source's is honoured, and without one the clone is at least as large as its source."""
    source = rig.create()
    wanted = larger_than(rig, source)
    for asked, least in ((wanted, wanted), (0, source.size_bytes)):
        made = rig.create(source_volume=source.id, size_bytes=asked)
        expect(
            made.size_bytes >= least, f"asked for {asked or 'no certain number of'} bytes, it made {made.size_bytes}"
        )


@STORAGE.check(Clone)
def a_clone_cannot_be_smaller_than_its_source(rig: StorageRig) -> None:
    """A size below the source's is ``OutOfRange`` or ``InvalidRequest``, and nothing is made."""
    small, name = rig.create(), rig.name()
    source = rig.create(size_bytes=larger_than(rig, small))
    with expect_raises(OutOfRange, InvalidRequest, what="making a clone that is smaller than its source"):
        rig.create(name, source_volume=source.id, size_bytes=small.size_bytes)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Clone)
def a_clone_keeps_to_the_limit(rig: StorageRig) -> None:
    """A source beyond ``limit_bytes`` is ``OutOfRange``, and nothing is made."""
    source, name = rig.create(), rig.name()
    with expect_raises(OutOfRange, what="making a clone whose limit is below its source's size"):
        rig.create(name, source_volume=source.id, size_bytes=0, limit_bytes=source.size_bytes - 1)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Clone)
def a_clone_of_another_source_is_refused(rig: StorageRig) -> None:
    """A volume of that name that is a clone of another one is ``AlreadyExists``."""
    one, other, name = rig.create(), rig.create(), rig.name()
    made = _clone(rig, one, name)
    with expect_raises(AlreadyExists, what="making a clone whose name a clone of another volume has"):
        _clone(rig, other, name)
    expect_equal([each.id for each in rig.named(name)], [made.id], "the volumes of the clone's name")


@STORAGE.check(Clone)
def an_empty_volume_is_not_taken_for_a_clone(rig: StorageRig) -> None:
    """A volume of that name that is no clone is ``AlreadyExists``: whoever asked for the data must not get none."""
    source, empty = rig.create(), rig.create()
    with expect_raises(AlreadyExists, what="making a clone whose name an empty volume has"):
        _clone(rig, source, empty.name)


@STORAGE.check(Clone)
def a_clone_outlives_its_source(rig: StorageRig) -> None:
    """Removing the source leaves the clone, or is ``InUse`` and leaves both."""
    source = rig.create()
    mark(rig, source, b"o")
    clone = _clone(rig, source)
    try:
        rig.driver.remove(source.id)
    except InUse:
        expect_equal(len(rig.named(source.name)), 1, "volumes of the source's name, whose removal was refused")
    else:
        expect_equal(rig.named(source.name), [], "the volumes of the source's name after it was removed")
    expect_equal([each.id for each in rig.named(clone.name)], [clone.id], "the volumes of the clone's name")
    expect_mark(rig, clone.id, source, b"o", "a clone whose source was removed")
    rig.driver.remove(clone.id)


def _clone(rig: StorageRig, source: Volume, name: str = "") -> Volume:
    return rig.create(name, source_volume=source.id, size_bytes=source.size_bytes)
