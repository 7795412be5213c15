"""Spec files for Docker: ours come and go, and everybody else's stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.errors import AlreadyExists
from rexray.paths import find_paths
from rexray_server.specs import SpecFiles


@pytest.fixture
def specs(tmp_path: Path) -> SpecFiles:
    return SpecFiles(find_paths({"REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path)}))


def test_below_a_home_of_its_own_docker_is_not_bothered(specs: SpecFiles, tmp_path: Path) -> None:
    assert specs.folder == tmp_path / "etc/docker/plugins"


def test_a_file_has_the_address_and_is_removed_with_its_note(specs: SpecFiles, tmp_path: Path) -> None:
    path = specs.write("fast", "tcp://127.0.0.1:7980")
    assert path.read_text() == "tcp://127.0.0.1:7980\n"
    assert path.stat().st_mode & 0o777 == 0o644
    specs.remove("fast")
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


def test_ours_is_replaced_also_by_a_process_that_comes_after_a_crash(specs: SpecFiles, tmp_path: Path) -> None:
    specs.write("fast", "tcp://127.0.0.1:1")
    again = SpecFiles(find_paths({"REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path)}))
    assert again.write("fast", "tcp://127.0.0.1:2").read_text() == "tcp://127.0.0.1:2\n"
    again.write("slow", "tcp://127.0.0.1:3")
    again.tidy(["fast"])
    assert sorted(path.name for path in specs.folder.iterdir()) == ["fast.spec"]


def test_a_crash_between_the_note_and_the_file_leaves_the_file_ours(specs: SpecFiles, tmp_path: Path) -> None:
    path = specs.write("fast", "tcp://127.0.0.1:1")
    (tmp_path / "var/lib/specs/fast").write_text("tcp://127.0.0.1:1\ntcp://127.0.0.1:2\n")
    assert specs.write("fast", "tcp://127.0.0.1:3") == path
    assert path.read_text() == "tcp://127.0.0.1:3\n"


def test_somebody_elses_file_is_neither_replaced_nor_removed(specs: SpecFiles) -> None:
    path = specs.folder / "fast.spec"
    path.parent.mkdir(parents=True)
    path.write_text("tcp://elsewhere:1\n")
    with pytest.raises(AlreadyExists, match=r"fast\.spec: it says 'tcp://elsewhere:1', which REX-Ray did not write"):
        specs.write("fast", "tcp://127.0.0.1:1")
    specs.remove("fast")
    specs.tidy([])
    assert path.read_text() == "tcp://elsewhere:1\n"


def test_a_file_that_somebody_changed_stays(specs: SpecFiles) -> None:
    path = specs.write("fast", "tcp://127.0.0.1:1")
    path.write_text("tcp://elsewhere:1\n")
    specs.remove("fast")
    assert path.read_text() == "tcp://elsewhere:1\n"


def test_somebody_elses_file_with_our_address_is_left_to_them(specs: SpecFiles) -> None:
    path = specs.folder / "fast.spec"
    path.parent.mkdir(parents=True)
    path.write_text("tcp://127.0.0.1:1\n")
    assert specs.write("fast", "tcp://127.0.0.1:1") == path
    specs.remove("fast")
    assert path.exists()
