"""The core's own drivers pass the kit, on the platform in memory with real mounts: docker, csi and libstorage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_host import MemoryBridge, VolumesOfCSI, quick_home, sources_below, volume_rig, with_others
from rexray.testing.conformance import CSIConformance, VolumeConformance
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.volume_rig import VolumeRig
from rexray.testing.memory.settings import MemorySettings

pytestmark = pytest.mark.needs("root")

MIB = 1 << 20


@pytest.fixture
def home() -> Iterator[Path]:
    with quick_home() as found:
        yield found


class TestDocker(VolumeConformance):
    @pytest.fixture
    def rig(self, home: Path) -> VolumeRig:
        return volume_rig(home)


class TestCSI(VolumeConformance):
    @pytest.fixture
    def rig(self, home: Path) -> VolumeRig:
        return volume_rig(home, VolumesOfCSI)


class TestLibstorage(CSIConformance):
    @pytest.fixture
    def rig(self, home: Path) -> CSIRig:
        sources = with_others(sources_below(home))
        return CSIRig(
            MemoryBridge,
            sources,
            composed=(MemorySettings,),
            size_bytes=64 * MIB,
            step_bytes=64 * MIB,
            files=True,
        )
