"""What the tests of the storage driver have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from rexray.errors import RexrayError
from rexray.settings import Sources
from rexray.types import InstanceId, Volume, VolumeId, VolumeSpec
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Call, Xms

GIB = 1 << 30
HERE = InstanceId("iqn.1993-08.org.debian:01:here")
THERE = InstanceId("iqn.1993-08.org.debian:01:there")
TARGET = "iqn.2008-05.com.xtremio:001e67939c34"
NOWHERE = VolumeId("0" * 32)
WIDTH = 64

T = TypeVar("T")
R = TypeVar("R")


def environ(xms: Xms, **more: str) -> dict[str, str]:
    """The variables of a driver that is on no host of its own."""
    return {
        "GOXTREMIO_ENDPOINT": xms.url,
        "GOXTREMIO_USERNAME": xms.username,
        "GOXTREMIO_PASSWORD": xms.password,
        "XTREMIO_CAFILE": str(xms.ca_file),
        "XTREMIO_BUSYTIMEOUT": "20s",
        "REXRAY_REMOTEMANAGEMENT": "true",
        **more,
    }


def driver(xms: Xms, **more: str) -> XtremIoStorage:
    return XtremIoStorage.make(Sources(environ=environ(xms, **more)))


def spec(name: str, gib: int = 0, **more: Any) -> VolumeSpec:
    return VolumeSpec(name=name, size_bytes=gib * GIB, **more)


def of(volume: Volume) -> Any:
    """What makes a spec one of a copy of that volume."""
    return {"source_volume": volume.id}


def named(xms: Xms) -> list[str]:
    """The names of all volumes and snapshots of the first cluster."""
    return sorted(str(volume["name"]) for volume in xms.volumes())


def maps(xms: Xms) -> list[tuple[str, str]]:
    """The mappings of the first cluster: the names of volumes and of initiator groups."""
    return sorted((entry.volume.name, entry.group.name) for entry in xms.cluster().maps)


def hosts(xms: Xms) -> list[tuple[str, str]]:
    """The initiators of the first cluster with their groups, and the groups that have none."""
    home = xms.cluster()
    found = [(entry.address, entry.group.name) for entry in home.initiators]
    return sorted([*found, *(("", group.name) for group in home.igs if not group.initiators)])


def changes(xms: Xms) -> list[str]:
    """The calls that were to change something, such as ``POST volumes``."""
    return [words(call) for call in xms.calls if call.method != "GET"]


def words(call: Call) -> str:
    return f"{call.method} {call.path.partition('/types/')[2].partition('/')[0]}"


def fails(kind: type[RexrayError], said: str, call: Callable[[], object]) -> str:
    """The one line of an error of exactly that kind."""
    with pytest.raises(RexrayError, match=said) as caught:
        call()
    assert type(caught.value) is kind, repr(caught.value)
    text = str(caught.value)
    assert "\n" not in text
    assert "Xtrem10" not in text
    return text


def at_once(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results of calls from many threads."""
    with ThreadPoolExecutor(WIDTH) as pool:
        return list(pool.map(function, items))


def outcome(call: Callable[[], R]) -> R | RexrayError:
    """What the call returns or raises."""
    try:
        return call()
    except RexrayError as error:
        return error


def after(xms: Xms, what: str, intrude: Callable[[], object], *, status: int | None = None) -> None:
    """Do that once, after the first such call and before its answer."""
    did: list[Call] = []

    def watch(call: Call) -> None:
        if words(call) == what and not did and status in (None, call.status):
            did.append(call)
            intrude()

    xms.on_call.append(watch)


def map_there(xms: Xms, name: str, group: str = THERE) -> None:
    """A host that nobody asked has the volume."""
    home = xms.cluster()
    with xms.store.lock:
        if home.igs.named(group) is None:
            xms.add_initiator_group(group)
            xms.add_initiator(group, group, group)
        volume, found = home.volumes.named(name), home.igs.named(group)
        assert volume is not None
        assert found is not None
        xms.store.map(home, volume, found, home.next_lun(found))


def swap(xms: Xms, name: str, other: str, aside: str = "aside") -> None:
    """Give the name of a volume to another one."""
    volumes = xms.cluster().volumes
    with xms.store.lock:
        first, second = volumes.named(name), volumes.named(other)
        assert first is not None
        assert second is not None
        volumes.rename(first, aside)
        volumes.rename(second, name)
