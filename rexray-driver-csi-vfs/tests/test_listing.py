"""Lists: in pages, whatever is made and deleted meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray.csi.paging import page
from rexray.errors import InvalidRequest, StalePage
from vfs_parts import Vfs


def pages(vfs: Vfs, count: int) -> list[list[str]]:
    found, token = [], ""
    while True:
        answer = vfs.page(token, count)
        found.append([entry.volume.volume_id for entry in answer.entries])
        token = answer.next_token
        if not token:
            return found


def test_pages_are_sorted_and_complete(vfs: Vfs) -> None:
    for name in ("b", "a", "ü", "d", "c"):
        vfs.create(name)
    assert pages(vfs, 2) == [["a", "b"], ["c", "d"], ["ü"]]
    assert pages(vfs, 5) == [["a", "b", "c", "d", "ü"]]
    assert pages(vfs, 0) == [["a", "b", "c", "d", "ü"]]
    assert vfs.page(count=1).next_token
    with pytest.raises(InvalidRequest, match="max_entries"):
        vfs.page(count=-1)


def test_what_is_made_and_deleted_between_pages_does_no_harm(vfs: Vfs) -> None:
    for name in "bdfh":
        vfs.create(name)
    token = vfs.page(count=2).next_token
    for name in "bd":
        vfs.delete(name)
    for name in "ag":
        vfs.create(name)
    assert [entry.volume.volume_id for entry in vfs.page(token).entries] == ["f", "g", "h"]


def test_names_of_any_length_page(vfs: Vfs) -> None:
    names = [*sorted(letter * size for letter in "ax" for size in (126, 127, 128)), "é" * 64]
    for name in names:
        vfs.create(name)
    found = pages(vfs, 1)
    assert [name for page in found for name in page] == names
    token = ""
    for _ in names[:-1]:
        token = vfs.page(token, 1).next_token
        assert 0 < len(token.encode()) <= 128


def test_a_page_that_cannot_be_found_again_is_told(vfs: Vfs) -> None:
    for name in ("a" * 128, "b"):
        vfs.create(name)
    token = vfs.page(count=1).next_token
    vfs.delete("a" * 128)
    with pytest.raises(StalePage, match="list from the start"):
        vfs.page(token)


@pytest.mark.parametrize("token", ["garbage", "=", "=abc", "1", "\0", "=" + "0" * 64])
def test_a_token_that_is_not_ours_is_told(vfs: Vfs, token: str) -> None:
    vfs.create("data")
    with pytest.raises(StalePage, match="not, or no longer, one of ours"):
        vfs.page(token)
    with pytest.raises(StalePage):
        vfs.snaps(token=token)


@given(names=st.sets(st.text(min_size=1, max_size=128)), count=st.integers(1, 5))
def test_pages_together_are_the_list(names: set[str], count: int) -> None:
    listed = sorted(names)
    found: list[str] = []
    token = ""
    for _ in range(len(listed) + 1):
        part, token = page(listed, token, count)
        found += part
        if not token:
            break
    assert found == listed


def test_snapshots_page_too(vfs: Vfs) -> None:
    vfs.create("data")
    for name in "abc":
        vfs.snap(name, "data")
    first = vfs.snaps(count=2)
    assert [entry.snapshot.snapshot_id for entry in first.entries] == ["a", "b"]
    rest = vfs.snaps(token=first.next_token)
    assert [entry.snapshot.snapshot_id for entry in rest.entries] == ["c"]


def test_directories_that_no_volume_can_be_are_not_shown(vfs: Vfs) -> None:
    vfs.create("data")
    for name in (b"new\nline", b"\xff\xfe", b"x" * 129, "\u2028".encode()):
        os.mkdir(os.fsencode(vfs.volume("")) + b"/" + name)
    (vfs.volume("file")).touch()
    assert vfs.names() == ["data"]


def test_the_glob_pattern_says_which_are_listed(vfs: Vfs) -> None:
    chosen = Vfs(vfs.home, vol_glob="db-*")
    for name in ("db-1", "web", "db-2"):
        chosen.create(name)
    assert chosen.names() == ["db-1", "db-2"]
    assert chosen.get("web").volume.volume_id == "web"


def quickest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_ten_thousand_volumes_list_quickly(vfs: Vfs) -> None:
    for number in range(10_000):
        os.mkdir(vfs.volume(f"volume-{number:05}"))
    assert sum(len(part) for part in pages(vfs, 1000)) == 10_000
    assert quickest(lambda: vfs.page(count=10)) < 0.5
    assert quickest(vfs.page) < 3
