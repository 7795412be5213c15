"""The driver ec2 against a simulated EC2: how many calls its operations take, and what a command takes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "rexray-driver-ec2" / "tests"))

from figures import quantile, timed

from ec2_parts import ZONE, Cloud, Proxy, environ
from imds_parts import IDENTITY, IDENTITY_PATH, Imds
from rexray.settings import Sources
from rexray.types import InstanceId, Volume, VolumeSpec
from rexray_driver_ec2.storage import Ec2Storage
from service_parts import REXRAY

WIDTH = 64
INSTANCES = 40
DELAYS = {"create": 1.5, "attach": 1.5, "detach": 1.5, "snapshot": 5.0, "modify": 1.5, "optimize": 60.0}
"""Seconds that EC2 takes, about the medians that the EBS CSI driver's authors tell."""

CSI_DRIVER = {"create": "1.39 (PR 2021: 0.39 describes)", "attach": "1.13 (PR 2029)", "detach": "1.15 (PR 2029)"}
"""Calls an operation of the EBS CSI driver, from its own measurements of 1,000 and 5,000 volumes."""


def measure_ec2(folder: Path, scale: float) -> None:
    """Calls first, then the time of a whole command."""
    with Cloud(folder / "cloud") as cloud:
        with Proxy(cloud.url) as proxy:
            _measure_calls(cloud, proxy, max(WIDTH, int(1000 * scale)))
        _measure_command(cloud, folder / "home", max(5, int(15 * scale)))


def _measure_calls(cloud: Cloud, proxy: Proxy, count: int) -> None:
    cloud.delays(**DELAYS)
    storage = Ec2Storage.make(Sources(environ=environ(proxy.url, REXRAY_REMOTEMANAGEMENT="true")))
    instances = [InstanceId(word) for word in cloud.instances(INSTANCES)]
    proxy.latency(0.02)
    specs = [VolumeSpec(name=f"volume-{number}", size_bytes=1 << 30, zone=ZONE) for number in range(count)]
    print(f"\nec2: {count} volumes, {WIDTH} at a time, {INSTANCES} instances; calls counted at a proxy")
    print(f"{'':10} {'changing':>9} {'describes':>10} {'a volume':>9} {'p50 s':>7} {'p99 s':>7}  aws-ebs-csi-driver")
    run = partial(_measure_operation, proxy)
    volumes: list[Volume] = run("create", storage.create, [(spec,) for spec in specs])
    at = [(volume.id, instances[number % INSTANCES]) for number, volume in enumerate(volumes)]
    run("attach", storage.attach, at)
    run("expand", storage.expand, [(volume.id, 2 << 30) for volume in volumes])
    run("snapshot", storage.create_snapshot, [(volume.id, f"snapshot of {volume.name}") for volume in volumes])
    run("detach", storage.detach, at)
    run("remove", storage.remove, [(volume.id,) for volume in volumes])
    assert not [item for item in storage.volumes() if item.name], "volumes are left"


def _measure_operation(
    proxy: Proxy, name: str, operation: Callable[..., Any], arguments: Sequence[tuple[object, ...]]
) -> list[Any]:
    proxy.forget()
    took: list[float] = []

    def act(words: tuple[object, ...]) -> Any:
        start = time.perf_counter()
        found = operation(*words)
        took.append(time.perf_counter() - start)
        return found

    with ThreadPoolExecutor(WIDTH) as pool:
        results = list(pool.map(act, arguments))
    counts = proxy.counts
    describes = sum(number for action, number in counts.items() if action.startswith("Describe"))
    changing = counts.total() - describes
    each = counts.total() / len(arguments)
    beside = CSI_DRIVER.get(name, "")
    seconds = f"{statistics.median(took):7.2f} {quantile(took, 0.99):7.2f}"
    print(f"{name:10} {changing:9} {describes:10} {each:9.3f} {seconds}  {beside}")
    return results


def _measure_command(cloud: Cloud, home: Path, rounds: int) -> None:
    """``rexray volume get`` on an instance, beside what it consists of."""
    home.mkdir()
    cloud.delays(create=0, attach=0)
    instance = cloud.instances(1)[0]
    client = cloud.client()
    volume = client.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    client.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdb")
    with Imds() as imds:
        imds.documents[IDENTITY_PATH] = json.dumps({**IDENTITY, "instanceId": instance})
        variables = environ(cloud.url, REXRAY_STORAGEDRIVERS="ec2", REXRAY_HOME=str(home))
        variables |= {"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url, "AWS_EC2_METADATA_DISABLED": "false"}
        run = partial(subprocess.run, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, check=True)
        parts = {
            "rexray volume get": [REXRAY, "volume", "get"],
            "rexray version": [REXRAY, "version"],
            "python, import boto3": [sys.executable, "-c", "import boto3"],
            "python, boto3's EC2 client": [sys.executable, "-c", "import boto3; boto3.client('ec2', 'us-west-1')"],
            "the same, one DescribeVolumes": [sys.executable, "-c", _BARE],
        }
        print(f"\n{'whole processes':32} {'p50 ms':>8}")
        for name, command in parts.items():
            took = statistics.median(timed(partial(run, command)) for _ in range(rounds))
            print(f"{name:32} {took * 1000:8.1f}")


_BARE = """
import boto3, os
client = boto3.client(
    "ec2", endpoint_url=os.environ["EC2_ENDPOINT"], region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY"], aws_secret_access_key=os.environ["AWS_SECRET_KEY"],
)
client.describe_volumes(MaxResults=500)
"""
