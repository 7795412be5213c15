"""What the plug-in declares is what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import handlers_of
from rexray.errors import BrokenPlugin, SettingsError
from rexray.settings import Sources
from rexray_driver_csi_vfs.driver import VFSPlugin
from rexray_driver_csi_vfs.settings import VFSSettings
from vfs_parts import NODE, Vfs, run_script, settings_below


def test_every_call_but_those_for_block_volumes_is_served(vfs: Vfs) -> None:
    served = set(handlers_of(vfs.plugin))
    assert {call.path for call in rpc.CALLS} - served == {
        call.path for call in rpc.CALLS if call.service == "SnapshotMetadata"
    }


def test_the_capabilities_declared_are_those_reported(vfs: Vfs) -> None:
    plugin = vfs.call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest()).capabilities
    controller = vfs.call(rpc.CONTROLLER_GET_CAPABILITIES, pb.ControllerGetCapabilitiesRequest()).capabilities
    group_request = pb.GroupControllerGetCapabilitiesRequest()
    group = vfs.call(rpc.GROUP_CONTROLLER_GET_CAPABILITIES, group_request).capabilities
    node = vfs.call(rpc.NODE_GET_CAPABILITIES, pb.NodeGetCapabilitiesRequest()).capabilities
    reported = {
        *(pb.PluginCapability.Service.Type.Name(item.service.type) for item in plugin if item.HasField("service")),
        *(pb.ControllerServiceCapability.RPC.Type.Name(item.rpc.type) for item in controller),
        *(pb.GroupControllerServiceCapability.RPC.Type.Name(item.rpc.type) for item in group),
        *(pb.NodeServiceCapability.RPC.Type.Name(item.rpc.type) for item in node),
    }
    assert set(VFSPlugin.capabilities) == reported
    assert len(VFSPlugin.capabilities) == len(reported)
    [growth] = [item.volume_expansion.type for item in plugin if item.HasField("volume_expansion")]
    assert growth == pb.PluginCapability.VolumeExpansion.ONLINE


def test_every_capability_of_a_controller_that_a_directory_can_have_is_there() -> None:
    every = set(pb.ControllerServiceCapability.RPC.Type.keys()) - {"UNKNOWN"}
    assert every - set(VFSPlugin.capabilities) <= {"VOLUME_CONDITION", "GET_CAPACITY_BY_TOPOLOGY"}


def test_it_says_who_and_where_it_is(vfs: Vfs) -> None:
    info = vfs.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest())
    assert info.name == "com.rexray.vfs"
    assert info.vendor_version
    assert vfs.call(rpc.PROBE, pb.ProbeRequest()).ready.value
    node = vfs.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest())
    assert node.node_id == NODE
    assert node.accessible_topology == vfs.create("data").accessible_topology[0]


def test_listing_it_imports_neither_grpc_nor_protobuf() -> None:
    script = (
        "import sys, rexray_driver_csi_vfs.driver; print([m for m in ('grpc', 'google.protobuf') if m in sys.modules])"
    )
    assert run_script(script).output.strip() == "[]"


def test_making_it_has_no_effect(tmp_path: Path) -> None:
    VFSPlugin(settings_below(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_the_original_s_variables_are_read() -> None:
    environ = {
        "X_CSI_VFS_DATA": "/d",
        "X_CSI_VFS_VOL": "/v",
        "X_CSI_VFS_VOL_GLOB": "a*",
        "X_CSI_VFS_NODE_ID": "n",
        "X_CSI_VFS_MAX_VOLUMES": "7",
    }
    loaded = Sources(environ=environ).load(VFSSettings)
    assert [str(loaded.directory(name)) for name in ("vol", "dev", "mnt", "snap")] == [
        "/v",
        "/d/dev",
        "/d/mnt",
        "/d/snap",
    ]
    assert (loaded.vol_glob, loaded.node, loaded.max_volumes) == ("a*", "n", 7)
    assert Sources(environ={}).load(VFSSettings).directory("vol") == Path.home() / ".csi-vfs/vol"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"bindfs": "/usr/bin/bindfs"}, "X_CSI_VFS_BINDFS"),
        ({"max_volumes": -1}, "X_CSI_VFS_MAX_VOLUMES"),
        ({"node_id": "x" * 257}, "X_CSI_VFS_NODE_ID"),
        ({"dev": "/same", "mnt": "/same"}, "X_CSI_VFS_DEV"),
        ({"vol": "/outer", "dev": "/outer/dev"}, "X_CSI_VFS_DEV"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(
    tmp_path: Path, wrong: dict[str, str | int], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        VFSPlugin(settings_below(tmp_path, **wrong)).start()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(BrokenPlugin, match=r"csi-vfs: .*data"):
        VFSPlugin(settings_below(tmp_path / "data")).start()


def test_what_is_ours_is_for_nobody_else(vfs: Vfs) -> None:
    vfs.create("data")
    for kind in ("vol", "dev", "mnt", "snap", "vol/.rexray", "snap/.rexray", "mnt/.rexray"):
        assert (vfs.data / kind).stat().st_mode & 0o077 == 0
    assert (vfs.data / "vol/.rexray/meta/data.json").stat().st_mode & 0o077 == 0
