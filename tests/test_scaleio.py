"""ScaleIO at the shell and for Docker: the seed's example, and a volume's whole life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from scaleio_host_parts import Array, scaleio_array
from sdc_parts import SdcHost
from service_parts import BRIDGE, Daemon

pytestmark = [pytest.mark.needs("root", "loop"), pytest.mark.needs("mkfs.ext4", "mkfs.xfs")]


@pytest.fixture
def array(tmp_path: Path) -> Iterator[Array]:
    with scaleio_array(tmp_path) as array:
        yield array


@pytest.fixture
def host(make_daemon: Callable[..., Daemon], array: Array) -> Daemon:
    return make_daemon(**{**BRIDGE, **array.environ})


def say(host: Daemon, *words: str, **environ: str) -> str:
    answer = host.rexray(*words, **environ)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def refused(host: Daemon, *words: str, **environ: str) -> str:
    answer = host.rexray(*words, **environ)
    assert answer.returncode != 0, answer.stdout
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr.strip()


def test_the_seeds_example_prints_the_mapped_devices(host: Daemon, array: Array) -> None:
    assert yaml.safe_load(say(host, "volume", "get")) in (None, [])
    for name in ("one", "two"):
        say(host, "volume", "create", name, "--size", "8")
        say(host, "volume", "attach", name)
    found = yaml.safe_load(say(host, "volume", "get"))
    assert sorted(item["volumeid"] for item in found) == sorted(array.host.shown)
    for item in found:
        assert item["providername"] == "scaleio"
        assert item["instanceid"] == array.host.guid
        assert item["devicename"] == str(array.host.device(item["volumeid"]))
        assert item["status"] == "attached"
    for name in ("one", "two"):
        say(host, "volume", "detach", name)
    assert array.host.shown == []


def test_a_volume_lives_its_whole_life_at_the_shell(host: Daemon, array: Array) -> None:
    say(host, "volume", "create", "data", "--size", "8", "--fsType", "xfs")
    say(host, "volume", "mount", "data")
    place = Path(say(host, "volume", "path", "data").strip())
    (place / "file").write_text("before")
    say(host, "snapshot", "create", "--volumename", "data", "--snapshotname", "then")
    (place / "file").write_text("after")
    say(host, "volume", "expand", "data", "--size", "16")
    say(host, "volume", "create", "copy", "-o", "snapshotname=then")
    say(host, "volume", "mount", "copy")
    copy = Path(say(host, "volume", "path", "copy").strip())
    assert ((place / "file").read_text(), (copy / "file").read_text()) == ("after", "before")
    say(host, "volume", "unmount", "copy")
    say(host, "volume", "unmount", "data")
    assert array.host.shown == []
    say(host, "volume", "rm", "data", "copy")
    say(host, "snapshot", "rm", "then")
    assert array.gateway.volumes() == []
    assert host.mounts() == []


def test_a_volume_is_put_back_to_its_snapshot(host: Daemon, array: Array) -> None:
    say(host, "volume", "create", "data", "--size", "8")
    say(host, "volume", "mount", "data")
    place = Path(say(host, "volume", "path", "data").strip())
    (place / "file").write_text("before")
    say(host, "snapshot", "create", "--volumename", "data", "--snapshotname", "then")
    (place / "file").write_text("after")
    assert "attached to" in refused(host, "snapshot", "rollback", "then")
    say(host, "volume", "unmount", "data")
    say(host, "snapshot", "rollback", "then")
    say(host, "volume", "mount", "data")
    assert (place / "file").read_text() == "before"
    say(host, "volume", "unmount", "data")


def test_a_size_that_is_rounded_up_is_said_so(host: Daemon) -> None:
    answer = host.rexray("volume", "create", "data", "--size", "10")
    assert answer.returncode == 0
    assert "multiples of 8 GiB" in answer.stderr
    assert "16" in say(host, "volume", "ls")


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("GOSCALEIO_PASSWORD", "wrong", "GOSCALEIO_PASSWORD"),
        ("GOSCALEIO_SYSTEMID", "0000000000000001", "{gateway.system_name}"),
        ("GOSCALEIO_STORAGEPOOLID", "0000000000000001", "{gateway.pool_name}"),
        ("GOSCALEIO_PROTECTIONDOMAINID", "0000000000000001", "{gateway.domain_name}"),
        ("GOSCALEIO_INSECURE", "false", "scaleio.caFile"),
        ("GOSCALEIO_ENDPOINT", "https://127.0.0.1:1/api", "scaleio.endpoint"),
    ],
)
def test_what_is_set_wrong_is_one_line_that_says_what_is_right(
    host: Daemon, array: Array, setting: str, value: str, told: str
) -> None:
    error = refused(host, "volume", "create", "data", "--size", "8", **{setting: value})
    assert told.format(gateway=array.gateway) in error
    assert array.gateway.password not in error
    assert array.gateway.volumes() == []


def test_two_hosts_do_not_get_one_volume(
    host: Daemon, array: Array, make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    with SdcHost(array.gateway, tmp_path / "other", dev=tmp_path / "dev", ip="10.0.0.12", name="the-other") as other:
        say(host, "volume", "create", "data", "--size", "8")
        say(host, "volume", "attach", "data", "--instanceid", other.guid)
        assert "the-other" in refused(host, "volume", "mount", "data")
        say(host, "volume", "mount", "data", REXRAY_VOLUME_MOUNT_PREEMPT="true")
        assert (other.shown, len(array.host.shown)) == ([], 1)
        say(host, "volume", "unmount", "data")


def test_a_gateway_that_was_restarted_is_logged_in_to_again(host: Daemon, array: Array) -> None:
    host.start()
    host.docker("VolumeDriver.Create", Name="data", Opts={"size": "8"})
    array.gateway.restart()
    host.docker("VolumeDriver.Mount", Name="data", ID="me")
    host.docker("VolumeDriver.Unmount", Name="data", ID="me")
    assert array.host.shown == []
