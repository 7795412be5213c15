"""What volumes and snapshots are called on the array: names that fit, and names that cannot be mixed up."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray_driver_scaleio import names

FITS = re.compile(r"[!-~]{1,31}")
ID = "694a2d140000000b"
TEXTS = st.text(min_size=1, max_size=80)


@given(TEXTS)
def test_every_name_becomes_one_that_the_array_takes(name: str) -> None:
    volume, snapshot = names.volume_name(name), names.snapshot_name(name)
    member = names.group_stem(name) + names.member(ID) + names.SNAPSHOT
    assert all(FITS.fullmatch(word) for word in (volume, snapshot, member))
    assert not volume.endswith(names.SNAPSHOT)
    assert snapshot.endswith(names.SNAPSHOT)
    assert not names.is_member(snapshot)
    assert names.is_member(member)
    assert len({volume, snapshot, member}) == 3
    assert volume in names.candidates(name)


@given(TEXTS, TEXTS)
def test_no_two_names_become_one(one: str, two: str) -> None:
    if one != two:
        for of in (names.volume_name, names.snapshot_name, names.group_stem):
            assert of(one) != of(two)


@pytest.mark.parametrize("name", ["data", "a", "x" * 31, "Data_1.2-3", "!~"])
def test_a_name_that_fits_stays_as_it_is(name: str) -> None:
    assert names.volume_name(name) == name
    assert names.candidates(name) == (name,)


@pytest.mark.parametrize("name", ["x" * 32, "two words", "größer", "tab\t", "", "ends.snap", "x" * 200])
def test_a_name_that_does_not_fit_gets_a_hash(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]*-[a-z2-7]{15}", names.volume_name(name))


def test_long_names_that_begin_alike_stay_apart() -> None:
    stems = [f"{'long-' * 20}{number}" for number in range(200)]
    for of in (names.volume_name, names.snapshot_name, names.group_stem):
        assert len({of(stem) for stem in stems}) == len(stems)


def test_a_volume_that_others_named_as_a_snapshot_is_looked_for_too() -> None:
    assert names.candidates("kept.snap") == (names.volume_name("kept.snap"), "kept.snap")
    assert names.candidates("two words.snap") == (names.volume_name("two words.snap"),)


def test_the_names_of_a_snapshot_and_of_a_groups_member_cannot_be_one() -> None:
    alike = [f"g-{ID[-8:]}", "g", f"g-{ID[-8:]}-{ID[-8:]}", "g-", "g-0000000b.snap"]
    single = [names.snapshot_name(name) for name in alike]
    grouped = [names.group_stem(name) + names.member(ID) + names.SNAPSHOT for name in alike]
    assert all(one != two for one, two in itertools.combinations(single + grouped, 2))
