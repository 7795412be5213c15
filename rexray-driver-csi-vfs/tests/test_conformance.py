"""csi-vfs passes the kit as a CSI plug-in, and so does the volume driver ``csi`` over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.settings import Sources
from rexray.testing.conformance import CSIConformance, VolumeConformance
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.volume_rig import VolumeRig
from rexray_driver_csi_vfs.driver import VFSPlugin
from vfs_parts import GIB, MIB, NODE, VolumesOfVFS

pytestmark = pytest.mark.needs("root")


def sources_below(home: Path) -> Sources:
    return Sources(
        environ={
            "REXRAY_HOME": str(home / "rexray"),
            "X_CSI_VFS_DATA": str(home / "data"),
            "X_CSI_VFS_NODE_ID": NODE,
        }
    )


class TestVFS(CSIConformance):
    @pytest.fixture
    def rig(self, home: Path) -> CSIRig:
        return CSIRig(VFSPlugin, sources_below(home), size_bytes=MIB, step_bytes=MIB, files=True)


class TestCSIOverVFS(VolumeConformance):
    @pytest.fixture
    def rig(self, home: Path) -> VolumeRig:
        return VolumeRig(
            VolumesOfVFS,
            sources_below(home),
            options={"size": "1GiB"},
            different={"size": f"{2 * GIB}B"},
            files=True,
            other_filesystem="vfat",
        )
