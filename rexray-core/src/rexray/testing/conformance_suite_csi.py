"""What ``pytest --rexray-driver=NAME`` runs for a CSI plug-in, in a module of its own because that needs gRPC."""

from __future__ import annotations

import pytest

from rexray.testing.conformance_csi import CSIConformance
from rexray.testing.kit.configured import csi_rig
from rexray.testing.kit.csi_rig import CSIRig


class TestCSI(CSIConformance):
    """The plug-in that ``--rexray-driver`` names."""

    @pytest.fixture
    def rig(self, pytestconfig: pytest.Config) -> CSIRig:
        """The plug-in as the configuration file, the environment and nothing else configure it."""
        return csi_rig(pytestconfig.option.rexray_driver, pytestconfig.option.rexray_config)
