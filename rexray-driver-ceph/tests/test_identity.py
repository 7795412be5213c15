"""What the settings say of a cluster and a user reaches Ceph's programs as they take it."""

from __future__ import annotations

from typing import Any

import pytest

from ceph_parts import CephCluster
from rbd_parts import READERS, Host
from rexray.errors import SettingsError
from rexray.settings import Sources
from rexray_driver_ceph.identity import identify
from rexray_driver_ceph.settings import RbdSettings


def arguments(**settings: Any) -> tuple[str, ...]:
    return identify(RbdSettings(**settings)).arguments


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ()),
        ({"conf": "/etc/c.conf", "user": "joe"}, ("--conf", "/etc/c.conf", "--id", "joe")),
        ({"monitors": "192.0.2.1", "keyring": "/k"}, ("--mon-host", "192.0.2.1", "--keyring", "/k")),
        ({"ceph_args": "--id joe"}, ("--id", "joe")),
        ({"ceph_args": "--id=joe"}, ("--id", "joe")),
        ({"ceph_args": "--user joe"}, ("--id", "joe")),
        ({"ceph_args": "-n client.joe"}, ("--id", "joe")),
        ({"ceph_args": "--name=client.joe.smith"}, ("--id", "joe.smith")),
        ({"ceph_args": "-c '/etc/my ceph.conf' -k /k -m [::1]:6789"}, None),
        ({"ceph_args": "--cluster backup"}, ("--cluster", "backup")),
        ({"ceph_args": "--cluster ceph"}, ()),
        ({"ceph_args": "--log-file=/dev/null --debug-ms 1"}, ("--log-file=/dev/null", "--debug-ms", "1")),
        ({"ceph_args": "  "}, ()),
        ({"user": "joe", "ceph_args": "--id joe"}, ("--id", "joe")),
        ({"conf": "/a", "ceph_args": "--conf /b"}, ("--conf", "/b")),
    ],
)
def test_settings_become_arguments(settings: dict[str, Any], words: tuple[str, ...] | None) -> None:
    if words is None:
        words = ("--conf", "/etc/my ceph.conf", "--mon-host", "[::1]:6789", "--keyring", "/k")
    assert arguments(**settings) == words


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"user": "joe", "ceph_args": "--id jim"}, "rbd.user says 'joe' and rbd.cephArgs 'jim'"),
        ({"keyring": "/a", "ceph_args": "-k /b"}, "rbd.keyring says"),
        ({"monitors": "a", "ceph_args": "-m b"}, "rbd.monitors says"),
        ({"user": "joe", "ceph_args": "-n client.jim"}, "rbd.user says"),
        ({"ceph_args": "--id"}, "--id needs a value"),
        ({"ceph_args": "--id="}, "--id needs a value"),
        ({"ceph_args": "--name joe"}, "'joe' is not the name of a client"),
        ({"ceph_args": "--name osd.1"}, "'osd.1' is not the name of a client"),
        ({"ceph_args": "--id 'joe"}, "rbd.cephArgs: No closing quotation"),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        arguments(**settings)


@pytest.mark.parametrize("form", ["--key {}", "--key={}", "-K {}"])
def test_a_key_in_the_arguments_is_refused_and_not_repeated(form: str) -> None:
    secret = "AQBhJ2Vn8GxUFhAAxkXbJ0n2Zr6zqv8oWVsF4A=="
    with pytest.raises(SettingsError, match=r"rbd\.keyring") as caught:
        arguments(ceph_args=form.format(secret))
    assert secret not in str(caught.value)


def test_the_original_s_variables_are_read() -> None:
    environ = {"RBD_DEFAULTPOOL": "fast", "RBD_TESTMODULE": "false", "CEPH_ARGS": "--id joe", "CEPH_CONF": "/c"}
    settings = Sources(environ=environ).load(RbdSettings)
    assert (settings.default_pool, settings.test_module, settings.conf) == ("fast", False, "/c")
    assert identify(settings).client == "client.joe"
    assert identify(RbdSettings()).client == "client.admin"


@pytest.mark.needs("ceph")
@pytest.mark.parametrize("way", ["settings", "arguments", "monitors"])
def test_every_way_leads_to_the_cluster(cluster: CephCluster, reader: str, way: str) -> None:
    keyring = cluster.user("joe", {"mon": "profile rbd", "mgr": "profile rbd", "osd": "profile rbd"})
    ways: dict[str, dict[str, Any]] = {
        "settings": {"user": "joe", "keyring": str(keyring)},
        "arguments": {"ceph_args": f"--name client.joe --keyring={keyring} --debug-rbd 0"},
        "monitors": {"monitors": ",".join(cluster.mon_hosts), "user": "joe", "keyring": str(keyring)},
    }
    conf = cluster.conf
    if way == "monitors":
        conf = cluster.folder / "empty.conf"
        conf.write_text("[global]\n")
    host = Host(conf, reader=READERS[reader], register=False, **ways[way])
    assert host.create("v", 1).id == "rbd/v"
    assert host.ids() == ["rbd/v"]
