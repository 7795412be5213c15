"""The proxy makes happen what it says, and counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ConnectionError
from test_simulator import attach, get, make, named, refused

from ec2_parts import Cloud, Drop, Proxy, client

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client


@pytest.fixture
def ec2(proxy: Proxy) -> EC2Client:
    return client(proxy.url)


def volumes(cloud: Cloud) -> int:
    return len(cloud.state()["volumes"]) if cloud.state() else 0


def test_calls_are_counted_with_their_parameters(proxy: Proxy, ec2: EC2Client) -> None:
    volume = make(ec2)
    get(ec2, volume)
    assert proxy.counts == {"CreateVolume": 1, "DescribeVolumes": 1}
    assert proxy.calls[1][1]["VolumeId.1"] == volume
    proxy.forget()
    assert proxy.calls == []


def test_a_share_of_the_calls_is_throttled(proxy: Proxy, ec2: EC2Client, cloud: Cloud) -> None:
    rule = proxy.throttle(0.5)
    for _ in range(12):
        with suppress(ClientError):
            make(ec2)
    assert 0 < rule.met < 12
    assert volumes(cloud) == 12 - rule.met
    proxy.remove(rule)
    proxy.throttle(times=1)
    assert refused(make, ec2=ec2) == "RequestLimitExceeded"


def test_an_error_is_answered_to_so_many_calls_which_have_no_effect(proxy: Proxy, ec2: EC2Client, cloud: Cloud) -> None:
    proxy.refuse("CreateVolume", "VolumeLimitExceeded", times=2)
    assert [refused(make, ec2=ec2), refused(make, ec2=ec2)] == ["VolumeLimitExceeded"] * 2
    make(ec2)
    assert volumes(cloud) == 1


def test_a_call_takes_effect_and_is_answered_with_an_error_or_not_at_all(
    proxy: Proxy, ec2: EC2Client, cloud: Cloud
) -> None:
    proxy.fail_after("CreateVolume", times=1)
    assert refused(make, ec2=ec2) == "InternalError"
    proxy.drop_after("CreateVolume", times=1)
    with pytest.raises((ConnectionClosedError, ConnectionError)):
        make(ec2)
    assert volumes(cloud) == 2


def test_what_is_new_is_not_found_for_a_while(proxy: Proxy, ec2: EC2Client, cloud: Cloud) -> None:
    old = make(ec2, name="v")
    proxy.hide_new(0.3)
    cloud.delays(create=0)
    volume = make(ec2, name="v")
    assert refused(get, ec2=ec2, volume=volume) == "InvalidVolume.NotFound"
    assert named(ec2, "tag:Name", "v") == [old]
    attach(ec2, volume, cloud.run_instance())
    proxy.hide_new(0.3, everywhere=True)
    newer = make(ec2)
    assert refused(ec2.delete_volume, VolumeId=newer) == "InvalidVolume.NotFound"
    time.sleep(0.35)
    assert len(named(ec2, "tag:Name", "v")) == 2
    get(ec2, newer)


def test_hooks_are_called_around_a_call_and_may_end_the_connection(proxy: Proxy, ec2: EC2Client, cloud: Cloud) -> None:
    seen: list[tuple[str, int]] = []
    gate = threading.Event()

    def before(action: str, params: Mapping[str, str]) -> None:
        seen.append((action, volumes(cloud)))

    def after(action: str, params: Mapping[str, str]) -> None:
        seen.append((f"after {action}", volumes(cloud)))
        if not gate.is_set():
            raise Drop

    proxy.before(before)
    proxy.after(after)
    with pytest.raises((ConnectionClosedError, ConnectionError)):
        make(ec2)
    gate.set()
    make(ec2)
    assert seen == [("CreateVolume", 0), ("after CreateVolume", 1), ("CreateVolume", 1), ("after CreateVolume", 2)]


def test_calls_can_be_made_late(proxy: Proxy, ec2: EC2Client) -> None:
    proxy.latency(0.05)
    proxy.delay(0.1, "CreateVolume", times=1)
    began = time.monotonic()
    make(ec2)
    assert time.monotonic() - began > 0.15
