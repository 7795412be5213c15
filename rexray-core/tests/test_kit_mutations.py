"""Defects that are seeded in the driver in memory, and the whole suite of the kit, which has to find every one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from rexray.drivers import StorageDriver
from rexray.testing.kit.running import Result
from rexray.testing.kit.suites import STORAGE
from rexray.testing.memory.storage import MemoryStorage
from seeded_storage import DEFECTS, results

WORKERS = 2
FOR_DRIVERS_THAT_LACK_SOMETHING = {
    "create_of_an_encrypted_volume_is_not_ignored",
    "a_read_only_attachment_is_refused_where_there_are_none",
}
"""Checks for drivers without a capability, which the driver in memory has."""


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Processes of their own: threads of earlier tests may hold locks, and a watch is for one check at a time."""
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as workers:
        yield workers


@pytest.fixture(scope="module")
def healthy(pool: ProcessPoolExecutor, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    names = [check.name for check in STORAGE.checks()]
    parts = [
        pool.submit(results, MemoryStorage, tmp_path_factory.mktemp("healthy"), names[start::WORKERS])
        for start in range(WORKERS)
    ]
    return [result for part in parts for result in part.result()]


@pytest.fixture(scope="module")
def last(
    pool: ProcessPoolExecutor, healthy: list[Result], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[type[StorageDriver], Future[list[Result]]]:
    """What the suite says of each defect; its quickest checks come first, by what they took on the healthy driver."""
    names = [result.name for result in sorted(healthy, key=lambda result: result.seconds)]
    return {driver: pool.submit(results, driver, tmp_path_factory.mktemp(driver.__name__), names) for driver in DEFECTS}


def test_there_are_thirty_defects_and_each_says_what_it_is() -> None:
    assert len({driver.__doc__ for driver in DEFECTS}) == len(DEFECTS) >= 30


def test_the_healthy_driver_passes_the_whole_suite(healthy: list[Result]) -> None:
    assert not [result for result in healthy if result.outcome == "failed"]
    assert {result.name for result in healthy} == {check.name for check in STORAGE.checks()}
    skipped = {result.name for result in healthy if result.outcome == "skipped"}
    assert skipped == FOR_DRIVERS_THAT_LACK_SOMETHING


@pytest.mark.parametrize("driver", DEFECTS, ids=lambda driver: driver.__name__)
def test_the_suite_finds_the_defect(
    driver: type[StorageDriver], last: Mapping[type[StorageDriver], Future[list[Result]]]
) -> None:
    result = last[driver].result()[-1]
    assert result.outcome == "failed", f"no check finds it: {driver.__doc__}"
    assert "could not be removed" not in result.reason
