"""Volumes of the driver ``scaleio`` grow, change, and go back to their snapshots."""

from __future__ import annotations

import threading
import time

import pytest

from gateway_parts import Gateway, Switches
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, NotReady, OutOfRange, Unavailable, Unsupported
from rexray.types import SnapshotId, Volume
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import GIB, NO_VOLUME, OTHER, WEB, done, holders, read, refused, spec, storage, together, write


@pytest.fixture
def volume(driver: ScaleIoStorage) -> Volume:
    return driver.create(spec("data"))


@pytest.mark.parametrize(("gib", "gets"), [(9, 16), (16, 16), (8, 8), (1, 8), (0, 8)])
def test_a_volume_grows_to_a_whole_step_and_never_shrinks(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, gib: int, gets: int
) -> None:
    write(gateway, volume.id, b"precious")
    driver.attach(volume.id, WEB)
    assert driver.expand(volume.id, gib * GIB).size_bytes == gets * GIB
    assert driver.expand(volume.id, gib * GIB).size_bytes == gets * GIB
    assert driver.volume(volume.id).size_bytes == gets * GIB
    assert read(gateway, volume.id, 8) == b"precious"
    assert done(gateway, "setVolumeSize") == (gets > 8)


def test_a_growth_beyond_the_limit_changes_nothing(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    refused(OutOfRange, "16 GiB.*limit", lambda: driver.expand(volume.id, 9 * GIB, limit_bytes=12 * GIB))
    refused(OutOfRange, r"\(code 190\)", lambda: driver.expand(volume.id, 2 << 50))
    refused(NotFound, NO_VOLUME, lambda: driver.expand(NO_VOLUME, 16 * GIB))
    assert driver.volume(volume.id).size_bytes == 8 * GIB


def test_sixteen_growths_at_once_end_at_the_largest(gateway: Gateway, volume: Volume) -> None:
    sizes = [(number % 8 + 1) * 8 * GIB for number in range(16)]
    grown = together(16, lambda size: storage(gateway).expand(volume.id, size).size_bytes, sizes)
    assert all(there >= size for there, size in zip(grown, sizes, strict=True))
    assert storage(gateway).volume(volume.id).size_bytes == 64 * GIB


def test_the_read_cache_is_changed(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    assert driver.modify(volume.id, {"rmcache": "true"}).fields["useRmcache"] == "true"
    assert driver.modify(volume.id, {"rmcache": "FALSE"}).fields["useRmcache"] == "false"
    assert driver.modify(volume.id, {}) == driver.volume(volume.id)


def test_limits_are_those_of_the_hosts_that_have_it(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    refused(NotReady, "attached nowhere", lambda: driver.modify(volume.id, {"iops": "100"}))
    driver.attach(volume.id, WEB)
    assert driver.modify(volume.id, {"iops": "100"}).iops == 100
    driver.modify(volume.id, {"bandwidth": "7"})
    mapping = next(iter(gateway.store.volumes[volume.id].mappings.values()))
    assert (mapping.iops, mapping.megabytes) == (100, 7)
    assert driver.modify(volume.id, {"iops": "0", "bandwidth": "0"}).iops == 0
    assert (mapping.iops, mapping.megabytes) == (0, 0)


@pytest.mark.parametrize(
    "options", [{"type": "pool-2"}, {"iops": "-1"}, {"iops": "many"}, {"bandwidth": "1.5"}, {"rmcache": "x"}]
)
def test_an_unknown_change_changes_nothing(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, options: dict[str, str]
) -> None:
    driver.attach(volume.id, WEB)
    before = gateway.volume(volume.id)
    key = next(iter(options))
    refused(InvalidRequest, f"option '?{key}", lambda: driver.modify(volume.id, {"rmcache": "true", **options}))
    assert gateway.volume(volume.id) == before


def test_a_rollback_brings_back_what_was(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    write(gateway, volume.id, b"first")
    taken = driver.create_snapshot(volume.id, "kept")
    write(gateway, volume.id, b"later")
    assert driver.rollback(volume.id, taken.id).id == volume.id
    assert read(gateway, volume.id, 5) == b"first"
    assert driver.rollback(volume.id, taken.id).id == volume.id
    assert [snapshot.id for snapshot in driver.snapshots()] == [taken.id]


def test_a_volume_that_is_attached_is_not_rolled_back(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    write(gateway, volume.id, b"first")
    taken = driver.create_snapshot(volume.id, "kept")
    write(gateway, volume.id, b"later")
    driver.attach(volume.id, WEB)
    refused(InUse, "attached to web", lambda: driver.rollback(volume.id, taken.id))
    driver.detach(volume.id)
    gateway.store.volumes[volume.id].to_all = "ReadWrite"
    refused(InUse, "attached to every SDC", lambda: driver.rollback(volume.id, taken.id))
    assert read(gateway, volume.id, 5) == b"later"


def test_a_rollback_is_not_repeated_over_what_a_host_has_written_since(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    write(gateway, volume.id, b"first")
    taken = driver.create_snapshot(volume.id, "kept")
    lost = gateway.lose_answer("POST", "overwriteVolumeContent")
    gateway.slow("POST", "overwriteVolumeContent", 0.3, after=True)

    def attach_meanwhile() -> None:
        while not lost.used:
            time.sleep(0.005)
        storage(gateway).attach(volume.id, OTHER)
        write(gateway, volume.id, b"newer")

    other = threading.Thread(target=attach_meanwhile)
    other.start()
    refused(Unavailable, "do not attach it before", lambda: driver.rollback(volume.id, taken.id))
    other.join()
    assert read(gateway, volume.id, 5) == b"newer"


def test_only_a_volumes_own_snapshot_of_its_size_is_put_back(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    stranger = driver.create(spec("stranger"))
    theirs = driver.create_snapshot(stranger.id, "theirs")
    write(gateway, volume.id, b"precious")
    said = f"'{theirs.id}' is of volume '{stranger.id}', not of '{volume.id}'"
    refused(InvalidRequest, said, lambda: driver.rollback(volume.id, theirs.id))
    own = driver.create_snapshot(volume.id, "own")
    clone = driver.create(spec("clone", 0, source_snapshot=own.id))
    refused(InvalidRequest, "not of", lambda: driver.rollback(clone.id, own.id))
    refused(NotFound, "id of a volume", lambda: driver.rollback(volume.id, SnapshotId(clone.id)))
    refused(NotFound, f"snapshot '{NO_VOLUME}'", lambda: driver.rollback(volume.id, SnapshotId(NO_VOLUME)))
    refused(NotFound, f"volume '{NO_VOLUME}'", lambda: driver.rollback(NO_VOLUME, own.id))
    driver.expand(volume.id, 16 * GIB)
    refused(InvalidRequest, "16 GiB and snapshot.* 8", lambda: driver.rollback(volume.id, own.id))
    assert read(gateway, volume.id, 8) == b"precious"
    assert done(gateway, "overwriteVolumeContent") == 0


@pytest.mark.parametrize(("version", "supported", "said"), [("2.6", True, "version 3.0"), ("3.5", False, "HTTP 404")])
def test_a_gateway_that_cannot_roll_back_says_so(version: str, supported: bool, said: str) -> None:
    with Gateway(version=version, switches=Switches(overwrite_supported=supported)) as gateway:
        driver = storage(gateway)
        made = driver.create(spec("data"))
        taken = driver.create_snapshot(made.id, "kept")
        write(gateway, made.id, b"later")
        refused(Unsupported, said, lambda: driver.rollback(made.id, taken.id))
        assert read(gateway, made.id, 5) == b"later"


def test_a_change_of_limits_by_sixteen_threads_loses_none(gateway: Gateway, volume: Volume) -> None:
    driver = storage(gateway)
    driver.attach(volume.id, WEB)
    together(16, lambda number: driver.modify(volume.id, {"iops": str(100 + number)}), range(16))
    assert 100 <= driver.volume(volume.id).iops < 116
    assert holders(gateway, volume.id) == [WEB]
    refused(AlreadyExists, "ReadWrite", lambda: driver.attach(volume.id, WEB, read_only=True))
