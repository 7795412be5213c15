"""Where the CSI service is: for the server to listen at, for clients to call."""

from __future__ import annotations

from dataclasses import dataclass

from rexray.paths import Paths
from rexray.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CSISettings:
    """The settings that server and clients share."""

    endpoint: str = setting(
        "",
        key="csi.endpoint",
        env="CSI_ENDPOINT",
        help="The endpoint of the CSI module; /run/docker/plugins/rexray.sock if empty",
    )

    def endpoint_or_default(self, paths: Paths) -> str:
        """The endpoint, or the socket where Docker finds it by the name ``rexray``."""
        return self.endpoint or str(paths.sockets / "rexray.sock")
