"""Health: silent when all is well, and naming what is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import NotFound
from vfs_parts import Vfs, run_script


def reasons(vfs: Vfs, name: str) -> list[str]:
    by_controller = vfs.call(rpc.CONTROLLER_GET_VOLUME_HEALTH, pb.ControllerGetVolumeHealthRequest(volume_id=name))
    by_node = vfs.call(rpc.NODE_GET_VOLUME_HEALTH, pb.NodeGetVolumeHealthRequest(volume_id=name))
    assert by_controller.volume_health == by_node.volume_health
    return [entry.reason for entry in by_node.volume_health.health_statuses]


def storage(vfs: Vfs) -> list[str]:
    answer = vfs.call(rpc.NODE_GET_STORAGE_HEALTH, pb.NodeGetStorageHealthRequest())
    return [entry.reason for entry in answer.backend_health]


def test_nothing_is_wrong_with_what_is_well(vfs: Vfs) -> None:
    vfs.create("data")
    assert reasons(vfs, "data") == []
    assert vfs.call(rpc.CONTROLLER_LIST_VOLUME_HEALTH, pb.ControllerListVolumeHealthRequest()).entries == []
    assert "DirectoryUnusable" not in storage(vfs)


def test_a_missing_volume_is_not_found(vfs: Vfs) -> None:
    with pytest.raises(NotFound):
        reasons(vfs, "data")


@pytest.mark.needs("root")
def test_mounts_that_are_gone_are_told_until_they_are_back(vfs: Vfs) -> None:
    vfs.create("data")
    vfs.create("well")
    vfs.mount("data")
    vfs.mount("well")
    assert reasons(vfs, "data") == []
    for path in (vfs.target("data"), vfs.staging("data"), vfs.device("data")):
        mounts.unmount(path)
    assert sorted(reasons(vfs, "data")) == ["NotBound", "NotMounted", "NotMounted"]
    listed = vfs.call(rpc.CONTROLLER_LIST_VOLUME_HEALTH, pb.ControllerListVolumeHealthRequest()).entries
    assert [entry.volume_id for entry in listed] == ["data"]
    vfs.mount("data")
    assert reasons(vfs, "data") == []


@pytest.mark.needs("root")
def test_a_full_or_read_only_filesystem_is_told(home: Path) -> None:
    disk = home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    vfs = Vfs(home, data=disk)
    assert storage(vfs) == []
    (disk / "filler").write_bytes(b"x" * (1020 * 1024))
    assert storage(vfs) == ["NearlyFull"]
    (disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert storage(vfs) in (["ReadOnly"], ["DirectoryUnusable"])


UNREADABLE = """
import sys
from pathlib import Path
from test_health import reasons, storage
from vfs_parts import Vfs, become_nobody
become_nobody()
vfs = Vfs(Path(sys.argv[1]))
vfs.create("data")
vfs.volume("data").chmod(0)
print(reasons(vfs, "data"))
vfs.volume("data").chmod(0o700)
(vfs.data / "dev").chmod(0)
print(storage(vfs))
"""


@pytest.mark.needs("root")
def test_what_cannot_be_read_is_told(nobodys_home: Path) -> None:
    ended = run_script(UNREADABLE, nobodys_home)
    assert ended.output.splitlines() == ["['DirectoryUnreadable']", "['DirectoryUnusable']"], ended.errors
