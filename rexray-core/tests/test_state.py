"""Records survive; holders are of their boot; nothing half written is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray.state import Record, Records, boot_id


def test_a_record_comes_back_as_it_went(tmp_path: Path) -> None:
    records = Records(tmp_path / "x")
    record = Record(name="data", volume_id="vol-1", context={"a": "b"}).published_as("c1", "c2")
    records.save(record)
    assert records.load("data") == record
    assert Records(tmp_path / "x").all() == {"data": record}
    assert (tmp_path / "x/data.json").stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_none_and_forgetting_it_is_fine(tmp_path: Path) -> None:
    records = Records(tmp_path / "x")
    assert records.load("data") is None
    assert records.all() == {}
    records.forget("data")


def test_a_record_is_found_by_its_volumes_id_and_the_mounted_one_of_several(tmp_path: Path) -> None:
    records = Records(tmp_path / "x")
    assert records.of_volume("vol-1") is None
    mounted = Record(name="b", volume_id="vol-1").published_as("c1")
    for record in (Record(name="a", volume_id="vol-1"), mounted, Record(name="c", volume_id="vol-1")):
        records.save(record)
    assert records.of_volume("vol-1") == mounted
    assert records.of_volume("b") is None
    records.forget("b")
    assert records.of_volume("vol-1") == Record(name="c", volume_id="vol-1")


def test_holders_of_an_earlier_boot_are_gone_and_the_interruption_is_kept(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save(Record(name="data", volume_id="v", published=True, holders=("c1",), boot="earlier"))
    found = records.load("data")
    assert found is not None
    assert (found.holders, found.published) == ((), True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "data"}', '{"holders": 5}', "\0" * 100, "null"])
def test_what_a_power_failure_leaves_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "data.json").write_text(content)
    records = Records(tmp_path)
    assert records.load("data") is None
    assert records.all() == {}


def test_a_change_is_seen_at_once_however_fast_it_follows(tmp_path: Path) -> None:
    records, other = Records(tmp_path), Records(tmp_path)
    for number in range(50):
        other.save(Record(name=f"v{number}", volume_id="x"))
        assert len(records.all()) == number + 1
    for number in range(50):
        other.forget(f"v{number}")
        assert len(records.all()) == 49 - number


@pytest.mark.parametrize("name", ["a", ".a", "..a", "a.json", "a.json.tmp", "é" * 64, "a b"])
def test_names_that_look_like_our_own_files_do_not_collide(tmp_path: Path, name: str) -> None:
    records = Records(tmp_path)
    records.save(Record(name="a", volume_id="other"))
    records.save(Record(name=name, volume_id="x"))
    found = records.load(name)
    assert found is not None
    assert found.volume_id == "x"
    assert set(records.all()) == {"a", name}


def test_a_name_that_is_too_long_for_a_file_has_a_record_all_the_same(tmp_path: Path) -> None:
    records, name = Records(tmp_path), "数" * 255
    record = Record(name=name, volume_id="vol-1")
    records.save(record)
    assert records.load(name) == record
    assert records.all() == {name: record}
    records.forget(name)
    assert records.all() == {}


@given(content=st.binary(max_size=100))
def test_no_file_content_makes_loading_fall_over(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "data.json").write_bytes(content)
    assert Records(folder).load("data") is None


def test_the_boot_has_a_name() -> None:
    assert len(boot_id()) == 36
    json.dumps(boot_id())
