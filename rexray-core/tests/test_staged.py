"""What a node remembers of a staged volume: the size that its attachment told, once the volume has grown."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.csi.bridge.staged import Staged, StagedVolumes
from rexray.paths import find_paths


@pytest.fixture
def volumes(tmp_path: Path) -> StagedVolumes:
    return StagedVolumes(find_paths({"REXRAY_HOME": str(tmp_path)}), "acme")


def staged(volumes: StagedVolumes, **context: str) -> Staged:
    return volumes.plan("data", {"token": "t", **context}, staging="/staging", access="mount")


def test_a_size_that_may_have_changed_is_left_out(volumes: StagedVolumes) -> None:
    known = staged(volumes, **{"field.sizeBytes": "100", "field.other": "kept"})
    assert known.without_size().publish_context == {"token": "t", "field.other": "kept"}
    assert known.without_size().staging == "/staging"


def test_the_new_size_is_remembered_where_one_was_told(volumes: StagedVolumes) -> None:
    grown = staged(volumes, **{"field.sizeBytes": "100"}).with_size(200)
    assert grown.publish_context == {"token": "t", "field.sizeBytes": "200"}
    volumes.keep(grown)
    found = volumes.find("data")
    assert found is not None
    assert found.publish_context == grown.publish_context
    assert staged(volumes).with_size(200).publish_context == {"token": "t"}
