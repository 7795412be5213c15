"""A process that is killed at any of its steps: the next one ends as if it were the first."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import rexray_driver_xtremio
from rexray.types import VolumeId
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_child import Call, run
from xtremio_parts import GIB, HERE, THERE, driver, environ, hosts, maps, named, spec

CREATE = ("xtremio-create-asking", "xtremio-create-asked")
COPY = ("xtremio-copy-asking", "xtremio-copy-asked", "xtremio-copy-found")
GROW = ("xtremio-grow-asking", "xtremio-grown")
RENAME = ("xtremio-rename-asking", "xtremio-renamed")
DELETE = ("xtremio-gone-asking", "xtremio-gone-asked", "xtremio-delete-asking")
REGISTER = (
    "xtremio-group-asking",
    "xtremio-group-asked",
    "xtremio-initiator-asking",
    "xtremio-initiator-asked",
)
ATTACH = ("xtremio-attach-asking", "xtremio-attach-asked")
DETACH = ("xtremio-detach-asking", "xtremio-detach-asked")
ROLLBACK = ("xtremio-rollback-asking", "xtremio-rollback-asked")


@dataclass(frozen=True, kw_only=True)
class Operation:
    prepare: Callable[[XtremIoStorage, Xms], Call]
    points: tuple[str, ...]
    """Where it is killed."""
    names: list[str]
    """The volumes and snapshots that there are after it, with their sizes in GiB."""
    mapped: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ("4.2.0-30", "3.0.1-11")


def data(storage: XtremIoStorage) -> VolumeId:
    return storage.create(spec("data", 1)).id


def creating(storage: XtremIoStorage, xms: Xms) -> Call:
    return "create", {"name": "data", "size_bytes": GIB}


def cloning(storage: XtremIoStorage, xms: Xms) -> Call:
    return "create", {"name": "clone", "source_volume": data(storage)}


def cloning_larger(storage: XtremIoStorage, xms: Xms) -> Call:
    return "create", {"name": "clone", "size_bytes": 3 * GIB, "source_volume": data(storage)}


def snapping(storage: XtremIoStorage, xms: Xms) -> Call:
    return "create_snapshot", {"volume_id": data(storage), "name": "kept"}


def snapping_group(storage: XtremIoStorage, xms: Xms) -> Call:
    return "create_snapshot_group", {"name": "both", "volume_ids": [data(storage)]}


def removing_group(storage: XtremIoStorage, xms: Xms) -> Call:
    xms.switches.empty_sets = "kept"
    volumes = [data(storage), storage.create(spec("data2", 1)).id]
    return "remove_snapshot_group", {"group_id": storage.create_snapshot_group("both", volumes).id}


def growing(storage: XtremIoStorage, xms: Xms) -> Call:
    return "expand", {"volume_id": data(storage), "size_bytes": 3 * GIB}


def removing(storage: XtremIoStorage, xms: Xms) -> Call:
    return "remove", {"volume_id": data(storage)}


def attaching(storage: XtremIoStorage, xms: Xms) -> Call:
    return "attach", {"volume_id": data(storage), "instance_id": HERE}


def taking(storage: XtremIoStorage, xms: Xms) -> Call:
    volume = data(storage)
    storage.attach(volume, THERE)
    return "attach", {"volume_id": volume, "instance_id": HERE, "force": True}


def detaching(storage: XtremIoStorage, xms: Xms) -> Call:
    volume = data(storage)
    storage.attach(volume, HERE)
    return "detach", {"volume_id": volume, "instance_id": HERE}


def rolling_back(storage: XtremIoStorage, xms: Xms) -> Call:
    volume = data(storage)
    return "rollback", {"volume_id": volume, "snapshot_id": storage.create_snapshot(volume, "kept").id}


V2 = ("4.2.0-30",)
V1 = ("3.0.1-11",)
BOTH = ["clone 1", "data 1"]
LARGER = ["clone 3", "data 1"]
KEPT = ["data 1", "kept.snap 1"]
MINE = (("data", HERE),)

OPERATIONS = {
    "create": Operation(prepare=creating, points=CREATE, names=["data 1"]),
    "clone": Operation(prepare=cloning, points=COPY + RENAME, names=BOTH, versions=V2),
    "old clone": Operation(prepare=cloning, points=COPY, names=BOTH, versions=V1),
    "larger clone": Operation(
        prepare=cloning_larger, points=(*COPY, *GROW, "xtremio-copy-grown", *RENAME), names=LARGER
    ),
    "snapshot": Operation(prepare=snapping, points=COPY + RENAME, names=KEPT, versions=V2),
    "old snapshot": Operation(prepare=snapping, points=COPY, names=KEPT, versions=V1),
    "group": Operation(prepare=snapping_group, points=COPY[:2], names=["data 1", "data.SUFFIX 1"], versions=V2),
    "remove a group": Operation(
        prepare=removing_group,
        points=(*DELETE, "xtremio-group-member-deleted"),
        names=["data 1", "data2 1"],
        versions=V2,
    ),
    "grow": Operation(prepare=growing, points=GROW, names=["data 3"]),
    "remove": Operation(prepare=removing, points=DELETE, names=[]),
    "attach": Operation(prepare=attaching, points=REGISTER + ATTACH, names=["data 1"], mapped=MINE),
    "attach by force": Operation(prepare=taking, points=ATTACH + DETACH, names=["data 1"], mapped=MINE),
    "detach": Operation(prepare=detaching, points=DETACH, names=["data 1"]),
    "roll back": Operation(prepare=rolling_back, points=ROLLBACK, names=KEPT, versions=V2),
}


def cases() -> Iterator[tuple[str, str, str]]:
    for name, operation in OPERATIONS.items():
        for version in operation.versions:
            for point in operation.points:
                yield name, version, point


@pytest.mark.parametrize(("name", "version", "point"), list(cases()))
def test_after_a_kill_the_next_try_ends_as_if_it_were_the_first(name: str, version: str, point: str) -> None:
    operation = OPERATIONS[name]
    with Xms(version=version) as xms:
        storage = driver(xms)
        call = operation.prepare(storage, xms)
        variables = environ(xms)
        assert run(variables, call, point) == -signal.SIGKILL
        for _ in range(2):
            assert run(variables, call) == 0
            assert seen(xms) == operation.names
            assert maps(xms) == list(operation.mapped)
            assert {address for address, _ in hosts(xms)} <= {HERE, THERE}
            assert len(xms.cluster().sets) <= 1


def test_every_fault_point_of_the_storage_driver_is_swept() -> None:
    folder = Path(rexray_driver_xtremio.__file__).parent
    there = {
        found
        for file in ("base", "copying", "making", "snapshots", "rollback", "registering", "mapping", "deleting")
        for found in re.findall(r'faults\.point\("([^"]+)"\)', (folder / f"{file}.py").read_text())
    }
    assert there == {point for _, _, point in cases()}


def seen(xms: Xms) -> list[str]:
    """The names of what there is, and its sizes; what the array has named has a word for its ending."""
    sizes = {str(volume["name"]): int(volume["vol-size"]) >> 20 for volume in xms.volumes()}
    return [f"{re.sub(r'[.](?!snap)[a-z0-9]{11}$', '.SUFFIX', name)} {sizes[name]}" for name in named(xms)]
