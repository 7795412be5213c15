"""Restarts and crashes: who holds what is on disk, and what was interrupted is finished."""

from __future__ import annotations

from pathlib import Path

from rexray import mounts
from rexray.drivers import VolumeDriver
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.killing import Call, Killed, sweep
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig, mount_points
from rexray.types import MountRequest


@VOLUME.check()
def a_restart_loses_no_holder(rig: VolumeRig) -> None:
    """A driver that is made anew knows who holds what: the first of two who lets go does not unmount."""
    volume, one, other = rig.create(), rig.holder(), rig.holder()
    where = rig.mount(volume.name, one).path
    rig.mount(volume.name, other)
    fresh = rig.restarted()
    expect_equal(fresh.path(volume.name), where, "the path after a restart")
    fresh.unmount(volume.name, one)
    expect_equal(fresh.path(volume.name), where, "the path after a restart and one of two unmounts")
    rig.restarted().unmount(volume.name, other)
    expect(rig.restarted().path(volume.name) is None, "the volume is mounted after both holders let go")


@VOLUME.check()
def recover_says_what_it_did_and_keeps_what_is_held(rig: VolumeRig) -> None:
    """``recover`` tells what it did, a line each; said twice it leaves mounts and holders as they were."""
    volume, idle, holder = rig.create(), rig.create(), rig.holder()
    where = rig.mount(volume.name, holder).path
    fresh = rig.restarted()
    for _ in range(2):
        for line in fresh.recover():
            expect(line.strip() and "\n" not in line, f"recover said {line!r}, which is not one line")
    expect_equal(fresh.path(volume.name), where, "the path of a mounted volume after recover")
    expect_equal(mount_points(fresh.get(idle.name)), set(), "mount points of a volume that nobody holds after recover")
    fresh.unmount(volume.name, holder)
    expect(fresh.path(volume.name) is None, "the volume is mounted after its holder let go")


@VOLUME.check()
def recover_mounts_again_what_is_held(rig: VolumeRig) -> None:
    """A mount that is gone while somebody holds it is made again by ``recover``, with the data, and is told of."""
    rig.need_files()
    volume, holder = rig.create(), rig.holder()
    where = rig.mount(volume.name, holder).path
    (where / "file").write_text("content")
    mounts.unmount(_mount_of(where))
    lines = list(rig.restarted().recover())
    expect(any(volume.name in line for line in lines), f"recover said {lines}, and nothing of {volume.name!r}")
    expect_equal((where / "file").read_text(), "content", "what is read where it was mounted")
    rig.driver.unmount(volume.name, holder)
    expect(rig.driver.path(volume.name) is None, "the volume is mounted after its holder let go")


def _mount_of(path: Path) -> Path:
    """The mount point that the path is in."""
    return next(each for each in (path, *path.parents) if mounts.is_mount_point(each))


@VOLUME.check()
def a_mount_that_was_killed_can_be_said_again(rig: VolumeRig) -> None:
    """A process that is killed anywhere in ``mount`` leaves what a repeat finishes and an unmount undoes."""
    for killed in sweep(rig.target, rig.sources, lambda: _mount_call(rig)):
        request, driver = _request(killed), rig.restarted()
        where = driver.mount(request).path
        expect_equal(driver.path(request.name), where, f"the path, killed {killed.where} and repeated")
        _let_go(rig, driver, killed)


@VOLUME.check()
def recover_finishes_a_mount_that_was_killed(rig: VolumeRig) -> None:
    """After a mount was killed ``recover`` leaves the volume mounted for its holder, or free; nothing in between."""
    for killed in sweep(rig.target, rig.sources, lambda: _mount_call(rig)):
        request, driver = _request(killed), rig.restarted()
        lines = [line for line in driver.recover() if line.startswith(request.name) and "not recovered" in line]
        expect_equal(lines, [], f"what recover could not do, killed {killed.where}")
        if driver.path(request.name) is None:
            here = driver.instance_id()
            left = [each for each in driver.get(request.name).attachments if each.instance_id == here]
            expect_equal(left, [], f"attachments of a volume that is not mounted, killed {killed.where} and recovered")
        _let_go(rig, driver, killed)


def _mount_call(rig: VolumeRig) -> Call:
    return Call(method="mount", arguments=(rig.request(rig.create().name),))


def _request(killed: Killed) -> MountRequest:
    (request,) = killed.call.arguments
    assert isinstance(request, MountRequest)
    return request


def _let_go(rig: VolumeRig, driver: VolumeDriver, killed: Killed) -> None:
    """Unmount, and see that nothing is left that keeps the volume from being mounted by the next one, or removed."""
    request = _request(killed)
    driver.unmount(request.name, request.holder)
    expect(driver.path(request.name) is None, f"the path after unmount, killed {killed.where}")
    holder = rig.holder()
    rig.mount(request.name, holder, driver=driver)
    driver.unmount(request.name, holder)
    expect(driver.path(request.name) is None, f"the path after another holder's unmount, killed {killed.where}")


@VOLUME.check()
def an_unmount_that_was_killed_can_be_said_again(rig: VolumeRig) -> None:
    """A process that is killed anywhere in ``unmount`` leaves what a repeat finishes: the volume is free."""

    def call() -> Call:
        volume, holder = rig.create(), rig.holder()
        rig.mount(volume.name, holder)
        return Call(method="unmount", arguments=(volume.name, holder))

    for killed in sweep(rig.target, rig.sources, call):
        name, holder = (str(word) for word in killed.call.arguments)
        driver = rig.restarted()
        driver.unmount(name, holder)
        expect(driver.path(name) is None, f"{name!r} has a path, killed {killed.where} and repeated")
        here = driver.instance_id()
        left = [each for each in driver.get(name).attachments if each.instance_id == here]
        expect_equal(left, [], f"attachments of {name!r} to this host, killed {killed.where} and repeated")


@VOLUME.check()
def unmount_all_names_each_volume(rig: VolumeRig) -> None:
    """``unmount_all`` unmounts every volume of this host, whoever holds it, and gives each name; then there is none."""
    rig.need_idle_host()
    names = [rig.create().name for _ in range(3)]
    for name in names:
        rig.mount(name)
        rig.mount(name)
    found = sorted(rig.restarted().unmount_all())
    expect_equal(found, sorted(names), "the names that unmount_all gave")
    expect_equal([rig.driver.path(name) for name in names], [None] * 3, "the paths of the volumes afterwards")
    expect_equal(list(rig.driver.unmount_all()), [], "the names that unmount_all gave when it was said again")
