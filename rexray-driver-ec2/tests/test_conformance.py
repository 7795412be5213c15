"""The drivers keep to the contracts, by the conformance kit, on a simulated EC2 and on a simulated Nitro instance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ec2_driver import sources
from ec2_kit import Ec2Node, Ec2Storage, Files, NitroHost, data_cloud, nitro_host, silence
from ec2_parts import ACCESS_KEY, ZONE, Cloud
from rexray.errors import AlreadyExists
from rexray.mixins import Snapshots
from rexray.testing.conformance import NodeConformance, StorageConformance, deviation
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import StorageRig
from rexray.types import Snapshot
from rexray_os_linux.devices import Devices
from rexray_os_linux.driver import LinuxOS

WAIT = "10ms"
"""How long to wait before the state of something is first asked for."""


@pytest.fixture(scope="module")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with data_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        cloud.control(keys={ACCESS_KEY: {}})
        yield cloud


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    with silence() as url:
        yield url


@pytest.fixture(scope="module")
def instances(with_data: Cloud) -> list[str]:
    with_data.run_instance(f"{ZONE[:-1]}b")
    return with_data.instances(3, ZONE)


class TestStorage(StorageConformance):
    @pytest.fixture
    def rig(self, with_data: Cloud, instances: list[str], silent: str) -> StorageRig:
        cloud = with_data
        return StorageRig(
            Ec2Storage,
            sources(cloud.url, EC2_STATUSINITIALDELAY=WAIT),
            hosts=instances,
            contents=Files(cloud),
            modification={"throughput": "250"},
            zone=ZONE,
            region="us-east-1",
            calls=cloud.calls,
            troubles={
                "unreachable": sources("http://127.0.0.1:1", EC2_MAXRETRIES="0"),
                "hanging": sources(silent, EC2_MAXRETRIES="0", EC2_TIMEOUT="500ms"),
                "denied": sources(cloud.url, AWS_ACCESS_KEY="AKIDNONE"),
            },
            many=20,
        )

    @deviation(
        "EC2 has no token that makes CreateSnapshot idempotent, and its names are not unique: one REX-Ray service takes"
        " one snapshot of a name, however many ask at one moment; two services at one moment may take two, and then "
        "every call for that name is AlreadyExists with both ids until one of them is removed"
    )
    def test_create_snapshot_at_one_moment_takes_one(self, rig: StorageRig, with_data: Cloud) -> None:
        with rig:
            volume, name = rig.create(), rig.name("-s")
            driver = rig.having(Snapshots)
            found = rig.together(*[lambda: driver.create_snapshot(volume.id, name)] * 4)
            [one] = {each.id for each in found if isinstance(each, Snapshot)}
            other = driver.create_snapshot(volume.id, rig.name("-s")).id
            with_data.client().create_tags(Resources=[other], Tags=[{"Key": "Name", "Value": name}])
            with pytest.raises(AlreadyExists, match="several snapshots") as caught:
                driver.create_snapshot(volume.id, name)
            assert one in str(caught.value)
            assert other in str(caught.value)
            driver.remove_snapshot(other)
            assert driver.create_snapshot(volume.id, name).id == one


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NitroHost]:
    with nitro_host(tmp_path_factory.mktemp("nitro")) as host:
        yield host


@pytest.mark.needs("root", "loop")
class TestNode(NodeConformance):
    @pytest.fixture
    def rig(self, host: NitroHost) -> NodeRig:
        storage = StorageRig(
            Ec2Storage,
            sources(host.cloud.url, EC2_STATUSINITIALDELAY=WAIT),
            hosts=(host.id, *host.others),
            contents=Files(host.cloud),
            zone=ZONE,
        )
        return NodeRig(
            Ec2Node,
            host.sources,
            storage,
            os=LinuxOS(devices=Devices(sys=host.sys, dev=host.dev)),
            devices=BlockDevices(),
            stall=host.stalled,
        )
