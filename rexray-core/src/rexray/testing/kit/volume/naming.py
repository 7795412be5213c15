"""What volumes may be called, and what they may not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rexray.errors import InvalidRequest, NotFound, RexrayError
from rexray.testing.kit.check import Failed, expect, expect_equal, expect_raises
from rexray.testing.kit.runs import long_name
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig


def _hostile(rig: VolumeRig) -> Iterator[str]:
    """Names that could lead somewhere else, and one that nothing bears."""
    own = rig.name()
    yield from ("", ".", "..", f"../{own}", f"{own}/x", f"{own}\0", f"{own}\n", f"{own}\ud800")


@VOLUME.check()
def create_refuses_hostile_names(rig: VolumeRig) -> None:
    """A name that is empty, leads elsewhere or does not show what it is, is ``InvalidRequest``."""
    for name in _hostile(rig):
        try:
            with expect_raises(InvalidRequest, what=f"creating a volume named {name!r}"):
                rig.driver.create(name, rig.options)
        except Failed:
            with contextlib.suppress(RexrayError):
                rig.driver.remove(name)
            raise


@VOLUME.check()
def a_hostile_name_is_an_error_to_every_verb(rig: VolumeRig) -> None:
    """Every verb that is given such a name says that it is none, or that there is no such volume, and does nothing."""
    driver = rig.driver
    for name in _hostile(rig):
        verbs: dict[str, Callable[[str], object]] = {
            "get": driver.get,
            "path": driver.path,
            "volume_id": driver.volume_id,
            "mount": rig.mount,
            "remove": driver.remove,
        }
        for verb, call in verbs.items():
            with expect_raises(InvalidRequest, NotFound, what=f"{verb} of {name!r}"):
                call(name)


@VOLUME.check()
def a_name_of_128_bytes_works(rig: VolumeRig) -> None:
    """A name may have 128 bytes, and two that differ in the last one are two volumes, whatever the platform's limit."""
    stem = rig.name()
    one, other = (rig.claim(long_name(stem, 127) + letter) for letter in "ab")
    ids = [rig.create(name).id for name in (one, other)]
    expect_equal(len(set(ids)), 2, "volumes of two names that differ in their 128th byte")
    for name, volume_id in zip((one, other), ids, strict=True):
        expect_equal(
            (rig.driver.get(name).id, rig.driver.get(name).name), (volume_id, name), f"what get({name!r}) found"
        )
        _mount_and_let_go(rig, name)


@VOLUME.check()
def a_unicode_name_works(rig: VolumeRig) -> None:
    """A name may be in any script."""
    name = rig.name("-größe-数据-данные-🚀")
    volume = rig.create(name)
    expect_equal(rig.driver.get(name).id, volume.id, f"the id that get returns of {name!r}")
    expect_equal([found.name for found in rig.driver.list() if found.id == volume.id], [name], "its name in the list")
    _mount_and_let_go(rig, name)


def _mount_and_let_go(rig: VolumeRig, name: str) -> None:
    holder = rig.holder()
    where = rig.mount(name, holder).path
    expect_equal(rig.driver.path(name), where, f"the path of {name!r} while it is mounted")
    rig.driver.unmount(name, holder)
    expect(rig.driver.path(name) is None, f"{name!r} has a path after its only holder let it go")
