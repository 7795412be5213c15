"""The host side of the simulated gateway: drv_cfg, devices that come and go with mappings, traps, several hosts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_client import Client
from gateway_parts import Gateway
from sdc_parts import SdcHost

GUID = "F1E7B4A2-0000-4000-8000-0123456789AB"
needs_devices = pytest.mark.needs("loop")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway) as client:
        yield client


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ask(host: SdcHost, *words: str) -> str:
    return subprocess.run([host.drv_cfg, *words], check=True, capture_output=True, text=True, timeout=10).stdout


def write(device: Path, data: bytes) -> None:
    descriptor = os.open(device, os.O_WRONLY)
    try:
        os.pwrite(descriptor, data, 1 << 20)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(device: Path, count: int = 3) -> bytes:
    descriptor = os.open(device, os.O_RDONLY)
    try:
        return os.pread(descriptor, count, 1 << 20)
    finally:
        os.close(descriptor)


def test_drv_cfg_tells_the_guid_the_mdm_and_the_volumes(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    with SdcHost(gateway, tmp_path / "host", guid=GUID, dev=tmp_path / "dev", loops=False) as host:
        assert client.get(f"/api/instances/Sdc::{host.sdc_id}")["sdcGuid"] == GUID
        assert ask(host, "--query_guid") == f"{GUID.lower()}\n"
        assert ask(host, "--query_vols") == "Retrieved 0 volume(s)\n"
        for option in ("--query_mdm", "--query_mdms"):
            assert f"MDM-ID {gateway.system_id} SDC ID {host.sdc_id}" in ask(host, option)
        assert ask(host, "--rescan") == ""
        volume = client.create()
        client.map(volume, host.sdc_id)
        assert ask(host, "--query_vols") == f"Retrieved 1 volume(s)\nVOL-ID {volume} MDM-ID {gateway.system_id}\n"
        host.drv_cfg_says("--query_guid", "no kernel module\n", code=2)
        ended = subprocess.run([host.drv_cfg, "--query_guid"], check=False, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (2, "no kernel module\n")
        assert subprocess.run([host.drv_cfg, "--mystery"], check=False, capture_output=True).returncode == 1
        assert host.drv_cfg_calls[:3] == ["--query_guid", "--query_vols", "--query_mdm"]
    assert client.get(f"/api/instances/Sdc::{host.sdc_id}")["mdmConnectionState"] == "Disconnected"


def test_links_come_after_a_while_with_a_trap_and_go(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    with SdcHost(gateway, tmp_path / "host", dev=tmp_path / "dev", loops=False, delay=0.2) as host:
        volume = client.create()
        client.map(volume, host.sdc_id)
        link = tmp_path / f"dev/disk/by-id/emc-vol-{gateway.system_id}-{volume}"
        assert not link.is_symlink()
        until(link.exists)
        part = link.with_name(f"{link.name}-part1")
        until(part.exists)
        assert link.resolve() != part.resolve()
        assert os.readlink(link).startswith("../../")
        client.unmap(volume, host.sdc_id)
        assert list(host.by_id.iterdir()) == []
        client.map(volume, host.sdc_id)
        client.unmap(volume, host.sdc_id)
        time.sleep(0.3)
        assert list(host.by_id.iterdir()) == []
    assert not (tmp_path / "dev/disk").exists()


@needs_devices
def test_data_written_to_the_device_are_in_the_volume_and_its_snapshots(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    with SdcHost(gateway, tmp_path / "host") as host:
        volume = client.create()
        client.map(volume, host.sdc_id)
        device = host.device(volume)
        assert device is not None
        assert host.link(volume).resolve() == device
        write(device, b"old")
        snapshot = client.snapshot((volume, "s"))["volumeIdList"][0]
        write(device, b"new")
        assert read(gateway.backing(snapshot)) == b"old"
        assert read(device) == b"new"
        client.action(volume, "overwriteVolumeContent", srcVolumeId=snapshot)
        assert read(device) == b"old"
        client.action(volume, "setVolumeSize", sizeInGB="16")
        size = subprocess.run(["blockdev", "--getsize64", device], check=True, capture_output=True, text=True).stdout
        assert int(size) == 16 << 30
        client.unmap(volume, host.sdc_id)
        client.map(volume, host.sdc_id, accessMode="ReadOnly")
        device = host.device(volume)
        assert device is not None
        assert read(device) == b"old"
        with pytest.raises(OSError, match=r"not permitted|Read-only|denied"):
            write(device, b"bad")
        assert host.unmapped_in_use == []


@needs_devices
def test_a_device_that_is_in_use_when_its_mapping_goes_is_recorded(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    with SdcHost(gateway, tmp_path / "host") as host:
        volume, calm = client.create("one"), client.create("calm")
        for each in (volume, calm):
            client.map(each, host.sdc_id)
        device = host.device(volume)
        assert device is not None
        descriptor = os.open(device, os.O_RDONLY)
        try:
            for each in (volume, calm):
                client.unmap(each, host.sdc_id)
            assert host.unmapped_in_use == [volume]
            assert not host.link(volume).is_symlink()
        finally:
            os.close(descriptor)


@needs_devices
def test_several_hosts_have_their_own_devices_and_leave_nothing(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    before = subprocess.run(["losetup", "--list"], check=True, capture_output=True, text=True).stdout
    existed = Path("/dev/disk/by-id").exists()
    volume = client.create()
    with (
        SdcHost(gateway, tmp_path / "one") as one,
        SdcHost(gateway, tmp_path / "two", dev=tmp_path / "dev") as two,
    ):
        client.map(volume, one.sdc_id)
        assert (one.shown, two.shown) == ([volume], [])
        client.map(volume, two.sdc_id, allowMultipleMappings="TRUE")
        here, there = one.device(volume), two.device(volume)
        assert here is not None
        assert there is not None
        assert here != there
        assert two.link(volume).resolve().parent == tmp_path / "dev"
        write(here, b"one")
        assert read(there) == b"one"
        trap = one.link(volume).with_name(f"{one.link(volume).name}-part1").resolve()
        assert not one.trap_touched
        trap.write_bytes(b"x" * 10)
        assert (one.trap_touched, two.trap_touched) == (True, False)
    assert client.volume(volume)["mappedSdcInfo"] is not None
    with SdcHost(gateway, tmp_path / "three", dev=tmp_path / "dev") as three:
        client.action(volume, "removeMappedSdc", allSdcs="")
        client.action(volume, "addMappedSdc", allSdcs="TRUE")
        assert three.shown == [volume]
    after = subprocess.run(["losetup", "--list"], check=True, capture_output=True, text=True).stdout
    assert str(gateway.folder) not in after
    assert str(tmp_path) not in after
    assert len(after) <= len(before) or "deleted" not in after
    assert Path("/dev/disk/by-id").exists() == existed
