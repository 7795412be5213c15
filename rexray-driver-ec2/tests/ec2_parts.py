"""A simulated EC2 of one's own, clients for it, and the proxy that makes it fail."""

from __future__ import annotations

import functools
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from ec2_proxy import Drop, Hook, Proxy, Rule

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

__all__ = [
    "ACCESS_KEY",
    "REGION",
    "SECRET_KEY",
    "ZONE",
    "Cloud",
    "Drop",
    "Hook",
    "Proxy",
    "Rule",
    "client",
    "code_of",
    "environ",
]

REGION = "us-west-1"
ZONE = "us-west-1a"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
IMAGE = "ami-03cf127a"

NOWHERE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""Nobody's own profiles, roles and instances."""


def environ(url: str, region: str = REGION, **more: str) -> dict[str, str]:
    """The environment of a driver's settings, for the cloud or the proxy of this URL."""
    return {
        **NOWHERE,
        "EC2_ENDPOINT": url,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY": ACCESS_KEY,
        "AWS_SECRET_KEY": SECRET_KEY,
        **more,
    }


@functools.cache
def _session(key: str, secret: str) -> boto3.session.Session:
    """A session reads EC2's large model once for all its clients."""
    return boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret)


def client(
    url: str,
    region: str = REGION,
    *,
    key: str = ACCESS_KEY,
    secret: str = SECRET_KEY,
    retries: int = 1,
    width: int = 64,
) -> EC2Client:
    """A plain client, which makes a call once unless told otherwise."""
    session = _session(key, secret)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": retries}, max_pool_connections=width, read_timeout=60
    )
    return session.client("ec2", region_name=region, endpoint_url=url, config=config)


def code_of(error: ClientError) -> str:
    """The code of what EC2 has answered."""
    return error.response["Error"]["Code"]


class Cloud:
    """The simulator in a process of its own; ``with Cloud(folder) as cloud``.

    With ``devices`` volumes have data, and those of instances in the knob ``shown`` are block devices in ``nodes``: as
    Xen's, or with ``sys`` as a Nitro instance's.
    """

    def __init__(
        self, folder: Path, *, devices: bool = False, nodes: Path | None = None, sys: Path | None = None
    ) -> None:
        self.folder = folder
        self.devices = devices
        self.nodes = nodes
        self.sys = sys
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Cloud:
        self.folder.mkdir(parents=True, exist_ok=True)
        ready, log = self.folder / "port", self.folder / "log"
        ready.unlink(missing_ok=True)
        program = str(Path(__file__).with_name("ec2_cloud.py"))
        options = ["--devices"] if self.devices else []
        options += ["--nodes", str(self.nodes)] if self.nodes else []
        options += ["--sys", str(self.sys)] if self.sys else []
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, program, "--ready", str(ready), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **NOWHERE},
            )
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the cloud did not start: {log.read_text()}")
            time.sleep(0.02)
        self.port = int(ready.read_text())
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)
            self.process = None

    def __enter__(self) -> Cloud:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def control(self, **knobs: Any) -> dict[str, Any]:
        """Set what is named, and read it all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/control", json.dumps(knobs), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 200, answer
        return answer

    def reset(self) -> None:
        """Nothing was ever made, and every knob is as it was."""
        self.control(reset=True)

    def delays(self, **seconds: float) -> None:
        """Set how long things take: create, attach, detach, snapshot, copy, modify, optimize, delete."""
        self.control(delays=seconds)

    def state(self, region: str = REGION) -> dict[str, Any]:
        """The volumes and snapshots of a region, by their ids."""
        found: dict[str, Any] = self.control(state=True)["regions"].get(region, {"volumes": {}, "snapshots": {}})
        return found

    def trouble(self) -> list[str]:
        """What went wrong with devices."""
        found: list[str] = self.control()["trouble"]
        return found

    def calls(self) -> int:
        """How many calls of the API there were, whatever their answer."""
        return int(self.control()["calls"])

    def client(self, region: str = REGION, **more: Any) -> EC2Client:
        return client(self.url, region, **more)

    def environ(self, region: str = REGION, **more: str) -> Mapping[str, str]:
        return environ(self.url, region, **more)

    def run_instance(self, zone: str = ZONE, *, kind: str = "t3.medium") -> str:
        """Start an instance; its id."""
        return self.instances(1, zone, kind=kind)[0]

    def instances(self, count: int, zone: str = ZONE, *, kind: str = "t3.medium") -> list[str]:
        """Start instances; their ids."""
        placed = self.client(zone[:-1]).run_instances(
            ImageId=IMAGE,
            MinCount=count,
            MaxCount=count,
            InstanceType=kind,  # type: ignore[arg-type]
            Placement={"AvailabilityZone": zone},
        )
        return [instance["InstanceId"] for instance in placed["Instances"]]
