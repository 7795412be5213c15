"""What makes a host one for Ceph's images."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.errors import Unsupported
from rexray_driver_ceph.clientconf import ClientConf
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.mappers import choose, make_mappers
from rexray_driver_ceph.mapping import Mapper
from rexray_driver_ceph.modules import is_loadable
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.viability import can_map, has_cluster


@pytest.mark.parametrize("name", ["RBD_CONF", "CEPH_CONF", "RBD_MONITORS", "CEPH_ARGS"])
def test_a_variable_tells_of_a_cluster(name: str) -> None:
    assert has_cluster(environ={name: "x"}, files=()).ok


def test_a_file_tells_of_a_cluster(tmp_path: Path) -> None:
    file = tmp_path / "ceph.conf"
    found = has_cluster(environ={"RBD_CONF": ""}, files=(file,))
    assert not found.ok
    assert "$RBD_CONF" in found.reason
    assert str(file) in found.reason
    file.touch()
    assert has_cluster(environ={}, files=(file,)).ok


def test_modules_are_looked_for_in_the_lists_of_depmod(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text("kernel/drivers/block/rbd.ko.xz: kernel/net/ceph/libceph.ko.xz\n")
    (tmp_path / "modules.builtin").write_text("kernel/drivers/block/loop.ko\n")
    loadable = [name for name in ("rbd", "loop", "nbd", "ceph", "rb") if is_loadable(name, tmp_path)]
    assert loadable in (["rbd", "loop"], [])  # none where there is no modprobe
    assert not is_loadable("rbd", tmp_path / "elsewhere")


def mappers(settings: RbdSettings) -> tuple[Mapper, ...]:
    cluster = Cluster(settings)
    return make_mappers(settings, cluster, ClientConf(cluster))


@pytest.mark.needs("root")
@pytest.mark.needs("ceph")
@pytest.mark.needs("loop")
@pytest.mark.needs("qemu-storage-daemon")
def test_a_host_without_modules_maps_in_user_space() -> None:
    found = mappers(RbdSettings())
    assert [mapper.name for mapper in found] == ["krbd", "nbd", "loop"]
    assert not found[-1].missing()
    first = next(mapper for mapper in found if not mapper.missing())
    assert choose(RbdSettings(), found) is first
    assert choose(RbdSettings(mapper="loop"), found).name == "loop"
    assert can_map(RbdSettings()).ok


def test_what_is_missing_is_said_for_every_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("krbd", "nbd", "loop"):
        settings = RbdSettings(mapper=name, test_module=False)
        (only,) = (mapper for mapper in mappers(settings) if mapper.name == name)
        missing = only.missing()
        if missing:
            with pytest.raises(Unsupported, match=f"{name}: "):
                choose(settings, mappers(settings))
            assert not can_map(settings).ok
            assert missing in can_map(settings).reason
