"""The fixtures of the tests of xtremio: an XMS for each test, and a driver for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_parts import TARGET, driver


@pytest.fixture
def xms() -> Iterator[Xms]:
    with Xms() as xms:
        xms.add_portal("10.205.68.5", iqn=TARGET)
        xms.add_portal("10.205.68.6", iqn=TARGET)
        yield xms


@pytest.fixture
def old_xms() -> Iterator[Xms]:
    """An XMS that only has REST v1."""
    with Xms(version="3.0.1-11") as xms:
        xms.add_portal("10.205.68.5", iqn=TARGET)
        yield xms


@pytest.fixture
def storage(xms: Xms) -> XtremIoStorage:
    return driver(xms)


@pytest.fixture(params=["v1", "v2"])
def each_xms(request: pytest.FixtureRequest) -> Xms:
    """An XMS with REST v1 and one with v2."""
    found: Xms = request.getfixturevalue("xms" if request.param == "v2" else "old_xms")
    return found
