"""What a call takes through the socket, with 1, 8 and 32 clients at once."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from figures import milliseconds, timed

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from service_parts import Daemon

CLIENTS = (1, 8, 32)


class DockerClient:
    """One connection that is kept, as dockerd keeps it; Python's own HTTP client would take longer than the calls."""

    def __init__(self, daemon: Daemon) -> None:
        self._connection = daemon.connect()

    def call(self, method: str, **body: object) -> None:
        """One call; anything but success ends the run."""
        content = json.dumps(body).encode()
        head = f"POST /VolumeDriver.{method} HTTP/1.1\r\nHost: \r\nContent-Length: {len(content)}\r\n\r\n"
        self._connection.sendall(head.encode() + content)
        answer = self._connection.recv(1 << 20)
        while not answer.endswith(b"}"):
            answer += self._connection.recv(1 << 20)
        assert answer.startswith(b"HTTP/1.1 200"), answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


Samples = dict[str, list[float]]


def docker_cycle(daemon: Daemon, number: int, rounds: int) -> Samples:
    """List, Get, Mount and Unmount of a volume of one's own."""
    client, name = DockerClient(daemon), f"docker-{number}"
    client.call("Create", Name=name)
    samples: Samples = {method: [] for method in ("List", "Get", "Mount", "Unmount")}
    for _ in range(rounds):
        samples["List"].append(timed(lambda: client.call("List")))
        samples["Get"].append(timed(lambda: client.call("Get", Name=name)))
        samples["Mount"].append(timed(lambda: client.call("Mount", Name=name, ID="a" * 64)))
        samples["Unmount"].append(timed(lambda: client.call("Unmount", Name=name, ID="a" * 64)))
    client.call("Remove", Name=name)
    client.close()
    return {f"Docker {method}": values for method, values in samples.items()}


def csi_cycle(daemon: Daemon, number: int, rounds: int) -> Samples:
    """CreateVolume to DeleteVolume of volumes of one's own; CreateVolume and NodePublishVolume are measured."""
    modes = pb.VolumeCapability.AccessMode
    capability = pb.VolumeCapability(
        mount=pb.VolumeCapability.MountVolume(), access_mode=modes(mode=modes.SINGLE_NODE_WRITER)
    )
    samples: Samples = {"CSI CreateVolume": [], "CSI NodePublishVolume": []}
    staging = daemon.home / f"staging-{number}"
    staging.mkdir(exist_ok=True)
    target = daemon.home / f"target-{number}"
    with CSIClient(str(daemon.endpoint)) as client:
        node = client.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest(), timeout=10).node_id
        for step in range(rounds):
            name = f"csi-{number}-{step}"
            create = pb.CreateVolumeRequest(name=name, volume_capabilities=[capability])
            attach = pb.ControllerPublishVolumeRequest(volume_id=name, node_id=node, volume_capability=capability)
            samples["CSI CreateVolume"].append(timed(partial(client.call, rpc.CREATE_VOLUME, create, timeout=120)))
            context = client.call(rpc.CONTROLLER_PUBLISH_VOLUME, attach, timeout=120).publish_context
            client.call(
                rpc.NODE_STAGE_VOLUME,
                pb.NodeStageVolumeRequest(
                    volume_id=name,
                    staging_target_path=str(staging),
                    publish_context=context,
                    volume_capability=capability,
                ),
                timeout=120,
            )
            publish = pb.NodePublishVolumeRequest(
                volume_id=name,
                staging_target_path=str(staging),
                target_path=str(target),
                publish_context=context,
                volume_capability=capability,
            )
            samples["CSI NodePublishVolume"].append(
                timed(partial(client.call, rpc.NODE_PUBLISH_VOLUME, publish, timeout=120))
            )
            unpublish = pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=str(target))
            client.call(rpc.NODE_UNPUBLISH_VOLUME, unpublish, timeout=120)
            unstage = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=str(staging))
            client.call(rpc.NODE_UNSTAGE_VOLUME, unstage, timeout=120)
            detach = pb.ControllerUnpublishVolumeRequest(volume_id=name, node_id=node)
            client.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, detach, timeout=120)
            client.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=name), timeout=120)
    return samples


def run_clients(cycle: Callable[[Daemon, int, int], Samples], daemon: Daemon, clients: int, rounds: int) -> Samples:
    """The samples of so many clients at once, each with a thread of its own."""
    results: list[Samples] = []
    threads = [
        threading.Thread(target=lambda number: results.append(cycle(daemon, number, rounds)), args=(number,))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == clients, "a client failed"
    return {name: [value for result in results for value in result[name]] for name in results[0]}


def forked_mounts(folder: Path, rounds: int) -> Samples:
    """What the original does for a Mount and an Unmount: run mount(8) and umount(8)."""
    source, target = folder / "fork-source", folder / "fork-target"
    source.mkdir()
    target.mkdir()
    samples: Samples = {"mount(8) --bind": [], "umount(8)": []}
    for _ in range(rounds):
        mount = ["mount", "--bind", str(source), str(target)]
        samples["mount(8) --bind"].append(timed(partial(subprocess.run, mount, check=True)))
        samples["umount(8)"].append(timed(partial(subprocess.run, ["umount", str(target)], check=True)))
    return samples


def measure_calls(folder: Path, scale: float) -> None:
    """A table of medians and 99th percentiles."""
    if os.geteuid() != 0:
        print("\ncalls: mounting needs root, left out")
        return
    daemon = Daemon(folder).start()
    try:
        print(f"\n{'call':24} {'clients':>7} {'p50 ms':>9} {'p99 ms':>9} {'calls/s':>9}")
        for cycle in (docker_cycle, csi_cycle):
            for clients in CLIENTS:
                rounds = max(10, int(1000 * scale / clients))
                started = time.perf_counter()
                found = run_clients(cycle, daemon, clients, rounds)
                took = time.perf_counter() - started
                for name, samples in found.items():
                    print(f"{name:24} {clients:7} {milliseconds(samples)} {len(samples) / took:9.0f}")
        for name, samples in forked_mounts(folder, max(10, int(100 * scale))).items():
            print(f"{name:24} {1:7} {milliseconds(samples)}")
    finally:
        daemon.clean_up()
