"""The checks of CSI plug-ins under pytest; :mod:`rexray.testing.conformance` has the class as well."""

from __future__ import annotations

from rexray.testing.conformance import Conformance
from rexray.testing.kit.suites import CSI


class CSIConformance(Conformance):
    """The checks of CSI plug-ins."""

    suite = CSI
    rig_type = "a CSIRig"
