"""What ``pytest --rexray-driver=NAME`` runs: the kit, on an installed driver with a configuration file."""

from __future__ import annotations

import pytest

from rexray.testing.conformance import StorageConformance
from rexray.testing.kit.configured import storage_rig
from rexray.testing.kit.rig import StorageRig


class TestStorage(StorageConformance):
    """The driver that ``--rexray-driver`` names."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> StorageRig:
        """The driver as the configuration file, the environment and nothing else configure it."""
        return storage_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)
