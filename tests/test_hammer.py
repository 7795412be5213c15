"""Docker and CSI hammered together on one socket."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from service_parts import Daemon, eventually

pytestmark = pytest.mark.needs("root")

CLIENTS = 8
ROUNDS = 60
MODES = pb.VolumeCapability.AccessMode
SHARED = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(), access_mode=MODES(mode=MODES.SINGLE_NODE_MULTI_WRITER)
)


class Docker:
    """One kept connection, as dockerd has it."""

    def __init__(self, daemon: Daemon) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = daemon.connect()
        self.calls = 0

    def __call__(self, method: str, **body: object) -> dict[str, Any]:
        self._connection.request("POST", f"/VolumeDriver.{method}", json.dumps(body))
        answer = self._connection.getresponse()
        content: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, (method, body, content)
        self.calls += 1
        return content

    def close(self) -> None:
        self._connection.close()


def docker_rounds(daemon: Daemon, number: int, rounds: int) -> int:
    """Volumes of one's own through their whole life, and a share of a common one."""
    call = Docker(daemon)
    for step in range(rounds):
        name, holder = f"docker-{number}-{step}", f"{number:032x}{step:032x}"
        call("Create", Name=name, Opts={"size": "1"})
        assert any(entry["Name"] == name for entry in call("List")["Volumes"])
        where = Path(call("Mount", Name=name, ID=holder)["Mountpoint"])
        (where / "file").write_text(name)
        assert call("Get", Name=name)["Volume"]["Mountpoint"] == str(where)
        common = Path(call("Mount", Name="common", ID=holder)["Mountpoint"])
        (common / name).touch()
        call("Unmount", Name="common", ID=holder)
        assert call("Path", Name=name)["Mountpoint"] == str(where)
        call("Unmount", Name=name, ID=holder)
        assert (daemon.data / "vol" / name / "file").read_text() == name
        call("Remove", Name=name)
    call.close()
    return call.calls


def csi_rounds(daemon: Daemon, number: int, rounds: int) -> int:
    """The same through CSI, with the calls that an orchestrator makes."""
    target, staging = str(daemon.home / f"target-{number}"), daemon.home / f"staging-{number}"
    staging.mkdir(exist_ok=True)
    calls = 0
    with CSIClient(str(daemon.endpoint)) as client:

        def call(procedure: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
            nonlocal calls
            calls += 1
            return client.call(procedure, request, timeout=60)

        node = call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
        for step in range(rounds):
            name = f"csi-{number}-{step}"
            call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name=name, volume_capabilities=[SHARED]))
            attach = pb.ControllerPublishVolumeRequest(volume_id=name, node_id=node, volume_capability=SHARED)
            context = call(rpc.CONTROLLER_PUBLISH_VOLUME, attach).publish_context
            paths: dict[str, Any] = {
                "volume_id": name,
                "staging_target_path": str(staging),
                "volume_capability": SHARED,
            }
            call(rpc.NODE_STAGE_VOLUME, pb.NodeStageVolumeRequest(publish_context=context, **paths))
            publish = pb.NodePublishVolumeRequest(target_path=target, publish_context=context, **paths)
            call(rpc.NODE_PUBLISH_VOLUME, publish)
            Path(target, "file").write_text(name)
            call(rpc.NODE_GET_VOLUME_STATS, pb.NodeGetVolumeStatsRequest(volume_id=name, volume_path=target))
            call(rpc.NODE_UNPUBLISH_VOLUME, pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=target))
            unstage = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=str(staging))
            call(rpc.NODE_UNSTAGE_VOLUME, unstage)
            detach = pb.ControllerUnpublishVolumeRequest(volume_id=name, node_id=node)
            call(rpc.CONTROLLER_UNPUBLISH_VOLUME, detach)
            call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=name))
    return calls


def run_all(daemon: Daemon, rounds: int) -> int:
    """Eight clients of each protocol at once; the number of calls, the first error if there is one."""
    counts: list[int] = []
    errors: list[BaseException] = []

    def work(task: Callable[[Daemon, int, int], int], number: int) -> None:
        try:
            counts.append(task(daemon, number, rounds))
        except BaseException as error:
            errors.append(error)
            raise

    threads = [
        threading.Thread(target=work, args=(task, number))
        for number in range(CLIENTS)
        for task in (docker_rounds, csi_rounds)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts)


def leftovers(daemon: Daemon) -> Iterator[Path]:
    """What is below the daemon's directories and should not be, when no volume is left."""
    for folder, _, files in os.walk(daemon.home):
        for file in files:
            path = Path(folder, file)
            if (
                path.name not in ("lock", "modules.json")
                and path.suffix not in (".log", ".pid", ".sock")
                and "locks" not in path.parts
            ):
                yield path


def test_thousands_of_calls_of_both_protocols_leave_no_error_and_no_trace(daemon: Daemon) -> None:
    daemon.docker("VolumeDriver.Create", Name="common")
    run_all(daemon, 3)
    before = daemon.facts()
    started = time.monotonic()
    calls = run_all(daemon, ROUNDS)
    assert calls > 8000
    assert time.monotonic() - started < 120
    assert len(os.listdir(daemon.data / "vol/common")) == CLIENTS * ROUNDS
    daemon.docker("VolumeDriver.Remove", Name="common")
    assert daemon.mounts() == []
    assert list(leftovers(daemon)) == []
    # The threads of both pools and of gRPC stay; there are at most so many, whatever was asked.
    assert eventually(lambda: daemon.facts()["files"] <= before["files"] + 4), (before, daemon.facts())
    assert daemon.facts()["threads"] <= 64 + 64 + 32
    assert daemon.facts()["memory"] < before["memory"] + 30 * 2**20
