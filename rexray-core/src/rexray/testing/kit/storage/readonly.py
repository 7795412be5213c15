"""Read-only attachments: honoured where they are declared, refused where they are not."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InvalidRequest, Unsupported
from rexray.mixins import ReadOnlyAttach
from rexray.testing.kit.check import Skipped, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume


@STORAGE.check()
def a_read_only_attachment_is_refused_where_there_are_none(rig: StorageRig) -> None:
    """A driver that is no ``ReadOnlyAttach`` refuses ``read_only``, and attaches nothing: least of all writable."""
    if isinstance(rig.driver, ReadOnlyAttach):
        raise Skipped(f"{rig.target.__name__} declares ReadOnlyAttach")
    [host], volume = rig.hosts(1), rig.create()
    with expect_raises(Unsupported, InvalidRequest, what="attaching read-only by a driver that does not declare it"):
        rig.driver.attach(volume.id, host, read_only=True)
    expect_equal(rig.holders(volume), set(), "the instances that have the volume afterwards")


@STORAGE.check(ReadOnlyAttach)
def a_read_only_attachment_says_so_everywhere(rig: StorageRig) -> None:
    """``attach`` with ``read_only`` returns an attachment that says so, and so do all calls that tell of it."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host, read_only=True)
    expect_equal(made.read_only, True, "whether the attachment that attach returned is read-only")
    expect_equal(_told(rig, volume), {True}, "whether the attachment is read-only, by each call that tells of it")


@STORAGE.check(ReadOnlyAttach)
def an_attachment_is_writable_unless_it_was_asked_for(rig: StorageRig) -> None:
    """Without ``read_only`` the instance can write, and the attachment says so."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host)
    expect_equal(made.read_only, False, "whether the attachment that attach returned is read-only")
    expect_equal(_told(rig, volume), {False}, "whether the attachment is read-only, by each call that tells of it")


@STORAGE.check(ReadOnlyAttach)
def a_read_only_attach_said_ten_times_is_one(rig: StorageRig) -> None:
    """So already is success, for read-only attachments too."""
    [host], volume = rig.hosts(1), rig.create()
    made = {each.read_only for each in times(10, lambda: rig.driver.attach(volume.id, host, read_only=True))}
    expect_equal(made, {True}, "whether the attachments that ten attaches returned are read-only")
    expect_equal(len(rig.driver.attachments(volume.id)), 1, "attachments after ten attaches")


@STORAGE.check(ReadOnlyAttach)
def a_read_only_attachment_does_not_become_writable(rig: StorageRig) -> None:
    """Attached to the instance, but read-only, is ``AlreadyExists`` for who asks to write, and stays read-only."""
    _expect_kept(rig, read_only=True)


@STORAGE.check(ReadOnlyAttach)
def a_writable_attachment_does_not_become_read_only(rig: StorageRig) -> None:
    """Attached to the instance, but writable, is ``AlreadyExists`` for who asks for ``read_only``, and stays so."""
    _expect_kept(rig, read_only=False)


@STORAGE.check(ReadOnlyAttach)
def after_detach_the_access_is_chosen_anew(rig: StorageRig) -> None:
    """How a volume was attached before says nothing of how it is attached next, there or by force elsewhere."""
    (host, other), volume = rig.hosts(2), rig.create()
    rig.driver.attach(volume.id, host, read_only=True)
    rig.driver.detach(volume.id, host)
    expect_equal(rig.driver.attach(volume.id, host).read_only, False, "whether the next attachment is read-only")
    rig.driver.attach(volume.id, other, read_only=True, force=True)
    expect_equal(_told(rig, volume), {True}, "whether the attachment that force made is read-only")


def _told(rig: StorageRig, volume: Volume) -> set[bool]:
    driver = rig.restarted()
    found = (
        *rig.driver.attachments(volume.id),
        *driver.attachments(volume.id),
        *driver.volume(volume.id).attachments,
        *(attachment for each in rig.named(volume.name) for attachment in each.attachments),
    )
    return {attachment.read_only for attachment in found}


def _expect_kept(rig: StorageRig, *, read_only: bool) -> None:
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host, read_only=read_only)
    words = ("read-only", "writable")
    is_so, asked = words if read_only else words[::-1]
    with expect_raises(AlreadyExists, what=f"attaching {asked} to the instance that has the volume {is_so}"):
        rig.driver.attach(volume.id, host, read_only=not read_only)
    expect_equal(_told(rig, volume), {read_only}, "whether the attachment is read-only afterwards")
