"""The server of the simulated gateway: what goes wrong by order, restarts, stalled clients, and many at once."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateway_client import Client
from gateway_parts import Gateway

VOLUMES = "/api/types/Volume/instances"
CLOSED = (http.client.HTTPException, OSError)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway) as client:
        yield client


def test_a_connection_is_kept_and_every_call_is_known(gateway: Gateway, client: Client) -> None:
    own = client.connection.sock
    gateway.clear_calls()
    client.create("one")
    assert client.refused(VOLUMES, client.create_body("one")) == (500, 99)
    client.get(f"{VOLUMES}?x=1")
    assert client.connection.sock is own
    assert [(call.method, call.path, call.status) for call in gateway.calls] == [
        ("POST", VOLUMES, 200),
        ("POST", VOLUMES, 500),
        ("GET", f"{VOLUMES}?x=1", 200),
    ]
    assert len({call.thread for call in gateway.calls}) == 1
    assert '"one"' in gateway.calls[0].body


def test_its_certificate_is_of_its_own_authority(gateway: Gateway) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", urlsplit(gateway.url).port, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/api/login")
    connection.close()


def test_a_client_that_stalls_in_its_handshake_holds_up_nobody(gateway: Gateway) -> None:
    port = urlsplit(gateway.url).port
    stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    try:
        started = time.monotonic()
        with Client(gateway) as client:
            assert client.get(VOLUMES) == []
        assert time.monotonic() - started < 5
    finally:
        for each in stalled:
            each.close()


def test_a_restart_keeps_the_port_and_the_state_and_no_token(gateway: Gateway, client: Client) -> None:
    volume, url = client.create(), gateway.url
    client.snapshot((volume, "s"))
    gateway.stop()
    with pytest.raises(CLOSED):
        client.ask("GET", VOLUMES)
    with pytest.raises(ConnectionRefusedError):
        client.ask("GET", VOLUMES)
    gateway.start()
    assert gateway.url == url
    assert client.ask("GET", VOLUMES)[0] == 401
    client.login()
    assert [it["name"] for it in client.get(VOLUMES)] == ["one", "s"]


def test_a_refusal_by_order_has_no_effect_and_comes_as_often_as_said(gateway: Gateway, client: Client) -> None:
    fault = gateway.refuse("POST", "Volume/instances$", status=500, code=337, message="critical", times=2)
    for _ in range(2):
        assert client.refused(VOLUMES, client.create_body()) == (500, 337)
    assert gateway.volumes() == []
    client.create()
    assert fault.used == 2
    details = [{"rc": 182, "error": "TOO_MANY_SNAPS_IN_VTREE", "errorMessage": "no more"}]
    gateway.refuse("GET", "Volume", status=500, code=0, message="Error with details", details=details)
    assert client.ask("GET", VOLUMES)[1]["details"] == details


def test_an_answer_is_lost_after_the_deed_and_a_request_before_it(gateway: Gateway, client: Client) -> None:
    gateway.lose_answer("POST", "/instances$")
    gateway.drop_before("POST", "removeVolume")
    with pytest.raises(CLOSED):
        client.create("one")
    found = gateway.volume("one")
    assert found is not None
    with pytest.raises(CLOSED):
        client.remove(found["id"])
    assert gateway.volume("one") is not None
    assert [call.status for call in gateway.calls[1:]] == [0, 0]
    client.remove(found["id"])
    assert gateway.volume("one") is None


def test_a_request_waits_before_its_effect_or_after(gateway: Gateway, client: Client) -> None:
    for after in (False, True):
        gateway.slow("POST", "/instances$", 0.4, after=after)
        with ThreadPoolExecutor(1) as pool:
            started = time.monotonic()
            asked = pool.submit(client.create, f"v{after}")
            while gateway.volume(f"v{after}") is None:
                time.sleep(0.005)
            waited = time.monotonic() - started
            asked.result(10)
            assert time.monotonic() - started >= 0.4
            assert (waited < 0.3) == after


def test_a_stop_ends_a_request_that_waits_without_its_effect(gateway: Gateway, client: Client) -> None:
    fault = gateway.slow("POST", "/instances$", 60)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.create)
        while not fault.used:
            time.sleep(0.005)
        gateway.stop()
        assert isinstance(asked.exception(10), CLOSED)
    assert gateway.volumes() == []


def test_throttling_says_when_to_come_again_and_pages_for_people_are_no_json(gateway: Gateway, client: Client) -> None:
    gateway.throttle(retry_after="7")
    gateway.html()
    assert client.raw("GET", VOLUMES)[0] == 429
    assert client.headers is not None
    assert client.headers["Retry-After"] == "7"
    status, page = client.raw("GET", VOLUMES)
    assert (status, page[:6], client.headers["Content-Type"]) == (503, b"<html>", "text/html")
    gateway.html(None)
    gateway.clear_faults()
    assert client.get(VOLUMES) == []


def test_two_gateways_never_have_an_id_in_common(gateway: Gateway, client: Client) -> None:
    with Gateway() as other, Client(other) as stranger:
        assert client.create() != stranger.create()
        assert gateway.system_id != other.system_id
        assert gateway.pool_id != other.pool_id


def test_of_64_clients_one_has_the_name_and_one_the_mapping(gateway: Gateway, client: Client) -> None:
    shared = client.create("shared")
    hosts = [gateway.add_sdc(f"HOST-{number}") for number in range(64)]
    barrier = threading.Barrier(64)

    def work(number: int) -> tuple[int, int]:
        with Client(gateway) as own:
            barrier.wait(60)
            named, _ = own.ask("POST", VOLUMES, own.create_body("wanted"))
            mapped, _ = own.ask("POST", own.path(shared, "addMappedSdc"), {"sdcId": hosts[number]})
            mine = own.create(f"mine-{number}")
            snapshot = own.snapshot((mine, f"snap-{number}"))["volumeIdList"][0]
            own.map(mine, hosts[number])
            own.unmap(mine, hosts[number])
            own.remove(mine, "INCLUDING_DESCENDANTS")
            assert own.ask("GET", f"/api/instances/Volume::{snapshot}")[0] == 500
            return named, mapped

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(work, range(64)))
    assert sorted(named for named, _ in answers) == [200] + [500] * 63
    assert sorted(mapped for _, mapped in answers) == [200] + [500] * 63
    assert sorted(it["name"] for it in gateway.volumes()) == ["shared", "wanted"]
    assert len(gateway.volumes()[0]["mappedSdcInfo"]) == 1


def test_thousands_of_volumes_are_made_at_once_and_leave_the_pool_its_room(gateway: Gateway, client: Client) -> None:
    sdc = gateway.add_sdc("HOST")
    made = gateway.fill(5000, mapped_to=sdc)
    assert len(set(made)) == 5000
    assert [it["id"] for it in client.get(VOLUMES)] == made
    assert len(client.get(f"/api/instances/Sdc::{sdc}/relationships/Volume")) == 5000
    client.create("fill-more", 1024)
