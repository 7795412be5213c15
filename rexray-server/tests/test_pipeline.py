"""What CSI calls pass through: validation, one call at a time a volume, modes, the plug-in's name."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import LocalCaller
from rexray.errors import Busy, InUse, InvalidRequest, OutOfRange, RexrayError, SettingsError, Unsupported
from rexray_server.csi.pipeline import LOCKED_CALLS, Pipeline, keys_of, parse_plugin_info
from rexray_server.csi.validation import REQUIRED, validate
from rexray_server.settings import ServerSettings, refuse_unsupported
from server_parts import SmallPlugin

MODES = pb.VolumeCapability.AccessMode
MOUNT = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=MODES(mode=MODES.SINGLE_NODE_WRITER))


def create(name: str, **more: Any) -> pb.CreateVolumeRequest:
    return pb.CreateVolumeRequest(name=name, volume_capabilities=[MOUNT], **more)


@pytest.fixture
def pipeline() -> Callable[[ServerSettings], tuple[SmallPlugin, LocalCaller]]:
    def make(settings: ServerSettings) -> tuple[SmallPlugin, LocalCaller]:
        plugin = SmallPlugin()
        return plugin, LocalCaller(Pipeline(plugin, settings).handlers)

    return make


Make = Callable[[ServerSettings], tuple[SmallPlugin, LocalCaller]]


def test_two_calls_on_one_volume_exclude_each_other_and_the_second_is_told_by_whom(pipeline: Make) -> None:
    plugin, caller = pipeline(ServerSettings(serial_timeout=0.05))
    plugin.controller.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(caller.call, rpc.CREATE_VOLUME, create("data"), timeout=10)
        plugin.controller.entered.wait(5)
        with pytest.raises(Busy, match=r"CreateVolume: pending behind CreateVolume, under way for 0\.\d s"):
            caller.call(rpc.CREATE_VOLUME, create("data"), timeout=10)
        plugin.controller.gate.set()
        first.result(5)
    assert plugin.controller.created == ["data"]
    caller.call(rpc.CREATE_VOLUME, create("data"), timeout=10)


def test_calls_on_different_volumes_run_side_by_side(pipeline: Make) -> None:
    plugin, caller = pipeline(ServerSettings())
    plugin.controller.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(caller.call, rpc.CREATE_VOLUME, create(f"v{n}"), timeout=10) for n in range(8)]
        threading.Timer(0.2, plugin.controller.gate.set).start()
        for call in calls:
            call.result(5)
    assert len(plugin.controller.created) == 8


def test_a_failed_call_lets_the_volume_go(pipeline: Make) -> None:
    _, caller = pipeline(ServerSettings())
    for _ in range(3):
        with pytest.raises(InUse):
            caller.call(rpc.CREATE_VOLUME, create("taken"), timeout=10)


def test_without_serial_access_calls_meet_in_the_plug_in(pipeline: Make) -> None:
    plugin, caller = pipeline(ServerSettings(serial=False, serial_timeout=0.01))
    plugin.controller.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(caller.call, rpc.CREATE_VOLUME, create("data"), timeout=10) for _ in range(2)]
        threading.Timer(0.2, plugin.controller.gate.set).start()
        for call in calls:
            call.result(5)
    assert plugin.controller.created == ["data", "data"]


def test_the_source_of_a_copy_is_locked_with_the_copy() -> None:
    clone = create("b", volume_content_source=pb.VolumeContentSource(volume={"volume_id": "a"}))
    restore = create("b", volume_content_source=pb.VolumeContentSource(snapshot={"snapshot_id": "s"}))
    assert set(keys_of(clone)) == {"volume a", "volume b"}
    assert set(keys_of(restore)) == {"volume b", "snapshot s"}
    assert set(keys_of(pb.DeleteVolumeRequest(volume_id="a"))) == {"volume a"}


def test_every_call_that_changes_something_is_locked() -> None:
    looking = ("Get", "List", "Validate", "Probe", "Capabilities", "Info", "Stats", "Health", "Capacity")
    changing = {call for call in rpc.CALLS if not any(word in call.name for word in looking)}
    assert changing == LOCKED_CALLS


@pytest.mark.parametrize(("mode", "served"), [("", "both"), ("controller", "Controller"), ("node", "Node")])
def test_a_mode_serves_only_its_half_and_the_identity(pipeline: Make, mode: str, served: str) -> None:
    _, caller = pipeline(ServerSettings(mode=mode))
    assert caller.call(rpc.PROBE, pb.ProbeRequest(), timeout=1) == pb.ProbeResponse()
    calls: list[tuple[rpc.Call[Any, Any], Message]] = [
        (rpc.LIST_VOLUMES, pb.ListVolumesRequest()),
        (rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()),
    ]
    for call, request in calls:
        if served in ("both", call.service):
            caller.call(call, request, timeout=1)
        else:
            with pytest.raises(Unsupported, match=call.name):
                caller.call(call, request, timeout=1)


def test_plugin_info_is_replaced_as_asked(pipeline: Make) -> None:
    _, caller = pipeline(ServerSettings(plugin_info="acme.example,2.1,url=x,tag=y"))
    info = caller.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest(), timeout=1)
    assert (info.name, info.vendor_version, dict(info.manifest)) == ("acme.example", "2.1", {"url": "x", "tag": "y"})


@pytest.mark.parametrize("text", ["acme", "acme,", ",1", "acme,1,novalue", "acme,1,=x"])
def test_a_malformed_plugin_info_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="X_CSI_PLUGIN_INFO"):
        parse_plugin_info(text)


def test_locks_in_etcd_are_refused_rather_than_ignored() -> None:
    with pytest.raises(SettingsError, match="X_CSI_SERIAL_VOL_ACCESS_ETCD_ENDPOINTS"):
        refuse_unsupported({"X_CSI_SERIAL_VOL_ACCESS_ETCD_ENDPOINTS": "http://x"})


@pytest.mark.parametrize("call", REQUIRED, ids=lambda call: call.name)
def test_each_required_field_is_missed_by_name(call: rpc.Call[Any, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"{call.name}: {REQUIRED[call][0]} is missing"):
        validate(call, call.request())


def test_required_fields_exist_in_their_messages() -> None:
    for call, names in REQUIRED.items():
        assert set(names) <= set(call.request.DESCRIPTOR.fields_by_name), call.name


@pytest.mark.parametrize(
    ("request_", "error", "fault"),
    [
        (create("x" * 129), InvalidRequest, "name is 129 bytes"),
        (create("é" * 65), InvalidRequest, "name is 130 bytes"),
        (create("x", parameters={"k": "v" * 5000}), InvalidRequest, "parameters holds 5001 bytes"),
        (create("x", secrets={"k": "v" * 5000}), InvalidRequest, "secrets holds 5001 bytes"),
        (create("x", capacity_range={"required_bytes": -1}), InvalidRequest, "negative"),
        (create("x", capacity_range={"required_bytes": 2, "limit_bytes": 1}), OutOfRange, "more than"),
        (pb.CreateVolumeRequest(name="x", volume_capabilities=[{}]), InvalidRequest, "without an access type"),
        (
            pb.CreateVolumeRequest(name="x", volume_capabilities=[{"block": {}}]),
            InvalidRequest,
            "access mode 0 is not one of SINGLE_NODE_WRITER",
        ),
    ],
)
def test_what_csi_does_not_allow_is_refused(request_: Message, error: type[RexrayError], fault: str) -> None:
    with pytest.raises(error, match=fault):
        validate(rpc.CREATE_VOLUME, request_)


def test_an_access_mode_from_the_future_is_refused() -> None:
    capability = pb.VolumeCapability(mount={}, access_mode={})
    capability.access_mode.mode = 99  # type: ignore[assignment]
    with pytest.raises(InvalidRequest, match="access mode 99"):
        validate(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name="x", volume_capabilities=[capability]))


def test_a_long_path_is_allowed_where_a_long_name_is_not() -> None:
    request = pb.NodeUnpublishVolumeRequest(volume_id="x", target_path="/" + "x" * 1000)
    validate(rpc.NODE_UNPUBLISH_VOLUME, request)


def test_validation_can_be_switched_off(pipeline: Make) -> None:
    plugin, caller = pipeline(ServerSettings(spec_validation=False))
    caller.call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name="bare"), timeout=1)
    assert plugin.controller.created == ["bare"]


def test_secrets_never_reach_the_log(pipeline: Make, caplog: pytest.LogCaptureFixture) -> None:
    _, caller = pipeline(ServerSettings())
    with caplog.at_level(logging.DEBUG):
        caller.call(rpc.CREATE_VOLUME, create("data", secrets={"password": "canary-1"}), timeout=1)
        with pytest.raises(InvalidRequest):
            caller.call(rpc.CREATE_VOLUME, create("", secrets={"password": "canary-1"}), timeout=1)
    assert "canary" not in "".join(str(record.__dict__) for record in caplog.records)
    assert any(record.__dict__.get("fields", {}).get("call") == "CreateVolume" for record in caplog.records)


@given(data=st.data(), call=st.sampled_from(rpc.CALLS))
def test_no_bytes_whatever_make_validation_fall_over(data: st.DataObject, call: rpc.Call[Any, Any]) -> None:
    from google.protobuf.message import DecodeError

    try:
        request = call.request.FromString(data.draw(st.binary(max_size=200)))
    except DecodeError:
        return
    with contextlib.suppress(InvalidRequest, OutOfRange):
        validate(call, request)
