"""Errors: of the tree, in a line that names the thing, in time, and never taken for an answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from rexray.drivers import StorageDriver
from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    RexrayError,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import names_instance
from rexray.testing.kit.suites import STORAGE
from rexray.testing.kit.watching import settled, threads_and_files
from rexray.types import InstanceId, VolumeId

SPARE = 4
"""How many threads or files more than before a driver may keep: a pool of connections, a thread that it shares."""
_GONE = VolumeId("kit-no-such-volume")
_NOBODY = InstanceId("kit-no-such-instance")


@STORAGE.check(reads_only=True)
def the_error_of_an_unknown_id_names_it(rig: StorageRig) -> None:
    """An error names the thing: whoever has many volumes must see which one it is about."""
    with expect_raises(NotFound, what="looking up a volume that does not exist") as caught:
        rig.driver.volume(_GONE)
    expect(_GONE in caught.text, f"the error does not name {_GONE!r}: {caught.text}")


@STORAGE.check()
def the_error_of_a_volume_that_differs_names_it(rig: StorageRig) -> None:
    """``AlreadyExists`` names the volume that is in the way."""
    volume = rig.create()
    with expect_raises(AlreadyExists, what="creating a volume of the same name and another size") as caught:
        rig.create(volume.name, size_bytes=volume.size_bytes + 8 * rig.step_bytes)
    named = volume.name in caught.text or volume.id in caught.text
    expect(named, f"the error names neither {volume.name!r} nor {volume.id!r}: {caught.text}")


@STORAGE.check()
def the_error_of_a_volume_in_use_names_it_and_its_holder(rig: StorageRig) -> None:
    """``InUse`` says what is in use, and by whom."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host)
    with expect_raises(InUse, what="removing an attached volume") as caught:
        rig.driver.remove(volume.id)
    named = volume.name in caught.text or volume.id in caught.text
    expect(named, f"the error names neither {volume.name!r} nor {volume.id!r}: {caught.text}")
    expect(names_instance(rig, caught.text, host), f"the error does not name the holder {host!r}: {caught.text}")


@STORAGE.check()
def the_error_of_an_unknown_option_names_it(rig: StorageRig) -> None:
    """``InvalidRequest`` says which option is wrong."""
    option = "kit-no-such-option"
    with expect_raises(InvalidRequest, Unsupported, what="creating a volume with an unknown option") as caught:
        rig.create(options={option: "1"})
    expect(option in caught.text, f"the error does not name option {option!r}: {caught.text}")


@STORAGE.check()
def the_error_of_an_unknown_type_names_it(rig: StorageRig) -> None:
    """An error says which type does not exist."""
    kind = rig.name("-type")
    with expect_raises(InvalidRequest, NotFound, Unsupported, what="creating a volume of an unknown type") as caught:
        rig.create(type=kind)
    expect(kind in caught.text, f"the error does not name type {kind!r}: {caught.text}")


@STORAGE.check()
def the_error_of_an_unknown_zone_names_it(rig: StorageRig) -> None:
    """An error says which zone does not exist."""
    zone = rig.name("-zone")
    with expect_raises(InvalidRequest, NotFound, Unsupported, what="creating a volume in an unknown zone") as caught:
        rig.create(zone=zone)
    expect(zone in caught.text, f"the error does not name zone {zone!r}: {caught.text}")


@STORAGE.check()
def calls_that_failed_leave_the_driver_usable(rig: StorageRig) -> None:
    """An error is the end of a call and not of the driver: what comes next works."""
    volume = rig.create()
    for _ in range(10):
        for call in _reading(rig.driver, _GONE).values():
            with contextlib.suppress(RexrayError):
                call()
        with contextlib.suppress(RexrayError):
            rig.create(volume.name, size_bytes=-1)
    expect_equal(rig.driver.volume(volume.id).name, volume.name, "the name of a volume after calls that failed")
    expect_equal([each.id for each in rig.named(volume.name)], [volume.id], "the volumes of its name in the list")


@STORAGE.check(reads_only=True)
def a_driver_is_made_while_its_platform_is_down(rig: StorageRig) -> None:
    """Making a driver calls no platform: a daemon starts with the platform down, and at once."""
    begin = time.monotonic()
    driver = rig.troubled("unreachable")
    took = time.monotonic() - begin
    expect(isinstance(driver, StorageDriver), f"it is a {type(driver).__name__}")
    expect(took < 2, f"making a driver took {took:.1f} s with a platform that cannot be reached")


@STORAGE.check(reads_only=True)
def a_platform_that_is_unreachable_is_no_empty_one(rig: StorageRig) -> None:
    """Lists of a platform that cannot be reached are ``Unavailable`` or ``TimedOut``, and never empty."""
    _expect_trouble(rig, "unreachable", _listing)


@STORAGE.check()
def a_platform_that_is_unreachable_has_not_lost_a_volume(rig: StorageRig) -> None:
    """A look-up on a platform that cannot be reached is ``Unavailable`` or ``TimedOut``, and never ``NotFound``."""
    volume = _known(rig, "unreachable")
    _expect_trouble(rig, "unreachable", lambda driver: _looking(driver, volume))


@STORAGE.check()
def a_platform_that_is_unreachable_makes_nothing(rig: StorageRig) -> None:
    """``create`` and ``attach`` on a platform that cannot be reached are ``Unavailable`` or ``TimedOut``."""
    volume = _known(rig, "unreachable")
    _expect_trouble(rig, "unreachable", lambda driver: _making(rig, driver, volume))


@STORAGE.check()
def a_platform_that_is_unreachable_has_removed_nothing(rig: StorageRig) -> None:
    """Only what the platform calls missing is success: a removal that it never heard of is an error."""
    volume = _known(rig, "unreachable")
    _expect_trouble(rig, "unreachable", lambda driver: _undoing(driver, volume))


@STORAGE.check()
def a_platform_that_hangs_holds_up_no_reader(rig: StorageRig) -> None:
    """Every call that reads has a deadline: a platform that never answers is ``TimedOut`` or ``Unavailable``."""
    volume = _known(rig, "hanging")
    _expect_trouble(rig, "hanging", lambda driver: {**_listing(driver), **_looking(driver, volume)})


@STORAGE.check()
def a_platform_that_hangs_holds_up_no_change(rig: StorageRig) -> None:
    """Every call that changes something has a deadline: a platform that never answers has not done it."""
    volume = _known(rig, "hanging")
    _expect_trouble(rig, "hanging", lambda driver: {**_making(rig, driver, volume), **_undoing(driver, volume)})


@STORAGE.check()
def calls_that_hang_leave_nothing_behind(rig: StorageRig) -> None:
    """Threads and open files do not pile up while a platform never answers."""
    driver = rig.troubled("hanging")
    _expect_no_leak(rig, driver, "calls that hung")


@STORAGE.check()
def calls_that_fail_leave_nothing_behind(rig: StorageRig) -> None:
    """Threads and open files do not pile up while a platform cannot be reached, nor with drivers that are dropped."""
    driver = rig.troubled("unreachable")
    _expect_no_leak(rig, driver, "calls that failed")


@STORAGE.check()
def calls_leave_nothing_behind(rig: StorageRig) -> None:
    """Threads and open files do not pile up with calls that succeed."""
    volume = rig.create()

    def use() -> None:
        rig.driver.volume(volume.id)
        list(rig.driver.volumes())
        rig.create(volume.name)

    use()
    before = threads_and_files()
    times(20, use)
    more = settled(before, SPARE, 5)
    expect(max(more) <= SPARE, f"60 calls left {more[0]} threads and {more[1]} open files more than before")


@STORAGE.check()
def a_platform_that_refuses_the_credentials_says_so(rig: StorageRig) -> None:
    """Wrong credentials are ``Unauthorized`` for every call that reads, and never an empty platform."""
    driver, volume = rig.troubled("denied"), rig.create()
    for what, call in {**_listing(driver), **_looking(driver, volume.id)}.items():
        with expect_raises(Unauthorized, Forbidden, what=f"{what} with credentials that are refused"):
            call()


@STORAGE.check()
def a_platform_that_refuses_the_credentials_changes_nothing(rig: StorageRig) -> None:
    """Wrong credentials are ``Unauthorized`` for every call that changes something, and nothing is changed."""
    driver, volume = rig.troubled("denied"), rig.create()
    for what, call in {**_making(rig, driver, volume.id), **_undoing(driver, volume.id)}.items():
        with expect_raises(Unauthorized, Forbidden, what=f"{what} with credentials that are refused"):
            call()
    expect_equal([each.id for each in rig.named(volume.name)], [volume.id], "the volumes of the name afterwards")


Calls = Mapping[str, Callable[[], object]]


def _listing(driver: StorageDriver) -> Calls:
    return {
        "volumes": lambda: list(driver.volumes()),
        "volumes_named": lambda: list(driver.volumes_named(_GONE)),
        "attached": lambda: list(driver.attached(_NOBODY)),
    }


def _looking(driver: StorageDriver, volume_id: VolumeId) -> Calls:
    return {"volume": lambda: driver.volume(volume_id), "attachments": lambda: driver.attachments(volume_id)}


def _reading(driver: StorageDriver, volume_id: VolumeId) -> Calls:
    return {**_listing(driver), **_looking(driver, volume_id)}


def _known(rig: StorageRig, trouble: str) -> VolumeId:
    """A volume of the platform in good health: of an id that can be none a driver may say so without asking."""
    rig.troubled(trouble)  # which skips first where there are no settings for it
    return rig.create().id


def _making(rig: StorageRig, driver: StorageDriver, volume_id: VolumeId) -> Calls:
    spec, [host] = rig.spec(), rig.hosts(1)
    return {"create": lambda: driver.create(spec), "attach": lambda: driver.attach(volume_id, host)}


def _undoing(driver: StorageDriver, volume_id: VolumeId) -> Calls:
    return {
        "remove": lambda: driver.remove(volume_id),
        "remove by force": lambda: driver.remove(volume_id, force=True),
        "detach": lambda: driver.detach(volume_id),
        "detach by force": lambda: driver.detach(volume_id, _NOBODY, force=True),
    }


def _expect_trouble(rig: StorageRig, trouble: str, calls: Callable[[StorageDriver], Calls]) -> None:
    driver = rig.troubled(trouble)
    for what, call in calls(driver).items():
        begin = time.monotonic()
        with expect_raises(Unavailable, TimedOut, what=f"{what} on a platform that is {trouble}"):
            call()
        took = time.monotonic() - begin
        expect(took <= rig.deadline, f"{what} on a platform that is {trouble} took {took:.1f} s, over {rig.deadline:g}")


def _expect_no_leak(rig: StorageRig, driver: StorageDriver, what: str) -> None:
    """Four times four calls at once leave no more than a few threads and files behind."""

    def look() -> None:
        with contextlib.suppress(RexrayError):
            list(driver.volumes())

    look()
    before = threads_and_files()
    for _ in range(4):
        rig.together(*[look] * 4)
    more = settled(before, SPARE, rig.deadline)
    expect(max(more) <= SPARE, f"16 {what} left {more[0]} threads and {more[1]} open files more than before")
