"""Hosts of one name that share a directory are told apart by their machine ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop_parts import Host
from rexray.errors import AlreadyExists
from rexray_driver_loop import machine


@pytest.fixture
def machine_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "machine-id"
    path.write_text("1" * 32 + "\n")
    monkeypatch.setattr(machine, "MACHINE_ID", path)
    return path


def test_another_machine_of_the_same_name_is_refused(root: Path, machine_id: Path) -> None:
    first = Host(root, "localhost")
    first.create()
    attachment = first.attach()
    machine_id.write_text("2" * 32 + "\n")
    with pytest.raises(AlreadyExists, match=r"'localhost' is another machine's: set loop.instanceID .*localhost.json"):
        Host(root, "localhost")
    with pytest.raises(AlreadyExists, match=r"loop.instanceID"):
        first.node.connect(attachment, deadline=1)
    Host(root, "other")
    machine_id.write_text("1" * 32 + "\n")
    Host(root, "localhost", zone="z")
    assert "1" * 32 not in (root / "instances/localhost.json").read_text()


@pytest.mark.parametrize("content", ["", "uninitialized\n", None])
def test_a_machine_without_an_id_is_not_asked_for_one(root: Path, machine_id: Path, content: str | None) -> None:
    Host(root, "localhost")
    if content is None:
        machine_id.unlink()
    else:
        machine_id.write_text(content)
    Host(root, "localhost", zone="z")
    machine_id.write_text("2" * 32)
    with pytest.raises(AlreadyExists):
        Host(root, "localhost")
