"""A process that is killed at any fault point leaves what the next one puts right."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rexray_driver_scaleio
from gateway_parts import Gateway
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import GIB, OTHER, WEB, asked, die, do, done, holders, names_in, read, spec, storage, write

SOURCE = Path(rexray_driver_scaleio.__file__).parent
STORAGE = ("making", "changing", "attaching", "snapshots", "base", "storage")
POINTS = sorted(
    {point for name in STORAGE for point in re.findall(r'point\("(.+?)"\)', (SOURCE / f"{name}.py").read_text())}
)


@dataclass(frozen=True)
class Case:
    """A call that passes the points; ``data`` and ``kept`` in its parameters stand for their ids."""

    points: tuple[str, ...]
    method: str
    parameters: dict[str, Any]
    names: list[str]
    """What is on the array in the end."""
    held: list[str]
    """Who has ``data`` in the end."""
    attached: bool = False
    """Whether the other host has it before."""


ATTACH = ("scaleio-attach-asking", "scaleio-attach-asked")
DETACH = ("scaleio-detach-asking", "scaleio-detach-asked")
CLONE = ("scaleio-cloned", "scaleio-clone-grown")
BOTH = ["data", "kept.snap"]
CASES = {
    "create": Case(("scaleio-created",), "create", {"name": "new", "size_bytes": 8 * GIB}, [*BOTH, "new"], []),
    "clone": Case(
        CLONE, "create", {"name": "new", "size_bytes": 16 * GIB, "source_volume": "data"}, [*BOTH, "new"], []
    ),
    "restore": Case(
        CLONE, "create", {"name": "new", "size_bytes": 16 * GIB, "source_snapshot": "kept"}, [*BOTH, "new"], []
    ),
    "snapshot": Case(
        ("scaleio-snapshot-taken",), "create_snapshot", {"volume_id": "data", "name": "new"}, [*BOTH, "new.snap"], []
    ),
    "group": Case(
        ("scaleio-group-taken",),
        "create_snapshot_group",
        {"name": "new", "volume_ids": ["data"]},
        [*BOTH, "new-ID.snap"],
        [],
    ),
    "remove": Case(("scaleio-removing",), "remove", {"volume_id": "data"}, ["kept.snap"], []),
    "remove snapshot": Case(("scaleio-removing",), "remove_snapshot", {"snapshot_id": "kept"}, ["data"], []),
    "attach": Case(ATTACH, "attach", {"volume_id": "data", "instance_id": WEB}, BOTH, [WEB]),
    "attach by force": Case(
        (*ATTACH, *DETACH),
        "attach",
        {"volume_id": "data", "instance_id": WEB, "force": True},
        BOTH,
        [WEB],
        attached=True,
    ),
    "detach": Case(DETACH, "detach", {"volume_id": "data", "instance_id": OTHER}, BOTH, [], attached=True),
    "detach from all": Case(DETACH, "detach", {"volume_id": "data"}, BOTH, [], attached=True),
}
SWEEP = [(name, point) for name, case in CASES.items() for point in case.points]


def filled(gateway: Gateway, case: Case) -> tuple[ScaleIoStorage, dict[str, str], dict[str, Any]]:
    """A driver, the ids of what is there before the call, and the call's parameters with them."""
    driver = storage(gateway)
    volume = driver.create(spec("data"))
    write(gateway, volume.id, b"first")
    ids = {"data": str(volume.id), "kept": str(driver.create_snapshot(volume.id, "kept").id)}
    write(gateway, volume.id, b"later")
    if case.attached:
        driver.attach(volume.id, OTHER)
    parameters = {
        key: [ids[word] for word in value] if isinstance(value, list) else ids.get(value, value)
        for key, value in case.parameters.items()
        if key != "name"
    }
    return driver, ids, {**parameters, **{key: it for key, it in case.parameters.items() if key == "name"}}


def test_every_fault_point_is_swept() -> None:
    assert sorted({point for _, point in SWEEP}) == POINTS


@pytest.mark.parametrize(("name", "point"), SWEEP)
def test_after_a_crash_the_next_try_is_like_the_first(gateway: Gateway, name: str, point: str) -> None:
    case = CASES[name]
    driver, ids, parameters = filled(gateway, case)
    kept = {word: read(gateway, ids[word], 5) for word in ids}
    ended = die(gateway, point, case.method, parameters)
    assert ended.status == -signal.SIGKILL, ended.output
    assert len(holders(gateway, ids["data"])) <= 1
    for _ in range(2):
        do(driver, case.method, parameters)
        wanted = [word.replace("ID", ids["data"][-8:]) for word in case.names]
        assert names_in(gateway) == sorted(wanted)
        if "data" in wanted:
            assert holders(gateway, ids["data"]) == case.held
    for word, text in kept.items():
        if word in wanted or f"{word}.snap" in wanted:
            assert read(gateway, ids[word], 5) == text
    new = gateway.volume("new")
    if new is not None and case.points == CLONE:
        assert new["sizeInKb"] == 16 << 20
        assert read(gateway, new["id"], 5) == (b"later" if name == "clone" else b"first")
    assert asked(gateway)["POST /api/types/Volume/instances"] <= 4
    assert done(gateway, "snapshotVolumes") <= 2


def test_limits_that_a_crash_left_out_are_set_with_the_next_try(gateway: Gateway) -> None:
    limited = {"SCALEIO_IOPSLIMIT": "500"}
    volume = storage(gateway).create(spec("data"))
    ended = die(gateway, "scaleio-attach-asked", "attach", {"volume_id": volume.id, "instance_id": WEB}, **limited)
    assert ended.status == -signal.SIGKILL, ended.output
    assert storage(gateway).volume(volume.id).iops == 0
    storage(gateway, **limited).attach(volume.id, WEB)
    assert storage(gateway).volume(volume.id).iops == 500


def test_a_clone_that_was_killed_before_it_grew_is_not_another_sources(gateway: Gateway) -> None:
    driver = storage(gateway)
    one, two = (driver.create(spec(name)) for name in ("one", "two"))
    parameters = {"name": "new", "size_bytes": 16 * GIB, "source_volume": one.id}
    assert die(gateway, "scaleio-cloned", "create", parameters).status == -signal.SIGKILL
    with pytest.raises(Exception, match="asked for as made of"):
        driver.create(spec("new", 16, source_volume=two.id))
    raw = gateway.volume("new")
    assert raw is not None
    assert raw["sizeInKb"] == 8 << 20
    assert driver.create(spec("new", 16, source_volume=one.id)).size_bytes == 16 * GIB
