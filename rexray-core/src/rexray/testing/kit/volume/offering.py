"""What a volume driver offers beyond the contract, where the platform can do it; and what it must not say."""

from __future__ import annotations

from abc import ABC
from functools import partial

from rexray.errors import AlreadyExists, Forbidden, RexrayError, TimedOut, Unavailable, Unsupported
from rexray.mixins import Expand, Snapshots
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import times
from rexray.testing.kit.runs import overhearing
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig


class _Nothing(ABC):  # noqa: B024 a capability that nothing has
    """What no driver can do."""


@VOLUME.check(reads_only=True)
def a_capability_that_nothing_has_is_unsupported(rig: VolumeRig) -> None:
    """``capability`` of what neither the driver nor its platform has is ``Unsupported``."""
    with expect_raises(Unsupported, what="asking for a capability that nothing has"):
        rig.driver.capability(_Nothing)


@VOLUME.check()
def a_mounted_volume_grows(rig: VolumeRig) -> None:
    """``Expand``, where it is offered, grows a volume while it is mounted; again is the same, and it never shrinks."""
    offered = rig.offering(Expand)
    volume = rig.create()
    where = rig.mount(volume.name).path
    wanted = 2 * max(volume.size_bytes, 1 << 20)
    try:
        sizes = {grown.size_bytes for grown in times(3, lambda: offered.expand(volume.id, wanted))}
    except Forbidden as error:  # growing a mounted filesystem takes rights that containers lack
        raise Skipped(str(error)) from None
    expect(min(sizes) >= wanted, f"asked to grow to {wanted} bytes, it has {min(sizes)}")
    offered.expand(volume.id, volume.size_bytes or 1)
    found = rig.driver.get(volume.name).size_bytes
    expect(found >= wanted, f"the volume has {found} bytes after it had grown to {wanted}")
    expect_equal(rig.driver.path(volume.name), where, "the path of the volume that has grown")


@VOLUME.check()
def a_mounted_volume_can_be_snapshotted(rig: VolumeRig) -> None:
    """``Snapshots``, where it is offered, takes one of a mounted volume, which takes writes again afterwards."""
    offered = rig.offering(Snapshots)
    volume, other, name = rig.create(), rig.create(), rig.name("-s")
    where = rig.mount(volume.name).path
    taken = times(3, lambda: offered.create_snapshot(volume.id, name))
    try:
        expect_equal(len({snapshot.id for snapshot in taken}), 1, "different snapshots of one name")
        expect_equal(taken[0].volume_id, volume.id, "the volume that the snapshot is of")
        listed = [snapshot.id for snapshot in offered.snapshots(volume_id=volume.id)]
        expect_equal(listed, [taken[0].id], "the snapshots of the volume")
        with expect_raises(AlreadyExists, what="taking a snapshot of that name of another volume"):
            offered.create_snapshot(other.id, name)
        expect_equal(rig.driver.path(volume.name), where, "the path of the volume afterwards")
    finally:
        for snapshot_id in {snapshot.id for snapshot in taken}:
            times(2, partial(offered.remove_snapshot, snapshot_id))
    left = [snapshot.id for snapshot in offered.snapshots(volume_id=volume.id)]
    expect_equal(left, [], "the snapshots of the volume after the removal")


@VOLUME.check()
def secrets_are_not_told(rig: VolumeRig) -> None:
    """No secret setting is in a log, an error, or what a driver or an object of its says of itself."""
    secrets, name, holder, said = rig.secrets(), rig.name(), rig.holder(), list[str]()
    driver = rig.restarted()
    with overhearing() as heard:
        said += [repr(driver), repr(vars(driver)), repr(driver.create(name, rig.options))]
        said += [repr(driver.mount(rig.request(name, holder))), repr(driver.get(name)), repr(list(driver.list()))]
        driver.unmount(name, holder)
        for call in (
            lambda: driver.create(name, {"sizzze": "1"}),
            lambda: driver.get(name + "-missing"),
            lambda: driver.mount(rig.request(name + "-missing", holder)),
            lambda: driver.remove(name + "-missing"),
        ):
            with expect_raises(RexrayError, what="a call that cannot succeed") as caught:
                call()
            said += [caught.text, repr(caught.error)]
        driver.remove(name)
    for secret in secrets:
        expect(not any(secret in text for text in said), "a secret setting is in an error, or in what an object says")
        expect(not any(secret in text for text in heard), "a secret setting is in the log")


@VOLUME.check(reads_only=True)
def a_platform_that_cannot_be_reached_is_told_in_time(rig: VolumeRig) -> None:
    """While the platform cannot be reached ``list`` and ``get`` say so, by ``Unavailable`` or ``TimedOut``."""
    driver = rig.troubled("unreachable")
    with expect_raises(Unavailable, TimedOut, what="list while the platform cannot be reached"):
        list(driver.list())
    with expect_raises(Unavailable, TimedOut, what="get while the platform cannot be reached"):
        driver.get(rig.missing())
