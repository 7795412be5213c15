"""Many holders at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rexray.errors import NotFound
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig
from rexray.types import SHELL_HOLDER


@VOLUME.check()
def eight_holders_at_once_get_one_mount(rig: VolumeRig) -> None:
    """Holders that mount at the same moment share one path, and none of them is lost; so is their letting go."""
    name, holders = rig.create().name, [rig.holder() for _ in range(8)]
    ends = rig.together(*(lambda holder=holder: rig.mount(name, holder).path for holder in holders))
    errors = [end for end in ends if isinstance(end, Exception)]
    expect(not errors, f"of eight mounts at once {len(errors)} failed: {errors[:1]}")
    expect_equal(len(set(ends)), 1, "different paths for eight holders at once")
    for holder in holders[1:]:
        rig.driver.unmount(name, holder)
    expect_equal(rig.driver.path(name), ends[0], "the path while one of eight holders is left")
    rig.driver.unmount(name, holders[0])
    expect(rig.driver.path(name) is None, "the volume is mounted after all holders let go")


@VOLUME.check()
def holders_that_come_and_go_disturb_nobody(rig: VolumeRig) -> None:
    """While eight holders mount and unmount, each on its own, the one that stays keeps its mount."""
    name, stays = rig.create().name, rig.holder()
    where = rig.mount(name, stays).path

    def comes_and_goes(holder: str) -> Callable[[], None]:
        def run() -> None:
            for _ in range(3):
                expect_equal(rig.mount(name, holder).path, where, "the path of a holder beside others")
                rig.driver.unmount(name, holder)

        return run

    errors = [end for end in rig.together(*(comes_and_goes(rig.holder()) for _ in range(8))) if end is not None]
    expect(not errors, f"of eight holders that come and go {len(errors)} met errors: {errors[:1]}")
    expect_equal(rig.driver.path(name), where, "the path of the holder that stays")
    rig.driver.unmount(name, stays)
    expect(rig.driver.path(name) is None, "the volume is mounted after the holder that stayed let go")


@VOLUME.check()
def eight_holders_that_let_go_at_once_unmount(rig: VolumeRig) -> None:
    """Whoever of several that let go at the same moment is the last one unmounts and detaches."""
    name, holders = rig.create().name, [rig.holder() for _ in range(8)]
    for holder in holders:
        rig.mount(name, holder)
    ends = rig.together(*(lambda holder=holder: rig.driver.unmount(name, holder) for holder in holders))
    errors = [end for end in ends if end is not None]
    expect(not errors, f"of eight unmounts at once {len(errors)} failed: {errors[:1]}")
    expect(rig.driver.path(name) is None, "the volume is mounted after all holders let go")
    left = [each.instance_id for each in rig.driver.get(name).attachments]
    expect(rig.driver.instance_id() not in left, "the volume is attached here after all holders let go")


def _mount(rig: VolumeRig, name: str) -> Path | None:
    return rig.mount(name, SHELL_HOLDER).path


@VOLUME.check()
def a_volume_is_removed_or_mounted_but_not_both(rig: VolumeRig) -> None:
    """Of a ``mount`` and a ``remove`` at the same moment one succeeds, and what it did holds."""
    for _ in range(3):
        name = rig.create().name
        mounted, removed = rig.together(partial(_mount, rig, name), partial(rig.driver.remove, name))
        if isinstance(removed, Exception):
            expect(not isinstance(mounted, Exception), f"neither succeeded: {mounted}; {removed}")
            expect_equal(rig.driver.path(name), mounted, "the path of the volume, whose removal was refused")
            continue
        expect(isinstance(mounted, Exception), "the volume was removed, and mounted as well")
        try:
            rig.driver.path(name)
        except NotFound:
            continue
        expect(False, "the volume was removed, and has a path or says that it is there")
