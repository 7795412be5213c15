"""The drivers keep to the contracts, by the conformance kit, on a simulated gateway and a simulated host of it."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator

import pytest

from gateway_parts import Gateway
from rexray.settings import Sources
from rexray.testing.conformance import NodeConformance, StorageConformance
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import StorageRig
from rexray_driver_scaleio.storage import ScaleIoStorage
from rexray_os_linux.devices import Devices
from rexray_os_linux.driver import LinuxOS
from scaleio_kit import Backing, FolderNode, node_sources, stalled
from scaleio_parts import OTHER, WEB, environ
from sdc_parts import SdcHost

STEP = 8 << 30
"""Volumes are made in steps of 8 GiB."""
MOST = 8
"""How many volumes a host may have."""
ONE_TRY = "0.001ms"
"""A time in which nothing is tried again: a request gets the shortest wait that there is."""


@pytest.fixture(scope="module")
def array() -> Iterator[Gateway]:
    """A gateway whose volumes are not all REX-Ray's."""
    with Gateway() as gateway:
        gateway.add_sdc(WEB, "10.0.0.11", name="web")
        gateway.fill(2, prefix="theirs", mapped_to=gateway.add_sdc(OTHER, "10.0.0.12"))
        gateway.add_volume(None)
        yield gateway


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The URL of somebody who takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/api"


class TestScaleIo(StorageConformance):
    @pytest.fixture
    def rig(self, array: Gateway, silent: str) -> StorageRig:
        def sources(**more: str) -> Sources:
            return Sources(environ=environ(array, SCALEIO_MAXVOLUMES=str(MOST), **more))

        return StorageRig(
            ScaleIoStorage,
            sources(),
            size_bytes=STEP,
            step_bytes=STEP,
            hosts=(WEB, OTHER),
            contents=Backing(array),
            modification={"rmcache": "true"},
            calls=lambda: len(array.calls),
            troubles={
                "unreachable": sources(GOSCALEIO_ENDPOINT="https://127.0.0.1:1/api", SCALEIO_TIMEOUT=ONE_TRY),
                "hanging": sources(GOSCALEIO_ENDPOINT=silent, SCALEIO_TIMEOUT=ONE_TRY),
                "denied": sources(GOSCALEIO_PASSWORD="not-it"),
            },
        )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SdcHost]:
    folder = tmp_path_factory.mktemp("sdc")
    with Gateway() as gateway:
        gateway.add_sdc(OTHER, "10.0.0.12")
        with SdcHost(gateway, folder / "host", dev=folder / "dev") as host:
            yield host
        assert not (folder / "dev/disk").exists(), "a link was left"
        assert host.unmapped_in_use == []


@pytest.mark.needs("root", "loop")
class TestNode(NodeConformance):
    @pytest.fixture
    def rig(self, host: SdcHost) -> NodeRig:
        sources = node_sources(host)
        storage = StorageRig(
            ScaleIoStorage, sources, size_bytes=STEP, step_bytes=STEP, contents=Backing(host.gateway, host)
        )
        return NodeRig(
            FolderNode,
            sources,
            storage,
            os=LinuxOS(devices=Devices(dev=host.dev)),
            devices=BlockDevices(),
            stall=functools.partial(stalled, host),
        )
