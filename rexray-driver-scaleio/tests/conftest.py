"""The fixtures of the tests of scaleio: a gateway with two SDCs, and a driver of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway_parts import Gateway
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import OTHER, WEB, storage


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        gateway.add_sdc(WEB, "10.0.0.11", name="web")
        gateway.add_sdc(OTHER, "10.0.0.12")
        yield gateway


@pytest.fixture
def driver(gateway: Gateway) -> ScaleIoStorage:
    return storage(gateway)
