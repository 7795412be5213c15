"""Volumes of the driver ``scaleio`` are made, found, listed and removed, through HTTPS to a simulated gateway."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

import pytest

from gateway_parts import Gateway
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfCapacity, OutOfRange, SettingsError
from rexray.settings import Sources
from rexray.types import AttachmentState, SnapshotId, VolumeId, VolumeSpec
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import GIB, NO_VOLUME, OTHER, WEB, environ, names_in, read, refused, spec, storage, timeless, write


def test_a_volume_is_made_and_told_as_the_array_has_it(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data", 16))
    raw = gateway.volume("data")
    assert raw is not None
    assert (raw["id"], raw["sizeInKb"], raw["volumeType"]) == (made.id, 16 << 20, "ThinProvisioned")
    assert (made.name, made.size_bytes, made.type, made.zone) == ("data", 16 * GIB, "pool-1", gateway.system_id)
    assert (made.status, made.state, made.attachments) == ("available", AttachmentState.AVAILABLE, ())
    seen = driver.volume(made.id)
    assert timeless(seen) == timeless(made)
    assert seen.created is not None
    assert seen.created.timestamp() == raw["creationTime"]
    assert list(driver.volumes()) == [seen]
    assert list(driver.volumes_named("data")) == [seen]


@pytest.mark.parametrize(("gib", "gets"), [(1, 8), (8, 8), (9, 16), (0, 16), (24, 24)])
def test_sizes_are_whole_steps_and_what_is_made_says_so(
    driver: ScaleIoStorage, gateway: Gateway, gib: int, gets: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = driver.create(spec("data", gib))
    assert made.size_bytes == driver.volume(made.id).size_bytes == gets * GIB
    assert ("multiples of 8 GiB" in caplog.text) == (gib not in (0, gets))


def test_a_size_beyond_the_limit_makes_nothing(driver: ScaleIoStorage, gateway: Gateway) -> None:
    refused(OutOfRange, "'data'.*8 GiB.*limit", lambda: driver.create(spec("data", 1, limit_bytes=2 * GIB)))
    assert names_in(gateway) == []
    assert driver.create(spec("data", 1, limit_bytes=8 * GIB)).size_bytes == 8 * GIB


def test_creating_twice_is_creating_once(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data"))
    assert timeless(driver.create(spec("data"))) == timeless(made)
    assert timeless(driver.create(spec("data", 0))) == timeless(made)
    assert timeless(driver.create(spec("data", 3))) == timeless(made)
    assert timeless(storage(gateway).create(spec("data", type="pool-1", options={"provisioning": "thin"}))) == timeless(
        made
    )
    assert names_in(gateway) == ["data"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (spec("data", 16), "size in GiB 8, and was asked for with 16"),
        (spec("data", options={"provisioning": "thick"}), "ThinProvisioned"),
        (spec("data", options={"rmcache": "true"}), "read cache false, and was asked for with true"),
        (spec("data", type="pool-2"), "storage pool"),
        (spec("data", 0, limit_bytes=1), "limit"),
    ],
)
def test_a_volume_that_is_otherwise_is_not_the_same(
    driver: ScaleIoStorage, gateway: Gateway, other: VolumeSpec, said: str
) -> None:
    gateway.add_pool("pool-2", gateway.domain_id)
    made = driver.create(spec("data", type="pool-1"))
    kind = OutOfRange if other.limit_bytes else AlreadyExists
    before = gateway.volume(made.id)
    refused(kind, said, lambda: storage(gateway, GOSCALEIO_STORAGEPOOL="pool-1").create(other))
    assert gateway.volume(made.id) == before


def test_options_reach_the_array(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data", options={"provisioning": "thick", "rmcache": "true"}))
    raw = gateway.volume("data")
    assert raw is not None
    assert (raw["volumeType"], raw["useRmcache"]) == ("ThickProvisioned", True)
    assert made.fields["useRmcache"] == "true"
    storage(gateway, SCALEIO_THINORTHICK="ThickProvisioned").create(spec("thick"))
    thick = gateway.volume("thick")
    assert thick is not None
    assert thick["volumeType"] == "ThickProvisioned"
    for options in ({"provisioning": "fat"}, {"rmcache": "maybe"}):
        key = next(iter(options))
        refused(InvalidRequest, f"option {key}", partial(driver.create, spec("bad", options=options)))
    refused(InvalidRequest, r"scaleio\.iopsLimit", lambda: driver.create(spec("bad", iops=100)))
    refused(InvalidRequest, "zone 'z' does not exist: there is system-1", lambda: driver.create(spec("bad", zone="z")))
    for zone in (gateway.system_id, gateway.system_name):
        assert driver.create(spec("data", zone=zone, options={"provisioning": "thick"})).id == made.id


@pytest.mark.parametrize("name", ["x" * 31, "y" * 60, "two words", "ends.snap", "größer"])
def test_any_name_is_found_again_and_is_one_volume(driver: ScaleIoStorage, gateway: Gateway, name: str) -> None:
    made = driver.create(spec(name))
    assert made.name == name
    assert driver.create(spec(name)).id == made.id
    assert [volume.id for volume in storage(gateway).volumes_named(name)] == [made.id]
    assert [(volume.id, volume.name) for volume in driver.volumes_named(name)] == [(made.id, name)]
    assert list(driver.volumes_named(name[:-1])) == []
    assert len(names_in(gateway)) == 1


def test_names_that_the_array_would_have_cut_alike_are_two_volumes(driver: ScaleIoStorage, gateway: Gateway) -> None:
    one, two = (driver.create(spec("long-" * 8 + end)) for end in "ab")
    write(gateway, one.id, b"one")
    write(gateway, two.id, b"two")
    driver.remove(one.id)
    assert read(gateway, two.id, 3) == b"two"


def test_a_volume_that_others_made_is_one_and_a_nameless_one_too(driver: ScaleIoStorage, gateway: Gateway) -> None:
    named, nameless = gateway.add_volume("kept.snap"), gateway.add_volume(None)
    assert {volume.id: volume.name for volume in driver.volumes()} == {named: "kept.snap", nameless: ""}
    assert [volume.id for volume in driver.volumes_named("kept.snap")] == [named]
    driver.remove(VolumeId(nameless))
    assert names_in(gateway) == ["kept.snap"]


def test_a_removed_volume_is_gone_and_removing_it_again_is_success(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made, kept = driver.create(spec("data")), driver.create(spec("kept"))
    driver.remove(made.id)
    driver.remove(made.id)
    driver.remove(NO_VOLUME)
    for word in ("", "data", "kept", f"{kept.id}/action/removeVolume", "zz" * 8):
        driver.remove(VolumeId(word))
    assert names_in(gateway) == ["kept"]
    for word in (made.id, NO_VOLUME, "kept"):
        refused(NotFound, f"volume '{word}' does not exist", partial(driver.volume, VolumeId(word)))
    assert list(driver.volumes_named("data")) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_volume_that_is_attached_is_not_removed(driver: ScaleIoStorage, gateway: Gateway, force: bool) -> None:
    made = driver.create(spec("data"))
    write(gateway, made.id, b"precious")
    driver.attach(made.id, WEB)
    refused(InUse, rf"'data' \({made.id}\) is attached to web", lambda: driver.remove(made.id, force=force))
    assert read(gateway, made.id, 8) == b"precious"
    driver.detach(made.id)
    driver.remove(made.id)


@pytest.mark.parametrize("force", [False, True])
def test_a_volume_of_every_host_is_not_removed_nor_shown_as_free(
    driver: ScaleIoStorage, gateway: Gateway, force: bool
) -> None:
    made = driver.create(spec("data"))
    gateway.store.volumes[made.id].to_all = "ReadWrite"
    refused(InUse, "attached to every SDC", lambda: driver.remove(made.id, force=force))
    seen = driver.volume(made.id)
    assert seen.status == "in use"
    assert seen.state is not AttachmentState.AVAILABLE


def test_an_attachment_that_comes_between_keeps_the_volume(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data"))
    delay = gateway.slow("POST", "removeVolume", 0.3)

    def attach_meanwhile() -> None:
        while not delay.used:
            time.sleep(0.005)
        storage(gateway).attach(made.id, OTHER)

    other = threading.Thread(target=attach_meanwhile)
    other.start()
    refused(InUse, r"'data'.*10\.0\.0\.12", lambda: driver.remove(made.id))
    other.join()
    assert gateway.volume(made.id) is not None


def test_ids_of_snapshots_and_volumes_are_not_taken_for_one_another(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data"))
    taken = driver.create_snapshot(made.id, "kept")
    as_volume, as_snapshot = VolumeId(taken.id), SnapshotId(made.id)
    refused(InvalidRequest, "remove it as a snapshot", lambda: driver.remove(as_volume))
    refused(InvalidRequest, "remove it as a volume", lambda: driver.remove_snapshot(as_snapshot))
    for call in (
        lambda: driver.volume(as_volume),
        lambda: driver.attach(as_volume, WEB),
        lambda: driver.attachments(as_volume),
        lambda: driver.expand(as_volume, 16 * GIB),
        lambda: driver.modify(as_volume, {"rmcache": "true"}),
        lambda: driver.health(as_volume),
        lambda: driver.create_snapshot(as_volume, "more"),
        lambda: driver.create_snapshot_group("more", [as_volume]),
        lambda: driver.create(spec("more", 0, source_volume=as_volume)),
        lambda: driver.rollback(as_volume, taken.id),
    ):
        refused(NotFound, "does not exist: that is the id of snapshot 'kept.snap'", call)
    for call in (
        lambda: driver.rollback(made.id, as_snapshot),
        lambda: driver.create(spec("more", 0, source_snapshot=as_snapshot)),
    ):
        refused(NotFound, "does not exist: that is the id of a volume", call)
    assert list(driver.snapshots(snapshot_id=as_snapshot)) == []
    assert driver.healths([as_volume]) == {}
    assert names_in(gateway) == ["data", "kept.snap"]


def test_capacity_is_of_the_pool_in_whole_steps(driver: ScaleIoStorage, gateway: Gateway) -> None:
    before = driver.capacity()
    assert before == driver.capacity(gateway.system_id)
    assert before.available_bytes % (8 * GIB) == 0
    assert before.available_bytes > 0
    driver.create(spec("data", 32, options={"provisioning": "thick"}))
    assert driver.capacity().available_bytes < before.available_bytes
    refused(InvalidRequest, "zone 'z' does not exist", lambda: driver.capacity("z"))
    assert driver.zones() == (gateway.system_id,)


def test_a_full_array_says_so_and_makes_nothing() -> None:
    with Gateway(pool_gib=16) as gateway:
        gateway.switches.over_allocation = 1
        driver = storage(gateway)
        driver.create(spec("data", 16))
        refused(OutOfCapacity, r"'more'.*\(code 300\).*another pool", lambda: driver.create(spec("more")))
        refused(OutOfRange, r"\(code 190\)", lambda: driver.create(spec("huge", 2 << 20)))
        assert names_in(gateway) == ["data"]


def test_a_volume_is_ill_where_its_host_or_the_cluster_is(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made, free = driver.create(spec("data")), driver.create(spec("free"))
    driver.attach(made.id, WEB)
    assert not driver.health(made.id).abnormal
    gateway.set_sdc(driver._array.sdc(WEB).id, connected=False)
    found = driver.healths([made.id, free.id, NO_VOLUME])
    assert {key: health.abnormal for key, health in found.items()} == {made.id: True, free.id: False}
    assert WEB in found[made.id].message
    refused(NotFound, NO_VOLUME, lambda: driver.health(NO_VOLUME))


def test_hosts_are_sdcs_by_their_guids(driver: ScaleIoStorage, gateway: Gateway) -> None:
    found = {instance.id: instance for instance in driver.instances()}
    assert {key: instance.name for key, instance in found.items()} == {WEB: "web", OTHER: "10.0.0.12"}
    assert {instance.zone for instance in found.values()} == {gateway.system_id}


def test_the_endpoint_may_end_with_api_or_not(gateway: Gateway) -> None:
    bare = gateway.url.removesuffix("/api")
    for endpoint in (bare, f"{bare}/", f"{bare}/api", f"{bare}/api/", bare.removeprefix("https://")):
        assert storage(gateway, GOSCALEIO_ENDPOINT=endpoint).zones() == (gateway.system_id,)


def test_the_seeds_variables_and_the_later_ones_say_the_same(gateway: Gateway) -> None:
    seeds = environ(gateway)
    later = {name.replace("GOSCALEIO_", "SCALEIO_"): value for name, value in seeds.items()}
    for words in (seeds, later):
        assert ScaleIoStorage.make(Sources(environ=words)).zones() == (gateway.system_id,)


@pytest.mark.parametrize("name", ["GOSCALEIO_ENDPOINT", "GOSCALEIO_USERNAME", "GOSCALEIO_PASSWORD"])
def test_a_missing_setting_is_named_before_anything_is_asked(gateway: Gateway, name: str) -> None:
    refused(SettingsError, rf"\${name}\) is missing", lambda: storage(gateway, **{name: ""}))
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCALEIO_GUID", "web"),
        ("SCALEIO_MAXVOLUMES", "-1"),
        ("SCALEIO_IOPSLIMIT", "-1"),
        ("SCALEIO_BANDWIDTHLIMIT", "-1"),
        ("SCALEIO_TIMEOUT", "0s"),
        ("SCALEIO_REMOVETIMEOUT", "0s"),
        ("SCALEIO_VERSION", "new"),
        ("SCALEIO_THINORTHICK", "fat"),
    ],
)
def test_a_setting_that_cannot_be_honoured_is_named(gateway: Gateway, name: str, value: str) -> None:
    said = f"(?i){name.replace('_', '.')}: "
    refused(SettingsError, said, lambda: storage(gateway, **{name: value}))


def test_a_guid_of_the_settings_is_this_host(gateway: Gateway) -> None:
    driver = storage(gateway, SCALEIO_GUID=WEB.lower())
    made = driver.create(spec("data"))
    driver.attach(made.id, WEB)
    assert driver.volume(made.id).state is AttachmentState.ATTACHED
    assert storage(gateway, SCALEIO_GUID=OTHER).volume(made.id).state is AttachmentState.UNAVAILABLE
