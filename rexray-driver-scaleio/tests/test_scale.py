"""Many threads need few requests: their number is counted, and is no more than what they ask for and a constant."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway_parts import Gateway
from rexray.errors import InUse
from rexray.types import InstanceId, VolumeId
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import GIB, WEB, asked, done, holders, logins, names_in, spec, storage, together

THREADS = 64
LOOKS = 5
"""The login, the system, domains, pools and the version: each is asked for once."""


def guid(number: int) -> InstanceId:
    return InstanceId(f"F1E7B4A2-0000-4000-8000-{number:012}")


def test_as_many_volumes_cost_as_many_requests_and_a_constant(gateway: Gateway) -> None:
    driver = storage(gateway)
    made = together(THREADS, lambda number: driver.create(spec(f"v{number}")), range(100))
    assert len({volume.id for volume in made}) == 100
    assert asked(gateway)["POST /api/types/Volume/instances"] == 100
    assert len(gateway.calls) <= 100 + LOOKS
    assert logins(gateway) == 1


def test_a_name_that_sixty_four_threads_want_is_one_volume(gateway: Gateway) -> None:
    made = together(THREADS, lambda _: storage(gateway).create(spec("data")).id, range(THREADS))
    assert len(set(made)) == 1
    assert names_in(gateway) == ["data"]


def test_a_clone_that_sixty_four_threads_want_is_one_of_the_wanted_size(
    driver: ScaleIoStorage, gateway: Gateway
) -> None:
    source = driver.create(spec("data")).id
    made = together(THREADS, lambda _: driver.create(spec("clone", 16, source_volume=source)), range(THREADS))
    assert len({volume.id for volume in made}) == 1
    assert {volume.size_bytes for volume in made} == {16 * GIB}
    assert names_in(gateway) == ["clone", "data"]


@pytest.mark.parametrize("count", [10, 5000])
def test_a_list_of_any_length_is_a_constant_number_of_requests(gateway: Gateway, count: int) -> None:
    sdc = next(iter(gateway.store.sdcs))
    gateway.fill(count, mapped_to=sdc)
    second = gateway.add_system("system-2")
    pools = [gateway.add_pool(f"p{number}", gateway.add_domain(f"d{number}", second)) for number in range(3)]
    for number, pool in enumerate(pools * 5):
        gateway.add_volume(f"theirs-{number}", pool=pool)
    driver = storage(gateway, GOSCALEIO_SYSTEMID=gateway.system_id)
    found = list(driver.volumes())
    assert len(found) == count
    assert {volume.attachments[0].instance_id for volume in found} == {WEB}
    assert len(gateway.calls) <= LOOKS + 2
    gateway.clear_calls()
    assert len(list(driver.volumes())) == count
    assert len(list(driver.attached(WEB))) == count
    assert list(driver.snapshots()) == []
    assert len(driver.healths([volume.id for volume in found])) == count
    assert len(gateway.calls) <= 3 + 3


def test_questions_do_not_list_everything(driver: ScaleIoStorage, gateway: Gateway) -> None:
    made = driver.create(spec("data"))
    driver.attach(made.id, WEB)
    driver.volume(made.id)
    list(driver.volumes_named("data"))
    driver.attachments(made.id)
    driver.expand(made.id, 16 * GIB)
    driver.detach(made.id, WEB)
    taken = driver.create_snapshot(made.id, "kept")
    driver.create(spec("clone", 0, source_snapshot=taken.id))
    driver.rollback(made.id, taken.id)
    driver.remove_snapshot(taken.id)
    driver.remove(made.id)
    assert "GET /api/types/Volume/instances" not in asked(gateway)


def test_a_load_of_sixty_four_threads_needs_few_requests(gateway: Gateway) -> None:
    for number in range(8):
        gateway.add_sdc(guid(number))
    driver = storage(gateway)

    def live(number: int) -> None:
        volume_id = driver.create(spec(f"v{number}")).id
        driver.attach(volume_id, guid(number % 8))
        driver.expand(volume_id, 16 * GIB)
        taken = driver.create_snapshot(volume_id, f"s{number}")
        driver.detach(volume_id, guid(number % 8))
        driver.remove_snapshot(taken.id)
        driver.remove(volume_id)

    together(THREADS, live, range(THREADS))
    calls = asked(gateway)
    assert names_in(gateway) == []
    assert logins(gateway) == 1
    once = ("addMappedSdc", "setVolumeSize", "removeMappedSdc")
    assert [done(gateway, verb) for verb in (*once, "snapshotVolumes", "removeVolume")] == [THREADS] * 4 + [2 * THREADS]
    looks = ("System", "ProtectionDomain", "StoragePool")
    assert [calls[f"GET /api/types/{kind}/instances"] for kind in looks] == [1, 1, 1]
    assert calls["GET /api/version"] == 1
    assert calls["GET /api/instances/System/relationships/Sdc"] <= THREADS + 8
    assert len(gateway.calls) <= 20 * THREADS


def test_no_update_is_lost_among_sixty_four_threads(gateway: Gateway) -> None:
    """Every thread's own volumes are as it left them, whatever the others do."""
    for number in range(4):
        gateway.add_sdc(guid(number))
    driver = storage(gateway)
    sizes: dict[VolumeId, int] = {}
    held: dict[VolumeId, list[str]] = {}

    def live(number: int) -> None:
        chance = random.Random(number)
        volume_id = driver.create(spec(f"v{number}")).id
        size = 8
        for _ in range(4):
            size += 8 * chance.randrange(2)
            assert driver.expand(volume_id, size * GIB).size_bytes == size * GIB
            host = guid(chance.randrange(4))
            driver.attach(volume_id, host, force=True)
            if chance.randrange(2):
                driver.detach(volume_id, host)
                held[volume_id] = []
            else:
                held[volume_id] = [host]
        sizes[volume_id] = size

    together(THREADS, live, range(THREADS))
    assert {volume.id: volume.size_bytes // GIB for volume in driver.volumes()} == sizes
    assert {volume_id: holders(gateway, volume_id) for volume_id in held} == held


def test_a_volume_that_sixty_four_threads_attach_is_of_one_host(driver: ScaleIoStorage, gateway: Gateway) -> None:
    for number in range(8):
        gateway.add_sdc(guid(number))
    made = driver.create(spec("data")).id

    def attach(number: int) -> str:
        try:
            return str(driver.attach(made, guid(number % 8)).instance_id)
        except InUse:
            return ""

    got = Counter(together(THREADS, attach, range(THREADS)))
    assert [word for word in got if word] == holders(gateway, made)
