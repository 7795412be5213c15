"""Words from outside: names that can be files, sizes that are numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray.errors import InvalidRequest
from rexray.names import check_name, check_volume_name, file_key
from rexray.sizes import format_size, parse_size


@pytest.mark.parametrize("name", ["data", "a", "x" * 128, "données", "数据", "a.b_c-d", "..a", "a b", "é" * 64])
def test_names_that_can_be_files_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/", "a/b", "../a", "a\0", "a\nb", "\x1b[2J", "a\x7f", "x" * 129, "é" * 65, "\u2028", "\ud800"],
)
def test_names_that_could_do_harm_are_refused_in_one_printable_line(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["data", "x" * 255, "数" * 255])
def test_a_volume_on_a_platform_can_have_255_characters_and_a_file_of_its_own(name: str) -> None:
    assert check_volume_name(name) == name
    key = file_key(name)
    assert file_key(key) == key == check_name(key)
    assert (key == name) == (name == "data")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0", "\ud800", "x" * 256])
def test_volume_names_that_no_platform_has_are_refused_in_one_printable_line(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_volume_name(name)
    assert str(caught.value).isprintable()


@given(st.text())
def test_a_name_that_is_taken_stays_inside_its_directory(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    try:
        check_name(name)
    except InvalidRequest:
        return
    root = tmp_path_factory.getbasetemp()
    assert (root / name).parent == root
    assert not Path(root / name).exists() or Path(root / name).is_dir()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16", 16 * 2**30),
        ("16GiB", 16 * 2**30),
        ("16g", 16 * 2**30),
        ("16 GB", 16 * 2**30),
        ("512MiB", 512 * 2**20),
        ("1.5T", 3 * 2**39),
        ("100B", 100),
        ("0", 0),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1", "16GiBs", "1e3", "9" * 30, "0x10", "1,5", "16 16"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="size"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1023, "1023B"), (16 * 2**30, "16GiB"), (3 * 2**29, "1.5GiB")])
def test_sizes_are_written_short(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=2**62))
def test_a_written_size_is_a_size(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size * 0.001
