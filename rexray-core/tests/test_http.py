"""What drivers of REST platforms rely on: what may have taken effect, what is repeated, and whom to trust."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from rexray.errors import SettingsError
from rexray.http import MOST_BYTES, NoAnswer, NotSent, Server, basic

SECRET = "a password that nobody may see"


class Handler(BaseHTTPRequestHandler):
    """Answers as the site's script says: a status, or ``drop`` to close the connection without an answer."""

    protocol_version = "HTTP/1.1"
    server: Site

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        step = self.server.script.pop(0) if self.server.script else (200, {}, '"well"')
        if step == "drop":
            self.close_connection = True
            self.connection.close()
            return
        status, headers, text = step
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Site(ThreadingHTTPServer):
    """An HTTPS server with a script of answers and a record of requests."""

    daemon_threads = True

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.script: list[Any] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = f"https://127.0.0.1:{self.server_port}/api"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that does not trust the certificate hangs up


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield site
        site.shutdown()


def trusting(site: Site) -> Server:
    return Server(site.url, prefix="acme", ca_file=site.ca_file)


def test_a_request_arrives_as_it_was_meant(site: Site) -> None:
    server = trusting(site)
    answer = server.send(
        "POST", server.base + "/things", query=[("name", "a b&c"), ("full", 1)], headers={"X-One": "1"}, body={"a": 1}
    )
    assert (answer.status, answer.json()) == (200, "well")
    method, path, headers, body = site.seen[0]
    assert (method, path, json.loads(body)) == ("POST", "/api/things?name=a%20b%26c&full=1", {"a": 1})
    assert headers["X-One"] == "1"


def test_threads_share_connections_and_each_gets_its_own_answer(site: Site) -> None:
    server = trusting(site)
    found: list[int] = []

    def ask() -> None:
        found.extend(server.send("GET", "/x").status for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [200] * 80


def test_a_certificate_of_an_unknown_authority_is_refused_and_the_settings_are_named(site: Site) -> None:
    began = time.monotonic()
    with pytest.raises(NotSent, match=r"certificate is not trusted .*acme\.caFile.*acme\.insecure"):
        Server(site.url, prefix="acme").send("GET", "/x", headers={"Authorization": basic("me", SECRET)})
    assert site.seen == []
    assert time.monotonic() - began < 3  # it is not tried again


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    with Site(tmp_path, host="other.example") as site:
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with pytest.raises(NotSent, match="certificate is not trusted"):
            trusting(site).send("GET", "/x")
        site.shutdown()


def test_a_pinned_authority_is_the_only_one_trusted(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(NotSent, match="certificate is not trusted"):
        Server(site.url, prefix="acme", ca_file=str(other)).send("GET", "/x")


def test_insecure_trusts_any_certificate(site: Site) -> None:
    assert Server(site.url, prefix="acme", insecure=True).send("GET", "/x").status == 200


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_read_is_named(site: Site, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"acme\.caFile: .*authorities\.pem"):
        Server(site.url, prefix="acme", ca_file=str(path)).send("GET", "/x")


def test_a_lost_answer_to_a_get_is_asked_for_again(site: Site) -> None:
    site.script = ["drop", "drop", (200, {}, "1")]
    assert trusting(site).send("GET", "/x").json() == 1
    assert len(site.seen) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_lost_answer_to_a_change_is_told_and_the_request_is_not_repeated(site: Site, method: str) -> None:
    site.script = ["drop"]
    with pytest.raises(NoAnswer, match=rf"broke during {method} /x") as caught:
        trusting(site).send(method, "/x", headers={"Authorization": basic("me", SECRET)}, body={"password": SECRET})
    assert len(site.seen) == 1
    assert SECRET not in str(caught.value)


def test_an_answer_that_does_not_come_in_time_may_have_taken_effect(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server(f"http://127.0.0.1:{silent.getsockname()[1]}", prefix="acme", insecure=True)
        with pytest.raises(NoAnswer, match="did not answer POST /x"):
            server.send("POST", "/x", body={}, seconds=0.3)


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(200):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, args=(listener,), daemon=True).start()
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", prefix="acme", insecure=True)
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            server.send("POST", "/x", seconds=1.0)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("piece", [b"X", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_header_that_never_ends_is_given_up_in_time(piece: bytes) -> None:
    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            for _ in range(200):
                try:
                    connection.sendall(piece)
                except OSError:
                    return
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=trickle, args=(listener,), daemon=True).start()
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", prefix="acme", insecure=True)
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            server.send("POST", "/x", seconds=1.0)
        assert time.monotonic() - began < 5


def test_a_lost_answer_while_another_error_is_handled_is_no_matter_of_trust(site: Site) -> None:
    try:
        Server(site.url, prefix="acme").send("GET", "/x")
    except NotSent:
        site.script = ["drop"]
        with pytest.raises(NoAnswer):
            trusting(site).send("POST", "/x")


def test_what_is_to_be_made_once_is_made_once(site: Site) -> None:
    site.script = [(429, {"Retry-After": "1"}, "")]
    assert trusting(site).send("POST", "/x", once=True).status == 429
    assert len(site.seen) == 1


def test_credentials_that_no_header_can_hold_are_not_shown(site: Site) -> None:
    with pytest.raises(NotSent) as caught:
        trusting(site).send("GET", "/x", headers={"Authorization": f"Bearer {SECRET}\nX"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_throttled_request_is_made_again_after_the_pause_that_is_asked_for(site: Site, method: str) -> None:
    site.script = [(429, {"Retry-After": "1"}, ""), (200, {}, "1")]
    began = time.monotonic()
    assert trusting(site).send(method, "/x").status == 200
    assert time.monotonic() - began >= 1


def test_a_pause_that_would_be_too_long_is_not_waited_for(site: Site) -> None:
    site.script = [(429, {"Retry-After": "3600"}, "")]
    assert trusting(site).send("GET", "/x").status == 429


def test_an_overloaded_server_is_asked_again_but_not_told_again_to_do_something(site: Site) -> None:
    site.script = [(503, {}, ""), (200, {}, "1"), (503, {}, "")]
    assert trusting(site).send("GET", "/x").status == 200
    assert trusting(site).send("POST", "/x").status == 503


def test_a_redirect_is_not_followed(site: Site) -> None:
    site.script = [(302, {"Location": "https://elsewhere.example/"}, "")]
    answer = trusting(site).send("GET", "/x", headers={"Authorization": basic("me", SECRET)})
    assert (answer.status, len(site.seen)) == (302, 1)


def test_a_server_that_is_away_is_one_line_and_comes_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotSent, match=rf"https://127\.0\.0\.1:{port} cannot be reached: .*refused.*acme\.endpoint"):
        Server(f"https://127.0.0.1:{port}", prefix="acme").send("POST", "/x", seconds=1.0)


def test_an_answer_beyond_all_reason_is_not_kept(site: Site) -> None:
    server = trusting(site)
    site.script = [(200, {}, "x" * 1000)]
    assert len(server.send("GET", "/x").text) == 1000
    assert MOST_BYTES < 1 << 30


@pytest.mark.parametrize(
    "endpoint", ["ftp://host/api", "https://", "https://host:port/", "https://host:0", "https://host/?a=1", "[::1"]
)
def test_what_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"acme\.endpoint"):
        Server(endpoint, prefix="acme")


@pytest.mark.parametrize(
    "endpoint", ["https://me:hunter2@host/api", "https:/me:hunter2@host/api", "https://host/api?password=hunter2"]
)
def test_a_password_in_the_url_is_refused_and_not_shown(endpoint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Server(endpoint, prefix="acme")
    assert "hunter2" not in str(caught.value)


def test_plain_http_needs_the_word_insecure() -> None:
    with pytest.raises(SettingsError, match=r"acme\.insecure"):
        Server("http://host/api", prefix="acme")


@pytest.mark.parametrize(
    ("endpoint", "name", "base"),
    [
        ("host", "https://host", ""),
        ("https://host:443/api/", "https://host:443", "/api"),
        ("https://[::1]:8443/a/b", "https://[::1]:8443", "/a/b"),
    ],
)
def test_an_endpoint_is_understood_in_the_ways_people_write_it(endpoint: str, name: str, base: str) -> None:
    server = Server(endpoint, prefix="acme")
    assert (server.name, server.base) == (name, base)
