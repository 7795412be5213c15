"""Answers that are lost, requests that are dropped, gateways that are slow or down, and settings that lead nowhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from gateway_parts import Gateway
from rexray.errors import InvalidRequest, SettingsError, Unauthorized, Unavailable
from rexray.types import Volume
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import (
    GIB,
    OTHER,
    WEB,
    asked,
    holders,
    names_in,
    read,
    refused,
    spec,
    storage,
    timeless,
    together,
    write,
)


@dataclass(frozen=True)
class Mutation:
    """A call of the driver that makes a request which changes something."""

    request: str
    call: Callable[[ScaleIoStorage, Volume], Any]
    before: Callable[[ScaleIoStorage, Volume], Any] = lambda driver, volume: None


def group_of(driver: ScaleIoStorage, volume: Volume) -> Any:
    return driver.create_snapshot_group("group", [volume.id])


def restoring(driver: ScaleIoStorage, volume: Volume) -> Any:
    return driver.create(spec("new", 16, source_snapshot=driver.create_snapshot(volume.id, "kept").id))


def cloning(driver: ScaleIoStorage, volume: Volume) -> Any:
    return driver.create(spec("new", 16, source_volume=volume.id, options={"rmcache": "true"}))


def rolling_back(driver: ScaleIoStorage, volume: Volume) -> Any:
    return driver.rollback(volume.id, driver.create_snapshot(volume.id, "kept").id)


def attached(driver: ScaleIoStorage, volume: Volume) -> Any:
    return driver.attach(volume.id, OTHER)


MUTATIONS = {
    "create": Mutation("types/Volume/instances$", lambda driver, volume: driver.create(spec("new"))),
    "clone": Mutation("snapshotVolumes", cloning),
    "restore": Mutation("snapshotVolumes", restoring),
    "clone, growing": Mutation("setVolumeSize", cloning),
    "clone, caching": Mutation("setVolumeUseRmcache", cloning),
    "snapshot": Mutation("snapshotVolumes", lambda driver, volume: driver.create_snapshot(volume.id, "kept")),
    "group": Mutation("snapshotVolumes", group_of),
    "remove snapshot": Mutation(
        "removeVolume",
        lambda driver, volume: driver.remove_snapshot(driver.create_snapshot(volume.id, "kept").id),
    ),
    "remove group": Mutation(
        "removeVolume", lambda driver, volume: driver.remove_snapshot_group(group_of(driver, volume).id)
    ),
    "remove": Mutation("removeVolume", lambda driver, volume: driver.remove(volume.id)),
    "expand": Mutation("setVolumeSize", lambda driver, volume: driver.expand(volume.id, 16 * GIB)),
    "modify": Mutation("setVolumeUseRmcache", lambda driver, volume: driver.modify(volume.id, {"rmcache": "true"})),
    "limits": Mutation(
        "setMappedSdcLimits", lambda driver, volume: driver.modify(volume.id, {"iops": "100"}), attached
    ),
    "roll back": Mutation("overwriteVolumeContent", rolling_back),
    "attach": Mutation("addMappedSdc", lambda driver, volume: driver.attach(volume.id, WEB)),
    "attach by force": Mutation(
        "addMappedSdc", lambda driver, volume: driver.attach(volume.id, WEB, force=True), attached
    ),
    "take by force": Mutation(
        "removeMappedSdc", lambda driver, volume: driver.attach(volume.id, WEB, force=True), attached
    ),
    "detach": Mutation("removeMappedSdc", lambda driver, volume: driver.detach(volume.id, OTHER), attached),
    "detach from all": Mutation("removeMappedSdc", lambda driver, volume: driver.detach(volume.id), attached),
}


NOT_REPEATED = {
    ("overwriteVolumeContent", "lost"),
    ("overwriteVolumeContent", "dropped"),
    ("overwriteVolumeContent", "throttled"),
    ("removeMappedSdc", "dropped"),
}
"""What the driver leaves to who asked: it would do harm to a host that has got the volume meanwhile."""


def prepared(gateway: Gateway, mutation: Mutation) -> tuple[ScaleIoStorage, Volume]:
    driver = storage(gateway)
    volume = driver.create(spec("data"))
    write(gateway, volume.id, b"precious")
    mutation.before(driver, volume)
    return driver, volume


def seen(gateway: Gateway) -> list[tuple[Any, ...]]:
    """Everything on the array, but for what is new each time."""
    return sorted(
        (raw["name"], raw["sizeInKb"], raw["useRmcache"], holders(gateway, raw["id"]), read(gateway, raw["id"], 8))
        for raw in gateway.volumes()
    )


def test_every_request_that_changes_something_is_in_the_table() -> None:
    from gateway_volumes import ACTIONS

    named = {mutation.request for mutation in MUTATIONS.values()}
    assert {*ACTIONS, "snapshotVolumes", "types/Volume/instances$"} - {"setVolumeName"} == named


@pytest.mark.parametrize("kind", ["lost", "dropped", "throttled", "expired"])
@pytest.mark.parametrize("name", list(MUTATIONS))
def test_what_goes_wrong_on_the_way_changes_nothing_in_the_end(name: str, kind: str) -> None:
    mutation = MUTATIONS[name]
    ends = []
    for wrong in (False, True):
        with Gateway() as gateway:
            for guid, ip in ((WEB, "10.0.0.11"), (OTHER, "10.0.0.12")):
                gateway.add_sdc(guid, ip)
            driver, volume = prepared(gateway, mutation)
            fault = None
            if wrong and kind == "lost":
                fault = gateway.lose_answer("POST", mutation.request)
            elif wrong and kind == "dropped":
                fault = gateway.drop_before("POST", mutation.request)
            elif wrong and kind == "throttled":
                fault = gateway.throttle(retry_after="0", pattern=mutation.request)
            elif wrong:
                fault = gateway.refuse("POST", mutation.request, status=401, code=0, message="Unauthorized")
            try:
                mutation.call(driver, volume)
            except Unavailable:
                assert (mutation.request, kind) in NOT_REPEATED
                mutation.call(driver, volume)
            else:
                assert not wrong or (mutation.request, kind) not in NOT_REPEATED
            assert fault is None or fault.used == 1
            ends.append(seen(gateway))
    assert ends[0] == ends[1]
    assert all(state[-1] == b"precious" for state in ends[1] if state[0] != "new" or name.startswith("clone"))


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_answers_that_are_always_lost_end_in_an_error_and_the_next_try_puts_it_right(
    gateway: Gateway, name: str
) -> None:
    mutation = MUTATIONS[name]
    driver, volume = prepared(gateway, mutation)
    gateway.lose_answer("POST", mutation.request, times=None)
    try:
        mutation.call(driver, volume)
    except Unavailable as error:
        assert "\n" not in str(error)  # noqa: PT017 - where the effect can be seen otherwise, there is none
    gateway.clear_faults()
    mutation.call(driver, volume)
    names = names_in(gateway)
    assert len(names) == len(set(names)) <= 3


def test_a_lookup_that_is_lost_is_made_again(gateway: Gateway, driver: ScaleIoStorage) -> None:
    made = driver.create(spec("data"))
    for fault in (gateway.lose_answer, gateway.drop_before):
        fault("POST", "queryIdByKey")
        assert [volume.id for volume in driver.volumes_named("data")] == [made.id]


def test_a_creation_whose_answers_come_too_late_is_still_one_volume(gateway: Gateway) -> None:
    driver = storage(gateway, SCALEIO_TIMEOUT="1s")
    gateway.slow("POST", "Volume/instances$", 2.0)
    made = driver.create(spec("data"))
    assert names_in(gateway) == ["data"]
    deadline = time.monotonic() + 5
    while asked(gateway)["POST /api/types/Volume/instances"] < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [raw["id"] for raw in gateway.volumes()] == [made.id]


def test_a_slow_gateway_is_waited_for_as_long_as_the_settings_say(gateway: Gateway, driver: ScaleIoStorage) -> None:
    gateway.slow("GET", "System", 1.2)
    assert driver.zones() == (gateway.system_id,)
    hasty = storage(gateway, SCALEIO_TIMEOUT="1s")
    gateway.slow("GET", "System", 3.0, times=None)
    began = time.monotonic()
    refused(Unavailable, r"https://127.* did not answer GET /api/types/System/instances within 1 s", hasty.zones)
    assert time.monotonic() - began < 6


def test_a_gateway_that_is_down_is_named_with_its_setting(gateway: Gateway, driver: ScaleIoStorage) -> None:
    made = driver.create(spec("data"))
    gateway.stop()
    said = r"https://127\.0\.0\.1:\d+ cannot be reached: .*scaleio\.endpoint"
    for call in (lambda: driver.volume(made.id), lambda: driver.remove(made.id), lambda: driver.create(spec("more"))):
        refused(Unavailable, said, call)
    gateway.start()
    driver.remove(made.id)
    assert names_in(gateway) == []


def test_sixty_four_threads_do_not_wait_for_one_another_before_a_gateway_that_is_down(gateway: Gateway) -> None:
    driver = storage(gateway)
    gateway.stop()

    def fails(number: int) -> bool:
        try:
            driver.create(spec(f"v{number}"))
        except Unavailable:
            return True
        return False

    began = time.monotonic()
    assert all(together(64, fails, range(64)))
    assert time.monotonic() - began < 20


def test_a_gateway_that_restarts_is_waited_for(gateway: Gateway, driver: ScaleIoStorage) -> None:
    made = driver.create(spec("data"))
    gateway.stop()
    starter = threading.Timer(0.7, gateway.start)
    starter.start()
    assert driver.volume(made.id).id == made.id
    starter.join()


def test_restarts_among_many_threads_lose_and_double_nothing(gateway: Gateway, driver: ScaleIoStorage) -> None:
    over = threading.Event()

    def restart() -> None:
        while not over.wait(0.5):
            gateway.restart()

    restarter = threading.Thread(target=restart)
    restarter.start()

    def make(number: int) -> str:
        while True:
            try:
                volume = driver.create(spec(f"v{number}"))
                driver.attach(volume.id, WEB)
                return str(volume.id)
            except (Unavailable, Unauthorized):  # two restarts within a call look like a user who may not do it
                continue

    try:
        made = together(8, make, range(24))
    finally:
        over.set()
        restarter.join()
    assert sorted(made) == sorted(raw["id"] for raw in gateway.volumes())
    assert all(holders(gateway, volume_id) == [WEB] for volume_id in made)


def test_a_certificate_that_nobody_vouches_for_is_refused_with_its_settings(gateway: Gateway) -> None:
    said = r"certificate is not trusted .*scaleio\.caFile.*scaleio\.insecure"
    refused(Unavailable, said, storage(gateway, SCALEIO_CAFILE="").zones, gateway.password)
    assert gateway.calls == []
    assert storage(gateway, SCALEIO_CAFILE="", GOSCALEIO_INSECURE="true").zones() == (gateway.system_id,)


def test_no_authority_to_trust_is_refused_at_once(gateway: Gateway) -> None:
    said = r"scaleio\.useCerts is false"
    refused(SettingsError, said, lambda: storage(gateway, SCALEIO_CAFILE="", GOSCALEIO_USECERTS="false"))
    refused(SettingsError, r"scaleio\.caFile: '/nowhere'", storage(gateway, SCALEIO_CAFILE="/nowhere").zones)
    plain = gateway.url.replace("https", "http")
    refused(SettingsError, "http would show", lambda: storage(gateway, GOSCALEIO_ENDPOINT=plain))
    for url in ("https://", "https://admin:secret-word@host/api", "ftp://host"):
        refused(SettingsError, r"scaleio\.endpoint", partial(storage, gateway, GOSCALEIO_ENDPOINT=url), "secret-word")


# Where there are several of everything.


@pytest.fixture
def crowded(gateway: Gateway) -> Gateway:
    """A second domain that has a pool of the first one's name, and a second system that has the same again."""
    gateway.add_pool("pool-1", gateway.add_domain("domain-2"))
    second = gateway.add_system("system-2")
    gateway.add_pool("pool-1", gateway.add_domain("domain-1", second))
    return gateway


@pytest.mark.parametrize(
    ("variable", "value", "said", "there"),
    [
        ("GOSCALEIO_SYSTEMID", "ff" * 8, "scaleio.systemID", "system-1"),
        ("GOSCALEIO_SYSTEMNAME", "system-9", "scaleio.systemName", "system-1"),
        ("GOSCALEIO_PROTECTIONDOMAINID", "ff" * 8, "scaleio.protectionDomainID", "domain-1"),
        ("GOSCALEIO_PROTECTIONDOMAIN", "domain-9", "scaleio.protectionDomainName", "domain-1"),
        ("GOSCALEIO_STORAGEPOOLID", "ff" * 8, "scaleio.storagePoolID", "pool-1"),
        ("GOSCALEIO_STORAGEPOOL", "pool-9", "scaleio.storagePoolName", "pool-1"),
    ],
)
def test_what_does_not_exist_is_said_with_what_does(
    gateway: Gateway, variable: str, value: str, said: str, there: str
) -> None:
    driver = storage(gateway, **{variable: value})
    text = refused(SettingsError, rf"{said} \(\${variable}\): '{value}'", lambda: driver.create(spec("data")))
    assert there in text
    assert names_in(gateway) == []


@pytest.mark.parametrize("more", [{"type": "pool-9"}, {"options": {"protectiondomain": "domain-9"}}])
def test_a_pool_that_does_not_exist_is_said_with_those_that_do(driver: ScaleIoStorage, more: dict[str, Any]) -> None:
    text = refused(InvalidRequest, "-9' does not exist: there are ", lambda: driver.create(spec("data", **more)))
    assert "-1" in text


def test_an_id_wins_over_a_name(gateway: Gateway) -> None:
    settings = {
        "GOSCALEIO_SYSTEMID": gateway.system_id.upper(),
        "GOSCALEIO_SYSTEMNAME": "nobody",
        "GOSCALEIO_PROTECTIONDOMAINID": gateway.domain_id,
        "GOSCALEIO_PROTECTIONDOMAIN": "nobody",
        "GOSCALEIO_STORAGEPOOLID": gateway.pool_id,
        "GOSCALEIO_STORAGEPOOL": "nobody",
    }
    assert storage(gateway, **settings).create(spec("data")).type == "pool-1"


def test_several_systems_have_to_be_chosen_from(crowded: Gateway) -> None:
    said = r"several systems: set scaleio\.systemID \(\$GOSCALEIO_SYSTEMID\)"
    text = refused(SettingsError, said, lambda: list(storage(crowded).volumes()))
    assert "system-1" in text
    assert "system-2" in text


def test_pools_of_one_name_have_to_be_told_apart_by_their_domain(crowded: Gateway) -> None:
    driver = storage(crowded, GOSCALEIO_SYSTEMNAME="system-1")
    said = r"which storage pool.*pool-1 \(of domain-1\), pool-1 \(of domain-2\)"
    for wish in (spec("data"), spec("data", type="pool-1")):
        refused(SettingsError, said, partial(driver.create, wish))
    made = driver.create(spec("data", type="pool-1", options={"protectiondomain": "domain-2"}))
    assert made.fields["protectionDomain"] == "domain-2"
    chosen = storage(crowded, GOSCALEIO_SYSTEMNAME="system-1", GOSCALEIO_PROTECTIONDOMAIN="domain-2")
    assert chosen.create(spec("data")).id == made.id
    assert chosen.create(spec("more")).fields["protectionDomain"] == "domain-2"


def test_equal_names_on_two_systems_are_two_volumes(crowded: Gateway) -> None:
    drivers = [
        storage(crowded, GOSCALEIO_SYSTEMNAME=name, GOSCALEIO_PROTECTIONDOMAIN="domain-1")
        for name in ("system-1", "system-2")
    ]
    made = [driver.create(spec("data")) for driver in drivers]
    taken = [driver.create_snapshot(volume.id, "kept") for driver, volume in zip(drivers, made, strict=True)]
    for number, driver in enumerate(drivers):
        assert timeless(driver.create(spec("data"))) == timeless(made[number])
        assert timeless(driver.create_snapshot(made[number].id, "kept")) == timeless(taken[number])
        assert [volume.id for volume in driver.volumes_named("data")] == [made[number].id]
        assert [volume.id for volume in driver.volumes()] == [made[number].id]
        assert [snapshot.id for snapshot in driver.snapshots()] == [taken[number].id]
        theirs = made[1 - number].id
        snapshot = taken[1 - number].id
        for call in (
            partial(driver.volume, theirs),
            partial(driver.remove, theirs),
            partial(driver.remove_snapshot, snapshot),
            partial(driver.rollback, theirs, snapshot),
            partial(driver.rollback, made[number].id, snapshot),
        ):
            refused(InvalidRequest, "is of another system than", call)
    assert len(crowded.volumes()) == 4


def test_a_lost_creation_is_not_taken_for_made_by_the_name_on_another_system(crowded: Gateway) -> None:
    one, two = (
        storage(crowded, GOSCALEIO_SYSTEMNAME=name, GOSCALEIO_PROTECTIONDOMAIN="domain-1")
        for name in ("system-1", "system-2")
    )
    first = one.create(spec("data"))
    crowded.drop_before("POST", "Volume/instances$")
    second = two.create(spec("data"))
    assert second.id != first.id
    assert second.zone != first.zone


def test_a_pool_that_came_later_is_found(crowded: Gateway) -> None:
    driver = storage(crowded, GOSCALEIO_SYSTEMNAME="system-1")
    list(driver.volumes())
    pool = crowded.add_pool("pool-new", crowded.domain_id)
    assert driver.create(spec("data", type="pool-new")).type == "pool-new"
    later = crowded.add_volume("later", pool=crowded.add_pool("pool-newer", crowded.domain_id))
    assert {volume.name for volume in driver.volumes()} == {"data", "later"}
    assert driver.volume(type(driver.create(spec("data", type=pool)).id)(later)).type == "pool-newer"
