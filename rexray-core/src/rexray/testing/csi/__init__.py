"""A CSI service in memory, for tests of clients: it keeps what it is told and enforces the order of calls.

::

    script = Script()
    with serving(MemoryCSI(), script, f"unix:{path}") as endpoint, CSIClient(endpoint) as client:
        ...
"""

from __future__ import annotations

from rexray.testing.csi.memory import MemoryCSI
from rexray.testing.csi.serving import Fault, Script, serving

__all__ = ["Fault", "MemoryCSI", "Script", "serving"]
