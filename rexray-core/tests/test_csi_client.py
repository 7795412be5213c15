"""The client of CSI endpoints against real servers on real sockets."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from rexray import errors
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient, pages
from rexray.csi.redaction import redacted
from rexray.csi.settings import parse_endpoint
from rexray.csi.status import STATUS
from rexray.testing.csi import Fault, MemoryCSI, Script, serving

CANARY = "s3cr3t-canary"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def service() -> MemoryCSI:
    return MemoryCSI()


@pytest.fixture
def client(service: MemoryCSI, script: Script, tmp_path: Path) -> Iterator[CSIClient]:
    with serving(service, script, f"unix:{tmp_path}/csi.sock"), CSIClient(str(tmp_path / "csi.sock")) as client:
        yield client


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("unix:///run/csi.sock", "unix:/run/csi.sock"),
        ("unix:/run/csi.sock", "unix:/run/csi.sock"),
        ("unix:csi.sock", "unix:csi.sock"),
        ("/run/csi.sock", "unix:/run/csi.sock"),
        ("csi.sock", "unix:csi.sock"),
        ("./a:1/csi.sock", "unix:a%3A1/csi.sock"),
        ("./a:1", "unix:a%3A1"),
        ("name:word", "unix:name%3Aword"),
        ("unix:name:1", "unix:name%3A1"),
        ("/run/100% ?#.sock", "unix:/run/100%25%20%3F%23.sock"),
        ("tcp://127.0.0.1:7979", "dns:127.0.0.1:7979"),
        ("tcp://:7979", "dns:127.0.0.1:7979"),
        ("tcp://[::1]:7979", "dns:[::1]:7979"),
        ("tcp://example.org:7979", "dns:example.org:7979"),
    ],
)
def test_endpoints_may_be_written_in_every_usual_way(endpoint: str, target: str) -> None:
    assert parse_endpoint(endpoint).target == target


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "unix://", "unix:", "http://x:1", "tcp://host", "tcp://host:http", "a\0b", "tcp://a\0b:1"),
        *("tcp://h:²", "tcp://h:99999", "tcp://h:" + "9" * 5000, "tcp://h:-1", "tcp://\udcff:1", "tcp://h/x:1"),
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(errors.SettingsError, match="is no endpoint"):
        CSIClient(endpoint)


@pytest.mark.parametrize("endpoint", ["example.org:7979", "127.0.0.1:7979", "[::1]:7979", ":7979"])
def test_a_word_that_may_be_an_address_or_a_file_is_refused_with_both_ways_to_write_it(endpoint: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        CSIClient(endpoint)
    assert f"write tcp://{endpoint} for an address, ./{endpoint} for a socket" in str(caught.value)


@pytest.mark.parametrize("name", ["csi.sock", "with space.sock", "100%41?#.sock", "größe.sock"])
def test_a_socket_may_have_any_name(name: str, service: MemoryCSI, script: Script, tmp_path: Path) -> None:
    with serving(service, script, f"unix:{tmp_path}/plain.sock"):
        (tmp_path / "plain.sock").rename(tmp_path / name)
        with CSIClient(f"unix://{tmp_path}/{name}") as client:
            assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5).ready.value


def test_a_relative_path_starts_at_the_working_directory(
    service: MemoryCSI, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(service, script, f"unix:{tmp_path}/csi.sock"), CSIClient("csi.sock") as client:
        assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5).ready.value


def test_a_tcp_endpoint(service: MemoryCSI, script: Script) -> None:
    with serving(service, script, "127.0.0.1:0") as endpoint:
        for form in (endpoint, f"tcp://:{endpoint.rpartition(':')[2]}"):
            with CSIClient(form) as client:
                assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5).ready.value


def test_the_metadata_of_a_call_arrives(client: CSIClient, script: Script) -> None:
    client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5, metadata=[("who", "me")])
    assert ("who", "me") in script.metadata


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_every_status_is_its_error_and_keeps_its_code(
    status: grpc.StatusCode, client: CSIClient, script: Script
) -> None:
    script.faults["Probe"] = Fault(status, "no luck today")
    with pytest.raises(errors.RexrayError, match="no luck today") as raised:
        client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5)
    assert STATUS.get(type(raised.value), grpc.StatusCode.INTERNAL) in (status, grpc.StatusCode.INTERNAL)
    assert isinstance(raised.value.__cause__, grpc.RpcError)
    assert raised.value.__cause__.code() is status


def test_an_error_of_the_service_is_the_same_error_here(client: CSIClient) -> None:
    with pytest.raises(errors.NotFound, match="ControllerGetVolume: no volume 'nobody'"):
        client.call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id="nobody"), timeout=5)


def test_a_deadline_that_passes_names_the_endpoint(client: CSIClient, script: Script) -> None:
    script.stalled.add("Probe")
    started = time.monotonic()
    with pytest.raises(errors.TimedOut, match=r"Probe: no answer from .*csi\.sock within 0\.2s"):
        client.call(rpc.PROBE, pb.ProbeRequest(), timeout=0.2)
    assert time.monotonic() - started < 5


def test_a_service_that_is_not_there_is_said_at_once_in_one_line(tmp_path: Path) -> None:
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    (tmp_path / "file").touch()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    reasons = {
        f"{tmp_path}/none.sock": "No such file or directory",
        str(dead): "Connection refused",
        f"{tmp_path}/file": "it is not a socket",
        f"tcp://127.0.0.1:{port}": "Connection refused",
    }
    for endpoint, reason in reasons.items():
        started = time.monotonic()
        with CSIClient(endpoint) as client, pytest.raises(errors.Unavailable) as raised:
            client.call(rpc.PROBE, pb.ProbeRequest(), timeout=60)
        assert str(raised.value) == f"no CSI service at {endpoint}: {reason}"
        assert time.monotonic() - started < 2


def test_a_new_client_finds_a_service_that_was_not_there_before(
    service: MemoryCSI, script: Script, tmp_path: Path
) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with CSIClient(str(path)) as client, pytest.raises(errors.Unavailable):
        client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5)
    path.unlink()
    with serving(service, script, f"unix:{path}"), CSIClient(str(path)) as client:
        assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=5).ready.value


def test_pages_go_on_to_the_end_and_leave_the_request_alone(client: CSIClient, service: MemoryCSI) -> None:
    for number in range(1000):
        service.volumes[f"v{number:04}"] = pb.Volume(volume_id=f"v{number:04}")
    request = pb.ListVolumesRequest(max_entries=100)
    found = list(pages(client, rpc.LIST_VOLUMES, request, timeout=5))
    assert [len(page.entries) for page in found] == [100] * 10
    assert [entry.volume.volume_id for page in found for entry in page.entries] == sorted(service.volumes)
    assert request == pb.ListVolumesRequest(max_entries=100)


def test_pages_that_lead_in_a_circle_end(tmp_path: Path, script: Script) -> None:
    class Circle(MemoryCSI):
        def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
            return pb.ListVolumesResponse(next_token="again")

    with serving(Circle(), script, f"unix:{tmp_path}/csi.sock") as endpoint, CSIClient(endpoint) as client:
        listing = pages(client, rpc.LIST_VOLUMES, pb.ListVolumesRequest(), timeout=5)
        with pytest.raises(errors.RexrayError, match="'again' twice"):
            list(listing)


def test_a_list_may_be_longer_than_grpc_likes(client: CSIClient, service: MemoryCSI) -> None:
    for number in range(100):
        service.volumes[str(number)] = pb.Volume(volume_id=str(number), volume_context={"k": "x" * 60_000})
    assert len(client.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(), timeout=20).entries) == 100


def test_a_stream_yields_as_it_comes_and_raises_as_a_call_does(client: CSIClient, script: Script) -> None:
    request = pb.GetMetadataAllocatedRequest(snapshot_id="s")
    responses = list(client.stream(rpc.GET_METADATA_ALLOCATED, request, timeout=5))
    assert [len(response.block_metadata) for response in responses] == [2, 1]
    script.faults["GetMetadataAllocated"] = Fault(grpc.StatusCode.NOT_FOUND, "no snapshot")
    with pytest.raises(errors.NotFound, match="GetMetadataAllocated: no snapshot"):
        list(client.stream(rpc.GET_METADATA_ALLOCATED, request, timeout=5))


def test_many_threads_share_a_client(client: CSIClient, script: Script) -> None:
    def work() -> None:
        for _ in range(20):
            client.call(rpc.PROBE, pb.ProbeRequest(), timeout=10)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(script.requests) == 160


def test_no_log_line_shows_a_secret(client: CSIClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request = pb.DeleteVolumeRequest(volume_id="v", secrets={"password": CANARY})
    client.call(rpc.DELETE_VOLUME, request, timeout=5)
    assert "DeleteVolume" in caplog.text
    assert "password" in caplog.text
    assert CANARY not in caplog.text
    assert request.secrets["password"] == CANARY
    assert "***" in redacted(request)
