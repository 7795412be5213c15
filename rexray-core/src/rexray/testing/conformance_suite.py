"""What ``pytest --rexray-driver=NAME`` runs: the kit, on an installed driver with a configuration file."""

from __future__ import annotations

import pytest

from rexray.testing.conformance import NodeConformance, OSConformance, StorageConformance, VolumeConformance
from rexray.testing.kit.configured import node_rig, os_rig, storage_rig, volume_rig
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.os_rig import OSRig
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.volume_rig import VolumeRig


class TestStorage(StorageConformance):
    """The driver that ``--rexray-driver`` names."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> StorageRig:
        """The driver as the configuration file, the environment and nothing else configure it."""
        return storage_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)


class TestNode(NodeConformance):
    """The node driver beside it, on this host."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> NodeRig:
        """The driver with the same configuration, and with the storage driver's volumes."""
        return node_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)


class TestOS(OSConformance):
    """The OS driver of that name, on this host."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> OSRig:
        """The driver with loop devices, and a temporary folder for mounts."""
        return os_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)


class TestVolume(VolumeConformance):
    """The volume driver that ``--rexray-driver`` names, over what is configured."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> VolumeRig:
        """The driver as the configuration file, the environment and nothing else configure it."""
        return volume_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)
