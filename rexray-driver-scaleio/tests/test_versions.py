"""The driver does its work with every version of the gateway, and however what is not known for sure may be."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from gateway_parts import Gateway, Switches
from rexray.errors import RexrayError, Unsupported
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import GIB, OTHER, WEB, holders, names_in, read, refused, spec, storage, timeless, write

VERSIONS = ["2.0", "2.6", "3.0", "3.5", "4.0", "4.5", "5.0"]
SETTINGS: dict[str, list[Any]] = {
    "token_idle_seconds": [600, 1],
    "token_life_seconds": [28800, 1],
    "expired_status": [401, 403],
    "bearer": [False, True],
    "version_needs_login": [True, False],
    "mapped_twice_code": [None, 81, 4037],
    "not_mapped_code": [None, 84, 4039],
    "not_found_code": [79, 78],
    "removal_in_progress": [0, 1],
    "errors_in_details": [False, True],
    "empty_object": [False, True],
    "statistics_misspelt": [False, True],
    "rounds_up": [True, False],
    "overwrite_supported": [None, True, False],
    "overwrite_of_mapped": [True, False],
    "unmap_of_none_refused": [True, False],
    "orphans": ["adopted", "dangling"],
    "snapshots_per_vtree": [None, 8],
    "volumes_per_sdc": [8192, 1],
    "over_allocation": [10, 1],
    "get_by_name": [True, False],
    "query_id_by_key": [True, False],
}
"""Both settings of every switch, the first one as a gateway is by default."""


def live(driver: ScaleIoStorage, gateway: Gateway) -> None:
    """Everything a volume goes through, with every call twice."""
    system = gateway.system_id
    made = driver.create(spec("data", 9))
    assert driver.create(spec("data", 9)).id == made.id
    assert made.size_bytes == 16 * GIB
    write(gateway, made.id, b"first")
    assert [volume.id for volume in driver.volumes_named("data")] == [made.id]
    assert list(driver.volumes_named("nothing")) == []
    assert driver.attach(made.id, WEB) == driver.attach(made.id, WEB)
    with pytest.raises(RexrayError, match="attached to web"):
        driver.attach(made.id, OTHER)
    driver.attach(made.id, OTHER, force=True)
    assert holders(gateway, made.id) == [OTHER]
    with pytest.raises(RexrayError, match="attached to"):
        driver.remove(made.id)
    for whom in (WEB, OTHER, OTHER, None, None):
        driver.detach(made.id, whom)
    assert holders(gateway, made.id) == []
    for _ in range(2):
        assert driver.expand(made.id, 24 * GIB).size_bytes == 24 * GIB
    taken = driver.create_snapshot(made.id, "kept")
    assert timeless(driver.create_snapshot(made.id, "kept")) == timeless(taken)
    write(gateway, made.id, b"later")
    clone = driver.create(spec("clone", 32, source_snapshot=taken.id))
    assert driver.create(spec("clone", 32, source_snapshot=taken.id)).id == clone.id
    assert read(gateway, clone.id, 5) == b"first"
    group = driver.create_snapshot_group("group", [made.id, clone.id])
    assert driver.create_snapshot_group("group", [made.id, clone.id]).id == group.id
    gateway.clock.advance(60)
    assert driver.modify(made.id, {"rmcache": "true"}).fields["useRmcache"] == "true"
    assert driver.capacity(system).available_bytes > 0
    assert not driver.health(made.id).abnormal
    for _ in range(2):
        driver.remove_snapshot_group(group.id)
        driver.remove_snapshot(taken.id)
        driver.remove(made.id)
    assert names_in(gateway) == ["clone"]
    assert read(gateway, clone.id, 5) == b"first"
    driver.remove(clone.id)
    assert gateway.volumes() == []


def started(version: str, switches: Switches) -> Gateway:
    gateway = Gateway(version=version, switches=switches)
    gateway.add_sdc(WEB, "10.0.0.11", name="web")
    gateway.add_sdc(OTHER, "10.0.0.12")
    return gateway


def test_both_settings_of_every_switch_are_proven_here() -> None:
    assert set(SETTINGS) == {field.name for field in fields(Switches)}
    assert all(len(set(settings)) >= 2 for settings in SETTINGS.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_volume_lives_with_every_version(version: str) -> None:
    with started(version, Switches()) as gateway:
        live(storage(gateway), gateway)


@pytest.mark.parametrize(
    ("name", "setting"), [(name, setting) for name, settings in SETTINGS.items() for setting in settings]
)
@pytest.mark.parametrize("version", ["2.6", "3.5", "4.5"])
def test_a_volume_lives_with_either_setting_of_every_switch(version: str, name: str, setting: Any) -> None:
    if (name, setting, version < "4") == ("bearer", True, True):
        version = "4.0"  # which is the first that has it
    switches = Switches(**{name: setting})
    with started(version, switches) as gateway:
        live(storage(gateway), gateway)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rollback_is_done_or_said_to_be_impossible(version: str) -> None:
    with started(version, Switches()) as gateway:
        driver = storage(gateway)
        made = driver.create(spec("data"))
        write(gateway, made.id, b"first")
        taken = driver.create_snapshot(made.id, "kept")
        write(gateway, made.id, b"later")
        if version < "3":
            refused(Unsupported, "make a new volume of the snapshot", lambda: driver.rollback(made.id, taken.id))
        else:
            driver.rollback(made.id, taken.id)
        assert read(gateway, made.id, 5) == (b"later" if version < "3" else b"first")


def test_a_version_of_the_settings_is_believed_and_not_asked_for() -> None:
    with started("3.5", Switches()) as gateway:
        driver = storage(gateway, SCALEIO_VERSION="2.6")
        made = driver.create(spec("data"))
        refused(Unsupported, "version 3", lambda: driver.attach(made.id, WEB, read_only=True))
        assert not any(call.path.endswith("version") for call in gateway.calls)


def test_a_gateway_that_does_not_tell_its_version_has_it_set() -> None:
    with started("3.5", Switches()) as gateway:
        made = storage(gateway).create(spec("data"))
        gateway.refuse("GET", "version", status=404, code=0, message="No", times=None)
        with pytest.raises(RexrayError, match="version of the gateway"):
            storage(gateway).attach(made.id, WEB)
        storage(gateway, SCALEIO_VERSION="3.5").attach(made.id, WEB)
        assert holders(gateway, made.id) == [WEB]
