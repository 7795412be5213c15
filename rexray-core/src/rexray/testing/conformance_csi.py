"""The checks of CSI plug-ins under pytest; :mod:`rexray.testing.conformance` has the class as well."""

from __future__ import annotations

import pytest

from rexray.testing.conformance import Conformance
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.suites import CSI


class CSIConformance(Conformance):
    """The checks of CSI plug-ins."""

    suite = CSI

    @pytest.fixture
    def rig(self) -> CSIRig:
        """The plug-in under test: override this."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a fixture 'rig' that returns a CSIRig")
