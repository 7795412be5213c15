"""Places with odd names, links, files in the way, and filesystems that hang."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from rexray.errors import Busy, RexrayError, TimedOut
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.suites import OS

_DATA = b"what was written before\n" * 64
_NAMES = {
    "a blank": "a b",
    "blanks at both ends": " a ",
    "a line's end": "a\nb",
    "a tab": "a\tb",
    "a backslash": "a\\b\\040",
    "quotes": "a\"'b",
    "a comma and an equals sign": "a,ro=b",
    "a hash": "#a",
    "a dash in front": "-o",
    "letters of many scripts": "ä-ü-ñ-漢字-עברית-🎉",
    "the longest name": "x" * 255,
    "bytes that are no text": os.fsdecode(b"a\xff\xfeb"),
}


def _use(rig: OSRig, target: Path, what: str) -> None:
    _, target = rig.mounted(target)
    expect(rig.driver.mounted(target), f"mounted says no of a path with {what}")
    found = [point.path for point in rig.driver.mounts(target=target)]
    expect_equal(found, [target], f"the mounts at a path with {what}")
    expect_equal(rig.count(target), 1, f"mounts at a path with {what} in the list of all")
    rig.files.write(target / "file", _DATA)
    expect_data(rig.files.read(target / "file"), _DATA, f"what a file holds at a path with {what}")
    rig.driver.remount(target, read_only=True)
    rig.driver.filesystem_stats(target)
    rig.driver.unmount(target)
    expect(not rig.driver.mounted(target), f"mounted says yes of a path with {what} after it was unmounted")


@OS.check()
def targets_with_odd_names_are_places_as_any(rig: OSRig) -> None:
    """Whatever a file's name may be a target's may be: blanks, line ends, quotes, all of Unicode and no text at all."""
    for what, name in _NAMES.items():
        _use(rig, rig.path(name), what)


@OS.check()
def directories_with_odd_names_are_bound_as_any(rig: OSRig) -> None:
    """The same holds for what is bound, and for where."""
    _, outer = rig.mounted()
    for what, name in _NAMES.items():
        if len(name) > 200:
            continue
        target = rig.path(f"{name}~")
        rig.driver.bind(outer, target)
        expect_equal([point.path for point in rig.driver.mounts(target=target)], [target], f"mounts at {what}")
        again = rig.path()
        rig.driver.bind(target, again)
        expect(rig.driver.mounted(again), f"a directory with {what} in its name was not bound")
        rig.driver.unmount(again)
        rig.driver.unmount(target)


@OS.check()
def errors_about_odd_names_are_one_line(rig: OSRig) -> None:
    """A line's end in a path breaks no error's line."""
    target = rig.path("a\nb")
    steps: dict[str, Callable[[], object]] = {
        "mounting a blank device": lambda: rig.driver.mount(rig.blank(), target),
        "remounting": lambda: rig.driver.remount(target, read_only=True),
        "trimming": lambda: rig.driver.trim(target),
        "filesystem_stats": lambda: rig.driver.filesystem_stats(target),
    }
    for what, step in steps.items():
        with expect_raises(RexrayError, what=f"{what}, at a path with a line's end, where nothing is mounted"):
            step()


@OS.check()
def a_relative_target_is_refused_or_right(rig: OSRig) -> None:
    """A relative path is an error, or the place that it is for this process; it is never another one."""
    target = rig.path()
    _expect_refused_or_right(rig, Path(os.path.relpath(target)), target)


@OS.check()
def a_target_with_dots_is_refused_or_right(rig: OSRig) -> None:
    """``..`` in a path is an error, or leads to where the kernel would be led; it is never another place."""
    rig.path("real", "deep").mkdir(parents=True)
    rig.path("link").symlink_to(rig.path("real", "deep"))
    for spelt, target in (
        (rig.folder / "real" / ".." / "m", rig.path("m")),
        (rig.folder / "link" / ".." / "m", rig.path("real", "m")),
    ):
        _expect_refused_or_right(rig, spelt, target)


def _expect_refused_or_right(rig: OSRig, spelt: Path, target: Path) -> None:
    device = rig.formatted()
    before = {point.path for point in rig.driver.mounts()}
    try:
        rig.driver.mount(device, spelt)
    except RexrayError:
        new = {point.path for point in rig.driver.mounts()} - before
        expect_equal(new, set(), f"what was mounted although {str(spelt)!r} was refused")
        return
    new = {point.path for point in rig.driver.mounts()} - before
    expect_equal(new, {target}, f"what was mounted for {str(spelt)!r}")
    expect(rig.driver.mounted(spelt), f"mounted says no of {str(spelt)!r}, where a device was mounted")
    rig.driver.unmount(spelt)
    expect(not rig.driver.mounted(target), f"{target} is still mounted, after {str(spelt)!r} was unmounted")


@OS.check()
def a_target_in_a_folder_that_is_a_link_is_where_the_link_leads(rig: OSRig) -> None:
    """The folders that a target is in may be links: both spellings are the same place."""
    rig.path("real").mkdir()
    rig.path("link").symlink_to(rig.path("real"))
    spelt, target = rig.path("link", "m"), rig.path("real", "m")
    device, _ = rig.mounted(spelt)
    for path in (spelt, target):
        expect(rig.driver.mounted(path), f"mounted says no of {path}")
    rig.driver.mount(device, target)
    expect_equal(rig.count(target), 1, f"mounts at {target}, after it was mounted by both spellings")
    rig.driver.unmount(target)
    expect(not rig.driver.mounted(spelt), f"mounted says yes of {spelt}, after {target} was unmounted")


@OS.check()
def a_target_that_is_a_link_is_refused(rig: OSRig) -> None:
    """A link in the target's place would lead a mount to where nobody wanted it: an error, and nothing is mounted."""
    device, folder, link = rig.formatted(), rig.path("folder"), rig.path("link")
    folder.mkdir()
    link.symlink_to(folder)
    with expect_raises(RexrayError, what="mounting at a symbolic link") as caught:
        rig.driver.mount(device, link)
    expect_named(caught, link, "mounting at a symbolic link")
    _, source = rig.mounted()
    with expect_raises(RexrayError, what="binding at a symbolic link"):
        rig.driver.bind(source, link)
    expect(not rig.driver.mounted(folder), "something was mounted where the link leads")
    expect(link.is_symlink(), "the link is no link any more")


@OS.check()
def unmount_of_a_link_leaves_what_it_leads_to(rig: OSRig) -> None:
    """A link to a mount is no mount: nothing is mounted at exactly that path."""
    _, target = rig.mounted()
    link = rig.path("link")
    link.symlink_to(target)
    expect(not rig.driver.mounted(link), "mounted says yes of a symbolic link to a mount")
    with contextlib.suppress(RexrayError):
        rig.driver.unmount(link)
    expect(rig.driver.mounted(target), f"{target} was unmounted by a symbolic link to it")


@OS.check()
def a_target_that_is_a_file_is_refused(rig: OSRig) -> None:
    """A filesystem or a directory cannot be at a file's place: an error, and the file keeps what it holds."""
    file = rig.path("file")
    file.write_bytes(_DATA)
    _, source = rig.mounted()
    steps: dict[str, Callable[[], object]] = {
        "mounting a device at a file": lambda: rig.driver.mount(rig.formatted(), file),
        "binding a directory at a file": lambda: rig.driver.bind(source, file),
    }
    for what, step in steps.items():
        with expect_raises(RexrayError, what=what) as caught:
            step()
        expect_named(caught, file, what)
        expect(not rig.driver.mounted(file), f"{what}: something is mounted there")
    expect_data(file.read_bytes(), _DATA, "what the file holds")


@OS.check()
def what_is_in_the_target_is_there_again(rig: OSRig) -> None:
    """Files in the folder that is mounted at are hidden by the mount, and not lost."""
    target = rig.path()
    target.mkdir()
    (target / "file").write_bytes(_DATA)
    rig.mounted(target)
    rig.driver.unmount(target)
    expect_data((target / "file").read_bytes(), _DATA, "what a file holds in the folder that was mounted at")


@OS.check()
def a_filesystem_that_hangs_is_given_up(rig: OSRig) -> None:
    """Every method has a deadline of its own, whatever the kernel does: ``TimedOut``, or ``Busy`` from then on."""
    what = "filesystem_stats of a filesystem that hangs"
    with rig.hung() as (driver, target):
        for _ in range(2):
            with rig.at_most(rig.answer, what), expect_raises(TimedOut, Busy, what=what) as caught:
                driver.filesystem_stats(target)
            expect_named(caught, target, what)


@OS.check()
def a_filesystem_that_hangs_is_listed_at_once(rig: OSRig) -> None:
    """To list mounts touches no mounted filesystem: one that hangs is listed, and holds up nobody."""
    with rig.hung() as (driver, target), rig.at_most(0.0, "looking at the mounts while a filesystem hangs"):
        expect(driver.mounted(target), f"mounted says no of {target}, whose filesystem hangs")
        for found in (driver.mounts(target=target), driver.mounts()):
            paths = [point.path for point in found]
            expect_equal(paths.count(target), 1, f"mounts at {target}, whose filesystem hangs")
