"""The daemon's memory: idle, and after a hundred thousand calls."""

from __future__ import annotations

import threading
from pathlib import Path

from calls import DockerClient

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from service_parts import Daemon

CALLS = 100_000
CLIENTS = 8


def measure_memory(folder: Path, scale: float) -> None:
    """Half of the calls are Docker's, half are CSI's."""
    daemon = Daemon(folder).start()
    try:
        daemon.docker("VolumeDriver.Create", Name="data")
        calls = int(CALLS * scale)
        print(f"\n{'daemon':24} {'memory MiB':>10} {'threads':>8} {'files':>6}")
        report(daemon, "idle")
        for share in (0.1, 1.0):
            load(daemon, int(calls * (share if share < 1 else 0.9)))
            report(daemon, f"after {int(calls * share)} calls")
    finally:
        daemon.clean_up()


def load(daemon: Daemon, calls: int) -> None:
    """Make so many calls with eight clients."""

    def by_docker() -> None:
        client = DockerClient(daemon)
        for _ in range(calls // CLIENTS):
            client.call("Get", Name="data")
        client.close()

    def by_csi() -> None:
        with CSIClient(str(daemon.endpoint)) as client:
            for _ in range(calls // CLIENTS):
                client.call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id="data"), timeout=60)

    threads = [threading.Thread(target=work) for work in (by_docker, by_csi) for _ in range(CLIENTS // 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report(daemon: Daemon, when: str) -> None:
    """One line of the table."""
    facts = daemon.facts()
    print(f"{when:24} {facts['memory'] / 2**20:10.1f} {facts['threads']:8} {facts['files']:6}")
