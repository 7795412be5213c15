"""Making volumes: once, however often it is said, and as it was asked or not at all."""

from __future__ import annotations

import contextlib
from typing import Any

from rexray.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    Unsupported,
)
from rexray.mixins import Clone, Encrypted, Snapshots
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE
from rexray.types import AttachmentState, SnapshotId, Volume, VolumeId

BLOCK = 4096


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
def create_returns_what_a_look_up_tells(rig: StorageRig) -> None:
    """What ``create`` returns is the volume as it is: a look-up and a repetition tell the same."""
    volume = rig.create()
    expect_equal(_facts(rig.driver.volume(volume.id)), _facts(volume), "what volume tells of what create returned")
    expect_equal(_facts(rig.create(volume.name)), _facts(volume), "what the same create returns again")


@STORAGE.check()
def a_new_volume_is_attached_nowhere(rig: StorageRig) -> None:
    """A volume that was just made is attached to no instance, and says so."""
    volume = rig.create()
    expect_equal(volume.attachments, (), "the attachments of a new volume")
    expect_equal(rig.holders(volume), set(), "the instances that have a new volume")
    taken = (AttachmentState.ATTACHED, AttachmentState.UNAVAILABLE)
    expect(volume.state not in taken, f"a new volume is {volume.state.value}")


@STORAGE.check()
def a_new_volume_is_blank(rig: StorageRig) -> None:
    """A volume that was asked for without a source holds nothing, of nobody."""
    volume = rig.create()
    for offset in (0, rig.size_bytes // 2 // BLOCK * BLOCK, (rig.size_bytes - BLOCK) // BLOCK * BLOCK):
        data = rig.contents.read(volume.id, offset, BLOCK)
        expect(not any(data), f"a new volume has data at byte {offset}: {data[:16].hex()}...")


@STORAGE.check()
def create_leaves_other_volumes_as_they_are(rig: StorageRig) -> None:
    """``create`` changes no volume but its own, however much the names resemble each other."""
    name = rig.name()
    before = [rig.create(name), rig.create(rig.claim(f"{name}-x")), rig.create(rig.claim(f"x-{name}"))]
    rig.create(rig.claim(f"{name}-"), size_bytes=rig.size_bytes + rig.step_bytes)
    after = [rig.driver.volume(volume.id) for volume in before]
    expect_equal([_facts(volume) for volume in after], [_facts(volume) for volume in before], "the other volumes")


@STORAGE.check()
def create_of_another_size_is_refused(rig: StorageRig) -> None:
    """A volume of the name that is smaller than the wish is ``AlreadyExists``, and stays as it is."""
    volume = rig.create()
    with expect_raises(AlreadyExists, what="creating a volume of the same name and another size"):
        rig.create(volume.name, size_bytes=volume.size_bytes + 8 * rig.step_bytes)
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check()
def create_of_a_smaller_size_is_refused(rig: StorageRig) -> None:
    """A volume of the name that is larger than the wish is ``AlreadyExists``, and never shrinks."""
    volume = rig.create(size_bytes=rig.size_bytes + 8 * rig.step_bytes)
    with expect_raises(AlreadyExists, what="creating a volume of the same name and a smaller size"):
        rig.create(volume.name)
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check()
def create_without_a_size_has_the_platforms_own(rig: StorageRig) -> None:
    """A size of 0 is the platform's to choose; a platform that cannot says so, and makes nothing."""
    name = rig.name()
    try:
        volume = rig.create(name, size_bytes=0)
    except (InvalidRequest, OutOfRange):
        _expect_nothing(rig, name, "a create without a size that was refused")
        return
    expect(volume.size_bytes > 0, f"it made a volume of {volume.size_bytes} bytes")
    expect_equal(rig.create(name, size_bytes=0).id, volume.id, "the id that the same create returns again")


@STORAGE.check()
def create_of_a_negative_size_is_refused(rig: StorageRig) -> None:
    """A size below 0 makes no sense, and makes nothing."""
    _expect_refused(rig, InvalidRequest, OutOfRange, what="creating a volume of -1 bytes", size_bytes=-1)


@STORAGE.check()
def create_beyond_what_can_be_made_is_refused(rig: StorageRig) -> None:
    """A size beyond what the platform can make is ``OutOfRange``, or more than there is room for; nothing is made."""
    size = rig.too_large_bytes
    _expect_refused(rig, OutOfRange, OutOfCapacity, what=f"creating a volume of {size} bytes", size_bytes=size)


@STORAGE.check()
def create_keeps_within_its_limit(rig: StorageRig) -> None:
    """Where the platform's steps lead beyond ``limit_bytes``, it is ``OutOfRange`` and nothing is made."""
    name, limit = rig.name(), rig.size_bytes + 1
    try:
        volume = rig.create(name, size_bytes=limit, limit_bytes=limit)
    except OutOfRange:
        _expect_nothing(rig, name, "a create that was out of range")
        return
    expect_equal(volume.size_bytes, limit, f"the size of a volume of at least and at most {limit} bytes")


@STORAGE.check()
def create_takes_a_limit_that_it_can_keep(rig: StorageRig) -> None:
    """A ``limit_bytes`` of just what the platform makes of the size is no reason to refuse it."""
    made = rig.create().size_bytes
    expect_equal(rig.create(limit_bytes=made).size_bytes, made, f"the size of a volume with a limit of {made}")


@STORAGE.check()
def create_of_an_unknown_type_is_refused(rig: StorageRig) -> None:
    """A type that the platform does not have is refused and never ignored: nothing is made."""
    _expect_refused(rig, *_NO_SUCH, what="creating a volume of a type that does not exist", type=rig.name("-type"))


@STORAGE.check()
def create_of_an_unknown_zone_is_refused(rig: StorageRig) -> None:
    """A zone that the platform does not have is refused and never ignored: nothing is made."""
    _expect_refused(rig, *_NO_SUCH, what="creating a volume in a zone that does not exist", zone=rig.name("-zone"))


@STORAGE.check()
def create_of_an_unknown_option_is_refused(rig: StorageRig) -> None:
    """An option that the driver does not have is refused and never ignored: nothing is made."""
    options = {"kit-no-such-option": "1"}
    _expect_refused(rig, *_NO_SUCH, what="creating a volume with an option that does not exist", options=options)


@STORAGE.check()
def create_of_what_is_there_with_another_type_is_refused(rig: StorageRig) -> None:
    """A volume of the name and another type is not the one that was asked for, and stays as it is."""
    volume = rig.create()
    with expect_raises(AlreadyExists, *_NO_SUCH, what="creating a volume of the same name and another type"):
        rig.create(volume.name, type=rig.name("-type"))
    expect_equal(_facts(rig.driver.volume(volume.id)), _facts(volume), "the volume afterwards")


@STORAGE.check()
def create_of_what_is_there_in_another_zone_is_refused(rig: StorageRig) -> None:
    """A volume of the name in another zone is not the one that was asked for, and stays as it is."""
    volume = rig.create()
    with expect_raises(AlreadyExists, *_NO_SUCH, what="creating a volume of the same name in another zone"):
        rig.create(volume.name, zone=rig.name("-zone"))
    expect_equal(_facts(rig.driver.volume(volume.id)), _facts(volume), "the volume afterwards")


@STORAGE.check()
def create_of_two_sources_at_once_is_refused(rig: StorageRig) -> None:
    """A volume is a copy of a volume or of a snapshot, not of both: nothing is made."""
    source = rig.create()
    _expect_refused(
        rig,
        *_NO_SUCH,
        what="creating a volume of a volume and of a snapshot",
        source_volume=source.id,
        source_snapshot=SnapshotId(rig.name("-none")),
    )


@STORAGE.check()
def create_of_a_volume_that_cannot_be_copied_makes_nothing(rig: StorageRig) -> None:
    """A source that is not there, or that the driver is no ``Clone`` to copy, never leads to an empty volume."""
    source = VolumeId(rig.name("-none")) if isinstance(rig.driver, Clone) else rig.create().id
    _expect_refused(rig, *_NO_SUCH, what=f"creating a copy of volume {source!r}", source_volume=source)


@STORAGE.check()
def create_of_a_snapshot_that_is_not_there_makes_nothing(rig: StorageRig) -> None:
    """A snapshot that does not exist, or that the driver has no ``Snapshots`` to know, leads to no empty volume."""
    source = SnapshotId(rig.name("-none"))
    kinds = (NotFound,) if isinstance(rig.driver, Snapshots) else _NO_SUCH
    _expect_refused(rig, *kinds, what=f"creating a volume of snapshot {source!r}", source_snapshot=source)


@STORAGE.check()
def create_of_an_encrypted_volume_is_not_ignored(rig: StorageRig) -> None:
    """A driver that is not ``Encrypted`` refuses to make what it would leave in the clear."""
    if isinstance(rig.driver, Encrypted):
        raise Skipped("the driver declares Encrypted, which has checks of its own")
    _expect_refused(rig, *_NO_SUCH, what="creating an encrypted volume", encrypted=True)


@STORAGE.check()
def a_create_that_was_refused_can_be_said_rightly(rig: StorageRig) -> None:
    """What was refused leaves nothing behind that stands in the way of the same name."""
    name = rig.name()
    for wrong in (rig.spec(name, size_bytes=-1), rig.spec(name, options={"kit-no-such-option": "1"})):
        with contextlib.suppress(RexrayError):
            rig.driver.create(wrong)
    volume = rig.create(name)
    expect_equal([found.id for found in rig.named(name)], [volume.id], f"the volumes named {name!r} afterwards")


@STORAGE.check()
def a_create_that_was_killed_and_said_again_leaves_one_volume(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``create`` leaves what a repeat finishes: one volume, and it is whole."""
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="create", arguments=(rig.spec(),))):
        name = rig.claim(killed.call.arguments[0].name)  # type: ignore[attr-defined] # it is a VolumeSpec
        volume = rig.create(name)
        found = [each.id for each in rig.named(name)]
        expect_equal(found, [volume.id], f"the volumes named {name!r}, killed {killed.where} and repeated")
        size = rig.driver.volume(volume.id).size_bytes
        expect(size >= rig.size_bytes, f"{name!r}, killed {killed.where} and repeated, has {size} bytes")


_NO_SUCH = (InvalidRequest, NotFound, Unsupported)
"""How a driver may refuse what it does not have."""


def _facts(volume: Volume) -> tuple[object, ...]:
    """What of a volume does not change by itself."""
    return (volume.id, volume.name, volume.size_bytes, volume.type, volume.zone, volume.encrypted)


def _expect_nothing(rig: StorageRig, name: str, what: str) -> None:
    expect_equal([volume.id for volume in rig.named(name)], [], f"volumes named {name!r} after {what}")


def _expect_refused(rig: StorageRig, *kinds: type[RexrayError], what: str, **fields: Any) -> None:
    name = rig.name()
    with expect_raises(*kinds, what=what):
        rig.create(name, **fields)
    _expect_nothing(rig, name, what)
