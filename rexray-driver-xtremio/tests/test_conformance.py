"""The drivers keep to the contracts, by the conformance kit, on a simulated XMS and a simulated host of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from rexray.settings import Sources
from rexray.testing.conformance import NodeConformance, StorageConformance
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import StorageRig
from rexray_driver_xtremio.storage import XtremIoStorage
from rexray_os_linux.devices import Devices
from rexray_os_linux.driver import LinuxOS
from sysfs_parts import IQN
from xms_parts import Xms
from xtremio_kit import Files, LiveHost, TreeNode, forget
from xtremio_parts import HERE, TARGET, THERE, environ, map_there

MOST = 8
"""How many volumes a host may have."""
CHAP = {"XTREMIO_CHAPUSER": "rexray", "XTREMIO_CHAPPASSWORD": "a-secret-of-initiators"}
ONE_TRY = "0.001ms"
"""A time in which nothing is tried again: a request gets the shortest wait that there is."""


@pytest.fixture(scope="module")
def array() -> Iterator[Xms]:
    """An XMS whose volumes are not all REX-Ray's."""
    with Xms(password="a-password-of-some-length") as xms:
        xms.add_portal("10.205.68.5", iqn=TARGET)
        xms.fill(2, prefix="theirs-")
        map_there(xms, "theirs-00000", "iqn.1993-08.org.debian:01:theirs")
        yield xms


@pytest.fixture
def hosts(request: pytest.FixtureRequest, array: Xms) -> Iterator[tuple[str, str]]:
    """Two hosts that the array learns of from the driver, unless a check begins with what it knows of them."""
    if request.node.name == "test_an_instance_takes_no_more_volumes_than_it_says":
        array.add_initiator_group(HERE)
        array.add_initiator(HERE, HERE, HERE)
    yield (HERE, THERE)
    forget(array, HERE, THERE)


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The URL of somebody who takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/api/json"


class TestXtremIo(StorageConformance):
    @pytest.fixture
    def rig(self, array: Xms, hosts: tuple[str, str], silent: str) -> StorageRig:
        def sources(**more: str) -> Sources:
            return Sources(environ=environ(array, XTREMIO_MAXVOLUMES=str(MOST), **CHAP, **more))

        return StorageRig(
            XtremIoStorage,
            sources(),
            hosts=hosts,
            contents=Files(array),
            calls=lambda: len(array.calls),
            troubles={
                "unreachable": sources(GOXTREMIO_ENDPOINT="https://127.0.0.1:1/api/json", XTREMIO_TIMEOUT=ONE_TRY),
                "hanging": sources(GOXTREMIO_ENDPOINT=silent, XTREMIO_TIMEOUT=ONE_TRY),
                "denied": sources(GOXTREMIO_PASSWORD="not-it"),
            },
        )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHost]:
    folder = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch, Xms() as xms:
        xms.add_portal("10.205.68.5", iqn=TARGET)
        for name in (IQN, THERE):
            xms.add_initiator_group(name)
            xms.add_initiator(name, name, name)
        patch.setenv("REXRAY_HOME", str(folder / "home"))
        patch.setenv("PATH", f"{folder / 'root/bin'}:{os.environ['PATH']}")
        with LiveHost(xms, folder / "root") as host:
            yield host


@pytest.mark.needs("root", "loop")
class TestNode(NodeConformance):
    @pytest.fixture
    def rig(self, request: pytest.FixtureRequest, host: LiveHost) -> NodeRig:
        # CHAP's password, which that check sets, is none without a user, and the user none without a password
        chap = CHAP if request.node.name == "test_no_secret_shows" else {}
        return NodeRig(
            TreeNode,
            Sources(environ={**host.sources.environ, **chap}),
            StorageRig(XtremIoStorage, host.sources, contents=Files(host.xms, host)),
            os=LinuxOS(devices=Devices(sys=host.sys, dev=host.dev)),
            devices=BlockDevices(),
            stall=host.stalled,
        )
