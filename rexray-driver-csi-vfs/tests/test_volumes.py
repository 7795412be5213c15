"""Volumes: made once, found, changed, deleted."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    OutOfRange,
)
from rexray_driver_csi_vfs.settings import VFSSettings
from vfs_parts import (
    GIB,
    NOBODY,
    NODE,
    Mode,
    Vfs,
    capability,
    from_snapshot,
    from_volume,
    run_script,
    settings_below,
    tree,
)

MIB = 1 << 20


def test_a_volume_is_a_directory_and_its_id_its_name(vfs: Vfs) -> None:
    volume = vfs.create("data", size=GIB)
    assert (volume.volume_id, volume.capacity_bytes) == ("data", GIB)
    assert vfs.volume("data").is_dir()
    assert list(volume.accessible_topology[0].segments.values()) == [NODE]
    assert vfs.get("data").volume == volume


def test_creating_twice_is_creating_once(vfs: Vfs) -> None:
    first = vfs.create("data", size=GIB)
    (vfs.volume("data") / "file").write_text("kept")
    assert vfs.create("data", size=GIB) == first
    assert vfs.create("data", limit=2 * GIB) == first
    assert (vfs.volume("data") / "file").read_text() == "kept"


def test_creating_it_with_another_size_names_both(vfs: Vfs) -> None:
    vfs.create("data", size=GIB)
    with pytest.raises(AlreadyExists, match=rf"{GIB} bytes.*{2 * GIB}"):
        vfs.create("data", size=2 * GIB)


def test_creating_it_with_other_parameters_or_another_source_is_refused(vfs: Vfs) -> None:
    vfs.create("other")
    vfs.create("data", parameters={"mode": "0700"})
    with pytest.raises(AlreadyExists, match="0700"):
        vfs.create("data", parameters={"mode": "0750"})
    with pytest.raises(AlreadyExists, match="volume 'other'"):
        vfs.create("data", parameters={"mode": "0700"}, source=from_volume("other"))


def test_without_a_size_a_gibibyte_is_noted(vfs: Vfs) -> None:
    assert vfs.create("data").capacity_bytes == GIB
    assert vfs.create("small", limit=1000).capacity_bytes == 1000


@pytest.mark.parametrize(
    ("size", "limit", "error"),
    [(-1, 0, InvalidRequest), (0, -1, InvalidRequest), (2, 1, OutOfRange), (1 << 62, 0, OutOfRange)],
)
def test_a_size_that_cannot_be_is_refused_and_nothing_made(
    vfs: Vfs, size: int, limit: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        vfs.create("data", size=size, limit=limit)
    assert vfs.names() == []
    assert not vfs.leftovers()


def test_a_directory_that_somebody_put_there_is_a_volume_without_a_capacity(vfs: Vfs) -> None:
    vfs.volume("old").mkdir()
    assert vfs.names() == ["old"]
    assert vfs.get("old").volume.capacity_bytes == 0


def test_such_a_directory_is_adopted_with_the_capacity_that_is_asked_for(vfs: Vfs) -> None:
    vfs.volume("old").mkdir()
    (vfs.volume("old") / "file").write_text("kept")
    assert vfs.create("old", size=2 * GIB).capacity_bytes == 2 * GIB
    assert vfs.get("old").volume.capacity_bytes == 2 * GIB
    with pytest.raises(AlreadyExists):
        vfs.create("old", size=3 * GIB)
    assert (vfs.volume("old") / "file").read_text() == "kept"


def test_such_a_directory_is_no_copy_of_anything(vfs: Vfs) -> None:
    vfs.create("source")
    vfs.volume("old").mkdir()
    with pytest.raises(AlreadyExists, match="volume 'source'"):
        vfs.create("old", source=from_volume("source"))


def test_parameters_give_the_directory_its_mode(vfs: Vfs) -> None:
    vfs.create("data", parameters={"mode": "2770"})
    assert stat.S_IMODE(vfs.volume("data").stat().st_mode) == 0o2770


@pytest.mark.needs("root")
def test_parameters_give_the_directory_its_owner(vfs: Vfs) -> None:
    vfs.create("data", parameters={"uid": "1234"}, mutable={"gid": "2345", "mode": "0o700"})
    facts = vfs.volume("data").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (1234, 2345, 0o700)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"colour": "red"}, "parameter 'colour' is unknown: there are mode, uid, gid"),
        ({"mode": "rwx"}, "mode='rwx' is not a file mode in octal"),
        ({"mode": "17777"}, "mode='17777'"),
        ({"uid": "-1"}, "uid='-1' is not the number of a user or group"),
        ({"gid": "4294967295"}, "gid='4294967295'"),
    ],
)
def test_a_bad_parameter_is_named(vfs: Vfs, parameters: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        vfs.create("data", parameters=parameters)
    assert vfs.names() == []


def test_what_kubernetes_adds_to_parameters_is_left_aside(vfs: Vfs) -> None:
    vfs.create("data", parameters={"csi.storage.k8s.io/pvc/name": "claim"})
    assert vfs.names() == ["data"]


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (pb.VolumeCapability(), "no access type"),
        (pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume()), "access type block"),
        (capability(Mode.MULTI_NODE_MULTI_WRITER), "MULTI_NODE_MULTI_WRITER"),
        (capability(fs_type="ntfs"), "fs_type 'ntfs'"),
        (capability(flags=["loud"]), "mount option 'loud'"),
    ],
)
def test_a_capability_that_a_directory_lacks_is_refused(vfs: Vfs, wanted: pb.VolumeCapability, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        vfs.call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name="data", volume_capabilities=[wanted]))
    vfs.create("data")
    request = pb.ValidateVolumeCapabilitiesRequest(volume_id="data", volume_capabilities=[wanted])
    answer = vfs.call(rpc.VALIDATE_VOLUME_CAPABILITIES, request)
    assert complaint in answer.message
    assert not answer.HasField("confirmed")


def test_the_type_of_the_filesystem_below_may_be_named(vfs: Vfs) -> None:
    stat_f = ["stat", "--file-system", "--format=%T", str(vfs.data)]
    here = (
        subprocess.run(stat_f, check=True, capture_output=True, text=True).stdout.strip().replace("ext2/ext3", "ext4")
    )
    wanted = capability(fs_type=here)
    vfs.call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name="data", volume_capabilities=[wanted]))
    request = pb.ValidateVolumeCapabilitiesRequest(volume_id="data", volume_capabilities=[wanted])
    assert vfs.call(rpc.VALIDATE_VOLUME_CAPABILITIES, request).HasField("confirmed")


def test_a_volume_for_another_host_cannot_be_had(vfs: Vfs) -> None:
    topology = vfs.create("here").accessible_topology[0]
    elsewhere = pb.Topology(segments={next(iter(topology.segments)): "elsewhere"})

    def create(name: str, *requisite: pb.Topology) -> None:
        wanted = pb.TopologyRequirement(requisite=requisite)
        vfs.call(
            rpc.CREATE_VOLUME,
            pb.CreateVolumeRequest(name=name, volume_capabilities=[capability()], accessibility_requirements=wanted),
        )

    with pytest.raises(OutOfCapacity, match="this host"):
        create("data", elsewhere)
    create("either", elsewhere, topology)
    assert vfs.names() == ["either", "here"]


def test_deleting_takes_the_content_and_the_metadata(vfs: Vfs) -> None:
    vfs.create("data", size=2 * GIB)
    (vfs.volume("data") / "deep/er").mkdir(parents=True)
    (vfs.volume("data") / "deep/er/file").write_text("x")
    vfs.delete("data")
    assert vfs.names() == []
    assert not vfs.leftovers()
    assert vfs.create("data", size=GIB).capacity_bytes == GIB
    assert list(vfs.volume("data").iterdir()) == []


def test_deleting_what_is_not_there_is_success(vfs: Vfs) -> None:
    vfs.delete("data")
    vfs.create("data")
    vfs.delete("data")
    vfs.delete("data")


def test_deleting_goes_as_deep_as_the_content(vfs: Vfs) -> None:
    vfs.create("data")
    folder = os.open(vfs.volume("data"), os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    vfs.delete("data")
    assert vfs.names() == []
    assert not vfs.leftovers()


def test_growing_notes_the_new_capacity_and_never_shrinks(vfs: Vfs) -> None:
    vfs.create("data", size=2 * GIB)

    def expand(size: int, limit: int = 0) -> int:
        wanted = pb.CapacityRange(required_bytes=size, limit_bytes=limit)
        request = pb.ControllerExpandVolumeRequest(volume_id="data", capacity_range=wanted)
        answer = vfs.call(rpc.CONTROLLER_EXPAND_VOLUME, request)
        assert not answer.node_expansion_required
        return answer.capacity_bytes

    assert expand(3 * GIB) == 3 * GIB
    assert expand(GIB) == 3 * GIB
    with pytest.raises(OutOfRange):
        expand(GIB, limit=GIB)
    with pytest.raises(OutOfRange):
        expand(1 << 62)
    assert vfs.get("data").volume.capacity_bytes == 3 * GIB


def test_growing_without_a_size_grows_nothing(vfs: Vfs) -> None:
    vfs.create("data", size=MIB)
    request = pb.ControllerExpandVolumeRequest(volume_id="data", capacity_range=pb.CapacityRange())
    with pytest.raises(InvalidRequest, match="capacity_range"):
        vfs.call(rpc.CONTROLLER_EXPAND_VOLUME, request)
    request.capacity_range.limit_bytes = 2 * MIB
    assert vfs.call(rpc.CONTROLLER_EXPAND_VOLUME, request).capacity_bytes == MIB
    assert vfs.get("data").volume.capacity_bytes == MIB


@pytest.mark.parametrize("source", [from_volume(""), from_snapshot(""), pb.VolumeContentSource()])
def test_an_empty_volume_does_not_pass_for_a_copy_of_nothing(vfs: Vfs, source: pb.VolumeContentSource) -> None:
    with pytest.raises(InvalidRequest, match="volume_content_source"):
        vfs.create("data", source=source)
    assert vfs.names() == []


def modify(vfs: Vfs, name: str, **changes: str) -> None:
    request = pb.ControllerModifyVolumeRequest(volume_id=name, mutable_parameters=changes)
    vfs.call(rpc.CONTROLLER_MODIFY_VOLUME, request)


def test_modifying_changes_the_directory_and_not_what_is_in_it(vfs: Vfs) -> None:
    vfs.create("data", size=GIB)
    (vfs.volume("data") / "file").write_text("x")
    before = tree(vfs.volume("data"))
    modify(vfs, "data", mode="0710")
    assert stat.S_IMODE(vfs.volume("data").stat().st_mode) == 0o710
    assert tree(vfs.volume("data")) == before
    with pytest.raises(NotFound):
        modify(vfs, "missing", mode="0710")
    with pytest.raises(InvalidRequest, match="'size'"):
        modify(vfs, "data", size="3")


AS_NOBODY = """
import sys
from pathlib import Path
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import Forbidden
from vfs_parts import Vfs, become_nobody
become_nobody()
vfs = Vfs(Path(sys.argv[1]))
vfs.create("data", parameters={"mode": "0750"})
request = pb.ControllerModifyVolumeRequest(volume_id="data", mutable_parameters={"uid": "0", "mode": "0777"})
try:
    vfs.call(rpc.CONTROLLER_MODIFY_VOLUME, request)
except Forbidden as error:
    print(error)
"""


@pytest.mark.needs("root")
def test_a_change_that_fails_changes_nothing(nobodys_home: Path) -> None:
    ended = run_script(AS_NOBODY, nobodys_home)
    assert "uid" in ended.output, ended.errors
    facts = (nobodys_home / "data/vol/data").stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (NOBODY, 0o750)
    assert '"mutable": {}' in (nobodys_home / "data/vol/.rexray/meta/data.json").read_text()


def test_capacity_is_the_filesystem_s(vfs: Vfs) -> None:
    answer = vfs.call(rpc.GET_CAPACITY, pb.GetCapacityRequest())
    facts = os.statvfs(vfs.data)
    assert abs(answer.available_capacity - facts.f_bavail * facts.f_frsize) < GIB
    assert answer.maximum_volume_size.value == facts.f_blocks * facts.f_frsize


@pytest.mark.parametrize(
    "request_",
    [
        pb.GetCapacityRequest(volume_capabilities=[capability(Mode.MULTI_NODE_MULTI_WRITER)]),
        pb.GetCapacityRequest(parameters={"colour": "red"}),
        pb.GetCapacityRequest(accessible_topology=pb.Topology(segments={"zone": "elsewhere"})),
    ],
)
def test_there_is_no_capacity_for_what_cannot_be_had(vfs: Vfs, request_: pb.GetCapacityRequest) -> None:
    assert vfs.call(rpc.GET_CAPACITY, request_).available_capacity == 0


def test_the_directories_may_be_anywhere(home: Path) -> None:
    vfs = Vfs(home, vol=str(home / "elsewhere"))
    vfs.create("data")
    assert (home / "elsewhere/data").is_dir()
    assert settings_below(home, vol="~/v").directory("vol") == Path.home() / "v"
    assert VFSSettings(data="").directory("vol") == Path.home() / ".csi-vfs/vol"


@pytest.mark.needs("root")
def test_a_volume_that_is_a_mount_point_is_served_but_not_deleted(vfs: Vfs, home: Path) -> None:
    disk = home / "disk"
    disk.mkdir()
    (disk / "precious").write_text("x")
    vfs.volume("data").mkdir()
    mounts.bind(disk, vfs.volume("data"))
    assert (vfs.mount("data") / "precious").read_text() == "x"
    vfs.unmount("data")
    with pytest.raises(InUse, match="mounted at"):
        vfs.delete("data")
    assert (disk / "precious").exists()
