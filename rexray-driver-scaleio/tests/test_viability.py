"""Whether a host looks like one for ScaleIO, on made trees of /dev and made environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray_driver_scaleio.node import ScaleIoNode
from rexray_driver_scaleio.viability import viability


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A host without an SDC: its ``dev``, with room for ``drv_cfg`` beside it."""
    dev = tmp_path / "dev"
    dev.mkdir()
    return dev


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_a_host_without_an_sdc_and_a_gateway_is_none(bare: Path) -> None:
    found = viability(dev=bare, drv_cfg="/nowhere/drv_cfg", environ={"GOSCALEIO_ENDPOINT": "", "SCALEIO_GUID": "x"})
    assert not found.ok
    for word in ("/nowhere/drv_cfg", "scini", "GOSCALEIO_ENDPOINT"):
        assert word in found.reason
    assert "\n" not in found.reason


def test_the_sdc_is_known_by_its_program(bare: Path) -> None:
    drv_cfg = program(bare.parent / "drv_cfg")
    assert viability(dev=bare, drv_cfg=drv_cfg, environ={}).ok
    assert viability(dev=bare, drv_cfg="/nowhere/drv_cfg", environ={"SCALEIO_DRVCFG": drv_cfg}).ok
    Path(drv_cfg).chmod(0o644)
    assert not viability(dev=bare, drv_cfg=drv_cfg, environ={}).ok


def test_the_sdc_is_known_by_its_modules_node(bare: Path) -> None:
    (bare / "scinia").touch()
    assert not viability(dev=bare, drv_cfg="/nowhere/drv_cfg", environ={}).ok
    (bare / "scini").touch()
    assert viability(dev=bare, drv_cfg="/nowhere/drv_cfg", environ={}).ok


@pytest.mark.parametrize("name", ["GOSCALEIO_ENDPOINT", "SCALEIO_ENDPOINT"])
def test_a_gateway_in_the_environment_will_do(bare: Path, name: str) -> None:
    assert viability(dev=bare, drv_cfg="/nowhere/drv_cfg", environ={name: "https://gateway/api"}).ok


def test_the_driver_asks_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSCALEIO_ENDPOINT", "https://gateway/api")
    assert ScaleIoNode.viable().ok
