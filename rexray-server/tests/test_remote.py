"""The remote volume driver protocol over the default volume driver: every call, twice, and every kind of bad input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from werkzeug.test import Client

from rexray.drivers import VolumeDriver
from rexray.paths import find_paths
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import InstanceId
from rexray.volumes.driver import DefaultVolumes
from rexray.volumes.platform import Platform
from rexray.volumes.settings import VolumeSettings
from rexray_server.docker import wire
from rexray_server.docker.remote import RemoteApplication
from rexray_server.wsgi import Application

THERE, ELSEWHERE, HERE = "host-2", "host-1", "this-host"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The application, the driver that it serves, and the platform behind that."""

    application: Application
    driver: VolumeDriver
    platform: MemoryPlatform

    def post(self, call: str, body: bytes, method: str = "POST") -> tuple[int, dict[str, object]]:
        answer = Client(self.application).open(call, data=body, method=method)
        content: dict[str, object] = json.loads(answer.data)
        assert answer.content_type == wire.CONTENT_TYPE
        return answer.status_code, content

    def call(self, verb: str, **body: object) -> tuple[int, dict[str, object]]:
        return self.post(f"/RemoteVolumeDriver.{verb}", json.dumps(body).encode())

    def links(self) -> dict[str, list[str]]:
        """The instances that each volume is attached to, by the volume's name."""
        return {volume.name: sorted(volume.links) for volume in self.platform.state().volumes.values()}


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    settings = MemorySettings(instance=HERE, instances=(ELSEWHERE, THERE, HERE))
    shared = MemoryPlatform(settings)
    platform = Platform(
        storage=MemoryStorage(settings, shared),
        node=MemoryNode(settings, shared),
        make_os=lambda: MemoryOS(settings, shared),
    )
    driver = DefaultVolumes(VolumeSettings(), platform, find_paths({"REXRAY_HOME": str(tmp_path)}))
    return Remote(application=RemoteApplication(driver), driver=driver, platform=shared)


def token_of(remote: Remote, name: str, instance: str) -> str:
    """What the platform itself says that the instance finds the volume by."""
    found = next(volume for volume in remote.platform.state().volumes.values() if volume.name == name)
    return found.links[instance].token


def test_a_volume_lives_its_whole_life_for_another_host_and_every_call_may_be_repeated(remote: Remote) -> None:
    assert remote.post("/Plugin.Activate", b"") == (200, {"Implements": ["RemoteVolumeDriver"]})
    for _ in range(2):
        assert remote.call("Create", Name="data", Opts={"size": "1"}) == (200, {})
    assert remote.links() == {"data": []}
    assert remote.call("NetworkName", Name="data", Instanceid=THERE) == (200, {"Networkname": ""})
    for _ in range(2):
        status, answer = remote.call("Attach", Name="data", Instanceid=THERE)
        assert remote.links() == {"data": [THERE]}
        assert (status, answer) == (200, {"Networkname": token_of(remote, "data", THERE)})
        assert answer["Networkname"]
    assert remote.call("NetworkName", Name="data", Instanceid=THERE) == (200, answer)
    assert remote.call("NetworkName", Name="data", Instanceid=ELSEWHERE) == (200, {"Networkname": ""})
    for _ in range(2):
        assert remote.call("Detach", Name="data", Instanceid=THERE) == (200, {})
        assert remote.links() == {"data": []}
    assert remote.call("Remove", Name="data") == (200, {})
    assert remote.links() == {}
    assert remote.call("Remove", Name="data")[0] == 404


def test_nothing_of_another_hosts_volume_happens_on_this_host(remote: Remote) -> None:
    remote.call("Create", Name="data", Opts={"newfstype": "xfs"})
    remote.call("Attach", Name="data", Instanceid=THERE)
    state = remote.platform.state()
    assert [host for host, found in state.hosts.items() if found.connected or found.mounts] == []
    assert [volume.content for volume in state.volumes.values()] == [{}], "nobody has formatted it"


def test_a_volume_is_not_taken_from_the_instance_that_has_it(remote: Remote) -> None:
    remote.call("Create", Name="data")
    remote.call("Attach", Name="data", Instanceid=ELSEWHERE)
    status, answer = remote.call("Attach", Name="data", Instanceid=THERE)
    assert status == 409
    assert ELSEWHERE in str(answer["Err"])
    assert remote.call("Detach", Name="data", Instanceid=THERE) == (200, {})
    status, answer = remote.call("Remove", Name="data")
    assert (status, list(answer)) == (409, ["Err"])
    assert remote.links() == {"data": [ELSEWHERE]}


def test_the_volume_of_this_host_is_found_by_the_same_name(remote: Remote) -> None:
    remote.call("Create", Name="data")
    status, answer = remote.call("Attach", Name="data", Instanceid=HERE)
    assert status == 200
    assert answer["Networkname"] == remote.driver.network_name("data", InstanceId(HERE)) != ""
    assert remote.call("Detach", Name="data", Instanceid=HERE) == (200, {})
    assert remote.links() == {"data": []}


@pytest.mark.parametrize("verb", ["Attach", "Detach", "NetworkName"])
@pytest.mark.parametrize(
    ("instance", "fault"),
    [
        ({}, "Instanceid is missing"),
        ({"Instanceid": ""}, "Instanceid is missing"),
        ({"Instanceid": None}, "Instanceid is missing"),
        ({"Instanceid": 5}, "Instanceid is a number, not a string"),
        ({"Instanceid": [THERE]}, "Instanceid is an array, not a string"),
        ({"Instanceid": "a\ud800"}, "Instanceid is not valid Unicode"),
    ],
)
def test_a_call_that_does_not_say_for_which_instance_is_refused_and_changes_nothing(
    remote: Remote, verb: str, instance: dict[str, object], fault: str
) -> None:
    remote.call("Create", Name="data")
    remote.call("Attach", Name="data", Instanceid=ELSEWHERE)
    status, answer = remote.call(verb, Name="data", **instance)
    assert (status, list(answer)) == (400, ["Err"])
    assert fault in str(answer["Err"])
    assert remote.links() == {"data": [ELSEWHERE]}


@pytest.mark.parametrize("verb", ["Attach", "Create", "Detach", "NetworkName", "Remove"])
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"Name": ', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "an array, not an object"),
        (b"", "Name is missing"),
        (b'{"Instanceid": "host-2"}', "Name is missing"),
        (b'{"Name": 5, "Instanceid": "host-2"}', "Name is a number"),
        (b'{"Name": "..", "Instanceid": "host-2"}', "'..' is not a name"),
        (b'{"Name": "a\\u0000b", "Instanceid": "host-2"}', "contains '\\x00'"),
        (b'{"Name": "data", "Instanceid": "host-2", "Opts": []}', "Opts is an array"),
    ],
)
def test_bad_input_is_refused_by_one_clear_line_and_changes_nothing(
    remote: Remote, verb: str, body: bytes, fault: str
) -> None:
    status, answer = remote.post(f"/RemoteVolumeDriver.{verb}", body)
    assert (status, list(answer)) == (400, ["Err"])
    assert fault in str(answer["Err"])
    assert "\n" not in str(answer["Err"])
    assert remote.links() == {}


@pytest.mark.parametrize("verb", ["Attach", "Detach", "NetworkName", "Remove"])
def test_a_volume_that_does_not_exist_is_said_so(remote: Remote, verb: str) -> None:
    status, answer = remote.call(verb, Name='say "what"\u2019', Instanceid=THERE)
    assert status == 404
    assert 'say "what"\u2019' in str(answer["Err"])


def test_an_instance_that_does_not_exist_is_said_so(remote: Remote) -> None:
    remote.call("Create", Name="data")
    status, answer = remote.call("Attach", Name="data", Instanceid="nobody")
    assert status == 404
    assert "nobody" in str(answer["Err"])
    assert remote.links() == {"data": []}


def test_an_option_that_does_not_exist_is_refused(remote: Remote) -> None:
    status, answer = remote.call("Create", Name="data", Opts={"colour": "red"})
    assert (status, "colour" in str(answer["Err"])) == (400, True)
    assert remote.links() == {}


@pytest.mark.parametrize(
    "call", ["/RemoteVolumeDriver.Mount", "/VolumeDriver.Create", "/RemoteVolumeDriver.attach", "/"]
)
def test_a_call_of_another_protocol_names_those_that_there_are(remote: Remote, call: str) -> None:
    status, answer = remote.post(call, b'{"Name": "data"}')
    assert status == 404
    assert "/RemoteVolumeDriver.NetworkName" in str(answer["Err"])
    assert remote.links() == {}


def test_another_method_than_post_is_refused(remote: Remote) -> None:
    assert remote.post("/RemoteVolumeDriver.Remove", b'{"Name": "data"}', "DELETE")[0] == 405
    assert remote.post("/Plugin.Activate", b"", "GET")[0] == 200


def test_only_activate_is_answered_without_waiting_for_a_driver(remote: Remote) -> None:
    assert remote.application.is_instant({"PATH_INFO": "/Plugin.Activate", "CONTENT_LENGTH": "2"})
    assert not remote.application.is_instant({"PATH_INFO": "/RemoteVolumeDriver.Attach", "CONTENT_LENGTH": "2"})


def test_a_platform_that_is_down_is_unavailable_and_nothing_else(remote: Remote) -> None:
    with remote.platform.array() as array:
        array.state.down = "the platform is being serviced"
    status, answer = remote.call("Attach", Name="data", Instanceid=THERE)
    assert (status, answer) == (503, {"Err": "the platform is being serviced"})
    assert remote.post("/Plugin.Activate", b"")[0] == 200
