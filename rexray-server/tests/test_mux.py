"""Two protocols on one socket: whatever order, pace and oddity the bytes come in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray_server.mux import PREFACE, Multiplexer

if TYPE_CHECKING:
    from server_parts import Running


@contextmanager
def channel(running: Running, authority: str = "localhost") -> Iterator[grpc.Channel]:
    options = [("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"unix:{running.path}", options) as opened:
        yield opened


def invoke(opened: grpc.Channel, call: rpc.Call[Any, Any], request: Any, timeout: float = 10) -> Any:
    method = opened.unary_unary(call.path, call.request.SerializeToString, call.response.FromString)
    return method(request, timeout=timeout)


def capability() -> pb.VolumeCapability:
    mode = pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER)
    return pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=mode)


def raw_call(connection: socket.socket, authority: str, pieces: int = 1) -> int:
    """Call Identity.Probe by hand; the grpc-status that came back. The bytes are sent in so many pieces."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False))
    client.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", rpc.PROBE.path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    client.send_headers(1, headers)
    client.send_data(1, b"\0\0\0\0\0", end_stream=True)
    data = client.data_to_send()
    step = max(1, len(data) // pieces)
    for start in range(0, len(data), step):
        connection.sendall(data[start : start + step])
        if pieces > 1:
            time.sleep(0.002)
    while chunk := connection.recv(65536):
        for event in client.receive_data(chunk):
            if isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                status = dict(event.headers or []).get(b"grpc-status")
                if status is not None:
                    return int(status)
            if isinstance(event, h2.events.StreamReset):
                pytest.fail(f"stream reset: {event.error_code}")
        connection.sendall(client.data_to_send())
    pytest.fail("the connection ended without a status")


def test_docker_and_csi_share_the_socket_and_see_each_others_calls(running: Running) -> None:
    with channel(running) as opened:
        assert invoke(opened, rpc.PROBE, pb.ProbeRequest()) == pb.ProbeResponse()
        assert running.post("/VolumeDriver.List") == (200, b'{"Volumes":[]}')
        assert invoke(opened, rpc.PROBE, pb.ProbeRequest()) == pb.ProbeResponse()


@pytest.mark.parametrize(
    "authority", ["localhost", "", "/run/docker/plugins/rexray.sock", "%2Frun%2Fcsi.sock", "csi.sock:0"]
)
def test_any_authority_that_clients_of_unix_sockets_send_is_served(running: Running, authority: str) -> None:
    with running.connect() as connection:
        assert raw_call(connection, authority) == 0


def test_a_preface_in_single_bytes_is_served(running: Running) -> None:
    with running.connect() as connection:
        assert raw_call(connection, "localhost", pieces=1000) == 0


def test_a_preface_that_turns_out_to_be_none_is_http(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")


def test_half_written_frames_and_half_closed_peers_leave_the_rest_alone(running: Running) -> None:
    broken = [PREFACE, PREFACE[:10], PREFACE + b"\x00\x00", PREFACE + b"\xff" * 100, b"POST /Volu", b"\x00", b"P"]
    with ExitStack() as stack:
        for data in broken * 10:
            connection = stack.enter_context(running.connect())
            connection.sendall(data)
            if len(data) % 2:
                connection.shutdown(socket.SHUT_WR)
        with channel(running) as opened:
            assert invoke(opened, rpc.PROBE, pb.ProbeRequest()) == pb.ProbeResponse()
        assert running.post("/VolumeDriver.List")[0] == 200


def test_a_thousand_silent_connections_cost_no_thread_and_disturb_nobody(running: Running) -> None:
    assert running.post("/VolumeDriver.List")[0] == 200
    threads = threading.active_count()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(running.connect())
        assert running.post("/VolumeDriver.List")[0] == 200
        with channel(running) as opened:
            assert invoke(opened, rpc.PROBE, pb.ProbeRequest()) == pb.ProbeResponse()
            assert threading.active_count() <= threads + 20


def test_connections_that_ended_leave_no_file_descriptor(running: Running) -> None:
    def open_descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    def churn() -> None:
        for _ in range(30):
            with running.connect() as connection:
                raw_call(connection, "localhost")
            running.post("/VolumeDriver.List")
            with running.connect() as connection:
                connection.sendall(PREFACE[:7])

    churn()
    before = open_descriptors()
    churn()
    deadline = time.monotonic() + 10
    while open_descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_descriptors() <= before


def test_errors_of_a_plug_in_become_their_status_and_its_insides_stay_inside(running: Running) -> None:
    def status_of(name: str) -> tuple[grpc.StatusCode, str]:
        request = pb.CreateVolumeRequest(name=name, volume_capabilities=[capability()])
        with channel(running) as opened, pytest.raises(grpc.RpcError) as caught:
            invoke(opened, rpc.CREATE_VOLUME, request)
        error: Any = caught.value
        return error.code(), error.details()

    assert status_of("taken") == (grpc.StatusCode.FAILED_PRECONDITION, "volume 'taken' is held by node 'other'")
    assert status_of("broken") == (grpc.StatusCode.INTERNAL, "internal error: see the log of rexray")


def test_a_call_that_the_plug_in_lacks_is_unimplemented(running: Running) -> None:
    with channel(running) as opened, pytest.raises(grpc.RpcError) as caught:
        invoke(opened, rpc.GET_CAPACITY, pb.GetCapacityRequest())
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_answer_of_megabytes_passes_whole(running: Running) -> None:
    running.plugin.controller.created.extend(f"volume-{number:0100}" for number in range(40_000))
    with grpc.insecure_channel(
        f"unix:{running.path}",
        [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", -1)],
    ) as opened:
        answer = invoke(opened, rpc.LIST_VOLUMES, pb.ListVolumesRequest(), timeout=30)
    assert len(answer.entries) == 40_000


def test_sixteen_clients_of_each_protocol_at_once_get_their_own_answers(running: Running) -> None:
    def by_csi(number: int) -> None:
        with channel(running) as opened:
            for step in range(20):
                name = f"csi-{number}-{step}"
                request = pb.CreateVolumeRequest(name=name, volume_capabilities=[capability()])
                assert invoke(opened, rpc.CREATE_VOLUME, request).volume.volume_id == name

    def by_docker(number: int) -> None:
        for step in range(20):
            body = b'{"Name":"docker-%d-%d"}' % (number, step)
            assert running.post("/VolumeDriver.Create", body) == (200, b"{}")
            assert b"docker-%d-%d" % (number, step) in running.post("/VolumeDriver.Get", body)[1]

    with ThreadPoolExecutor(32) as pool:
        tasks = [pool.submit(task, number) for number in range(16) for task in (by_csi, by_docker)]
        for task in tasks:
            task.result()
    assert len(running.plugin.controller.created) == 320
    assert len(running.volumes.known) == 320


def relayed(folder: Path, said: bytes, *, ends: bool, drain: float) -> tuple[int, float]:
    """What a client that begins to read late gets through a relay that is stopped at once, and how long that takes.

    The inner server reads nothing, says its piece, and then ends the connection or leaves it open.
    """
    inner, outer = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
    accepted = threading.Event()
    inner.bind(str(folder / "inner.sock"))
    inner.listen()
    outer.bind(str(folder / "outer.sock"))

    def serve() -> socket.socket:
        connection, _ = inner.accept()
        accepted.set()
        connection.settimeout(10)
        connection.sendall(said)
        if ends:
            connection.close()
        return connection

    def read_late(client: socket.socket) -> int:
        time.sleep(0.3)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(65536):
                received += len(chunk)
        return received

    async def stop(client: socket.socket) -> tuple[int, float]:
        mux = Multiplexer(application=None, grpc_path=str(folder / "inner.sock"), executor=pool)
        await mux.start(outer)
        serving = pool.submit(serve)
        client.connect(str(folder / "outer.sock"))
        client.sendall(PREFACE)
        assert await asyncio.to_thread(accepted.wait, 5)
        await asyncio.sleep(0.1)
        started = time.monotonic()
        mux.stop_accepting()
        reading = pool.submit(read_late, client)
        await mux.drain(drain)
        took = time.monotonic() - started
        received = await asyncio.wrap_future(reading)
        (await asyncio.wrap_future(serving)).close()
        return received, took

    with ThreadPoolExecutor(2) as pool, inner, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        return asyncio.run(stop(client))


def room_of_a_socket() -> int:
    """How many bytes a socket takes before its peer reads."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        return near.send(b"x" * (8 << 20))


@pytest.mark.parametrize("beyond", [30_000, 8 << 20], ids=["a-rest-in-our-buffer", "megabytes"])
def test_a_stop_waits_until_what_the_grpc_server_said_has_passed(short_dir: Path, beyond: int) -> None:
    said = b"x" * (room_of_a_socket() + beyond)
    received, took = relayed(short_dir, said, ends=True, drain=10)
    assert received == len(said)
    assert took < 5


def test_a_stop_waits_for_the_grpc_server_to_end_a_connection_but_not_for_ever(short_dir: Path) -> None:
    said = b"x" * 100
    received, took = relayed(short_dir, said, ends=False, drain=0.6)
    assert received == len(said)
    assert 0.6 <= took < 3


def test_a_stop_does_not_wait_for_a_relay_that_the_grpc_server_has_ended(short_dir: Path) -> None:
    received, took = relayed(short_dir, b"", ends=True, drain=10)
    assert received == 0
    assert took < 0.5
