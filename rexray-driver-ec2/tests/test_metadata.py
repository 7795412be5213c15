"""The client of the instance metadata service, against a service that enforces, and against AWS's own mock."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imds_parts import IDENTITY, IDENTITY_PATH, MAPPING_PATH, TOKEN_PATH, Imds, amazons_mock
from rexray.errors import SettingsError, Unavailable
from rexray_driver_ec2.metadata import Host, Identity
from rexray_driver_ec2.settings import Ec2Settings

WHOLE = Identity(
    instance_id="i-0123456789abcdef0",
    region="eu-west-1",
    zone="eu-west-1b",
    instance_type="m5.large",
    account_id="123456789012",
)


@pytest.fixture
def imds() -> Iterator[Imds]:
    with Imds() as service:
        yield service


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def host_of(imds: Imds, *, v1: bool = False, clock: Callable[[], float] = time.monotonic) -> Host:
    return Host(Ec2Settings(metadata_endpoint=imds.url, metadata_v1=v1), remote=False, clock=clock)


def refusal(host: Host) -> str:
    """The one line of the error of asking for the identity."""
    with pytest.raises(Unavailable) as caught:
        _ = host.identity
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_identity_is_asked_for_once_with_a_token(imds: Imds) -> None:
    host = host_of(imds)
    assert imds.requests == []
    assert host.identity == WHOLE
    assert host.identity is host.identity
    assert imds.requests == [("PUT", TOKEN_PATH, 200), ("GET", IDENTITY_PATH, 200)]


def test_many_threads_ask_once(imds: Imds) -> None:
    host = host_of(imds)
    found: list[Identity] = []
    threads = [threading.Thread(target=lambda: found.append(host.identity)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [WHOLE] * 16
    assert len(imds.requests) == 2


def test_what_the_document_need_not_have_is_empty(imds: Imds) -> None:
    imds.documents[IDENTITY_PATH] = json.dumps({"instanceId": "i-1", "region": "r", "accountId": None})
    assert host_of(imds).identity == Identity(instance_id="i-1", region="r")


def test_the_block_device_mapping(imds: Imds) -> None:
    imds.mapping = {"ami": "xvda", "ephemeral0": "sdb", "ebs1": "/dev/sdf", "root": "/dev/xvda"}
    host = host_of(imds)
    assert host.block_devices() == imds.mapping
    imds.mapping = {}
    assert host.block_devices() == {}


def test_an_entry_that_goes_away_meanwhile_is_left_out(imds: Imds) -> None:
    imds.documents[MAPPING_PATH] = "ami\nebs7\nroot"
    assert host_of(imds).block_devices() == {"ami": "/dev/xvda", "root": "/dev/xvda"}


def test_a_remote_host_asks_nobody(imds: Imds) -> None:
    settings = Ec2Settings(metadata_endpoint=imds.url, instance_id="i-7", region="us-east-1")
    host = Host(settings, remote=True)
    assert host.identity == Identity(instance_id="i-7", region="us-east-1", zone="", instance_type="", account_id="")
    assert host.block_devices() == {}
    assert imds.requests == []


def test_a_token_is_renewed_before_it_expires(imds: Imds) -> None:
    clock = Clock()
    host = host_of(imds, clock=clock)
    imds.longest_token = 100
    host.block_devices()
    clock.now = 89
    host.block_devices()
    assert imds.count("PUT", TOKEN_PATH) == 1
    clock.now = 91
    host.block_devices()
    assert imds.count("PUT", TOKEN_PATH) == 2
    assert all(status == 200 for _, _, status in imds.requests)


def test_a_token_that_is_refused_is_replaced(imds: Imds) -> None:
    host = host_of(imds)
    host.block_devices()
    imds.forget_tokens()
    assert host.block_devices() == imds.mapping
    assert [status for _, _, status in imds.requests].count(401) == 1
    assert imds.count("PUT", TOKEN_PATH) == 2


def test_tokens_that_are_always_refused(imds: Imds) -> None:
    imds.longest_token = -1.0
    assert "refuses the token" in refusal(host_of(imds))
    assert imds.count("PUT", TOKEN_PATH) == 2


def test_without_tokens_nothing_is_asked_unless_the_settings_say_so(imds: Imds) -> None:
    imds.version_1, imds.version_2 = True, False
    message = refusal(host_of(imds))
    assert "ec2.metadataV1" in message
    assert imds.url in message
    assert "405" in message
    assert imds.count("GET", IDENTITY_PATH) == 0
    assert host_of(imds, v1=True).identity == WHOLE


def test_a_service_with_tokens_gets_them_whatever_the_settings_say(imds: Imds) -> None:
    imds.version_1 = True
    assert host_of(imds, v1=True).identity == WHOLE
    assert imds.count("PUT", TOKEN_PATH) == 1
    imds.hanging = {TOKEN_PATH}
    assert "does not answer" in refusal(host_of(imds, v1=True))


def test_a_service_that_wants_tokens_after_all(imds: Imds) -> None:
    imds.version_1, imds.version_2 = True, False
    host = host_of(imds, v1=True)
    host.block_devices()
    imds.version_1, imds.version_2 = False, True
    assert host.block_devices() == imds.mapping


def test_a_service_that_is_switched_off(imds: Imds) -> None:
    imds.enabled = False
    for v1 in (False, True):
        message = refusal(host_of(imds, v1=v1))
        assert "switched off" in message
        assert "REXRAY_REMOTEMANAGEMENT=true" in message
    assert imds.count("GET", IDENTITY_PATH) == 0


def test_a_passing_failure_is_tried_once_more(imds: Imds) -> None:
    imds.passing = [503]
    assert host_of(imds).identity == WHOLE
    imds.passing = [503, 500]
    assert "status 500" in refusal(host_of(imds))
    imds.passing = [302]
    assert "status 302" in refusal(host_of(imds))


def test_no_answer_names_what_to_do_and_takes_two_seconds(imds: Imds) -> None:
    imds.hanging = {TOKEN_PATH}
    started = time.monotonic()
    message = refusal(host_of(imds))
    assert 1.5 < time.monotonic() - started < 4
    assert message == (
        f"this host's instance metadata service {imds.url} does not answer: set REXRAY_REMOTEMANAGEMENT=true and "
        "ec2.instanceID where REX-Ray does not run on an EC2 instance; in a container, the instance's metadata hop "
        "limit has to be 2"
    )


def test_an_answer_that_drips_is_no_answer(imds: Imds) -> None:
    imds.dripping = {IDENTITY_PATH}
    started = time.monotonic()
    assert "does not answer" in refusal(host_of(imds))
    assert time.monotonic() - started < 6


def test_a_host_that_refuses_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    message = refusal(Host(Ec2Settings(metadata_endpoint=url), remote=False))
    assert "Connection refused" in message
    assert url in message


def test_a_failure_is_kept_for_half_a_minute_and_a_success_for_ever(imds: Imds) -> None:
    clock = Clock()
    host = host_of(imds, clock=clock)
    imds.enabled = False
    first = refusal(host)
    imds.enabled = True
    clock.now = 29
    asked = len(imds.requests)
    assert refusal(host) == first
    with pytest.raises(Unavailable, match="switched off"):
        host.block_devices()
    assert len(imds.requests) == asked
    clock.now = 31
    assert host.identity == WHOLE
    imds.enabled = False
    clock.now = 1e9
    assert host.identity == WHOLE


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<html>",
        "[]",
        "null",
        "[" * 100_000,
        "{}",
        json.dumps({**IDENTITY, "instanceId": ""}),
        json.dumps({**IDENTITY, "region": 7}),
        json.dumps({**IDENTITY, "instanceId": "../i-1"}),
        json.dumps({**IDENTITY, "availabilityZone": ["a"]}),
        json.dumps({**IDENTITY, "accountId": "1\n2"}),
        json.dumps({**IDENTITY, "more": "x" * 70_000}),
    ],
)
def test_a_malformed_identity(imds: Imds, document: str) -> None:
    imds.documents[IDENTITY_PATH] = document
    assert IDENTITY_PATH in refusal(host_of(imds))


def test_a_missing_identity(imds: Imds) -> None:
    del imds.documents[IDENTITY_PATH]
    assert f"{IDENTITY_PATH} is missing" in refusal(host_of(imds))


@pytest.mark.parametrize("token", ["", "two words", "<!DOCTYPE html>\n<html>"])
def test_a_malformed_token(imds: Imds, token: str) -> None:
    class Odd(Imds):
        def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
            return 200, token, {}

    with Odd() as odd:
        assert f"{TOKEN_PATH} is no token" in refusal(host_of(odd))


@pytest.mark.parametrize(
    ("entry", "device"), [("ebs1", ""), ("ebs1", "a b"), ("ebs1", "x" * 100), ("../x", "sdb"), ("<html>", "sdb")]
)
def test_a_malformed_mapping(imds: Imds, entry: str, device: str) -> None:
    imds.mapping = {"root": "/dev/sda1", entry: device}
    with pytest.raises(Unavailable, match=re.escape(MAPPING_PATH)):
        host_of(imds).block_devices()


def test_proxies_are_not_used(imds: Imds, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert host_of(imds).identity == WHOLE


def test_an_endpoint_with_a_prefix_and_one_with_a_slash() -> None:
    with Imds(prefix="/proxied/imds") as imds:
        assert host_of(imds).identity == WHOLE
        settings = Ec2Settings(metadata_endpoint=imds.url + "/")
        assert Host(settings, remote=False).identity == WHOLE


def test_an_endpoint_of_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        service = Imds(host="::1")
    except OSError:
        pytest.skip("this host has no IPv6")
    with service as imds:
        assert host_of(imds).identity == WHOLE
    Host(Ec2Settings(metadata_endpoint="http://[fd00:ec2::254]"), remote=False)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "169.254.169.254",
        "https://169.254.169.254",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://h:99999",
        "http://[::1",
        "http://a b",
        "http://a\nb",
        "http://a..b",
        "http://u@h",
        "http://h/?q",
        "http://h/#f",
    ],
)
def test_an_endpoint_that_is_no_url(endpoint: str) -> None:
    for remote in (False, True):
        with pytest.raises(SettingsError, match=r"ec2\.metadataEndpoint"):
            Host(replace(Ec2Settings(), metadata_endpoint=endpoint), remote=remote)


@pytest.mark.needs("ec2-metadata-mock")
@pytest.mark.parametrize("only_v2", [True, False])
def test_amazons_own_mock(tool: Callable[[str], str], tmp_path: Path, *, only_v2: bool) -> None:
    mapping = {"ami": "/dev/xvda", "ebs0": "sdf", "ephemeral0": "sdb", "root": "/dev/xvda", "swap": "sdcs"}
    with amazons_mock(tool("ec2-metadata-mock"), tmp_path, only_v2=only_v2, mapping=mapping) as url:
        host = Host(Ec2Settings(metadata_endpoint=url), remote=False)
        assert host.identity == Identity(
            instance_id="i-1234567890abcdef0",
            region="us-east-1",
            zone="us-east-1f",
            instance_type="m4.xlarge",
            account_id="0123456789",
        )
        assert host.block_devices() == mapping
        log = (tmp_path / "log").read_text()
    assert "Token validated" in log or not only_v2
