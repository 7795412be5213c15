"""Names of devices."""

from __future__ import annotations

import pytest

from rexray_driver_ec2.names import LARGE_RANGE, SMALL_RANGE, candidates, canonical


def test_the_ranges_are_the_originals() -> None:
    assert tuple(f"/dev/xvd{letter}" for letter in "fghijklmnop") == SMALL_RANGE
    assert (LARGE_RANGE[0], LARGE_RANGE[26], LARGE_RANGE[-1]) == ("/dev/xvdba", "/dev/xvdca", "/dev/xvdcz")
    assert len(set(LARGE_RANGE)) == 52


def test_the_small_range_comes_first_unless_it_is_not_wanted() -> None:
    assert candidates(large=False) == SMALL_RANGE + LARGE_RANGE
    assert candidates(large=True) == LARGE_RANGE


@pytest.mark.parametrize("name", ["/dev/sdf", "sdf", "/dev/xvdf", "xvdf"])
def test_every_spelling_is_one_name(name: str) -> None:
    assert canonical(name) == "xvdf"


@pytest.mark.parametrize(
    ("name", "expected"), [("/dev/sda1", "xvda1"), ("xvdba", "xvdba"), ("/dev/sdba", "xvdba"), ("nvme1n1", "nvme1n1")]
)
def test_what_follows_the_prefix_stays(name: str, expected: str) -> None:
    assert canonical(name) == expected


def test_every_candidate_has_a_canonical_name_of_its_own() -> None:
    assert len({canonical(name) for name in candidates(large=False)}) == 63
