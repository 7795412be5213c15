"""What ``/readyz`` tells of each module, in the words of its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleState:
    """One module: the daemon is ready when every module's ``state`` is :data:`READY`.

    ``endpoint`` is its address, such as ``unix:///run/docker/plugins/rexray.sock``; ``service`` and ``driver`` are what
    it serves; ``state`` is one word, and ``reason`` is one line that says why it is not ready, without secrets.
    """

    name: str
    endpoint: str
    service: str
    driver: str
    state: str
    reason: str = ""

    @property
    def ready(self) -> bool:
        """Whether this module holds nothing up."""
        return self.state == READY


READY = "ready"
"""The state of a module that is started, with all that it serves."""
STARTING = "starting"
"""The state of a module that is not started yet."""
DEGRADED = "degraded"
"""The state of a module that serves while its platform can't be reached."""
FAILED = "failed"
"""The state of a module that could not start."""
