"""The listening socket: where, whose, and what is done about who was there before."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rexray.csi.settings import Endpoint
from rexray.errors import InUse, RexrayError, SettingsError
from rexray_server.csi.server import make_server
from rexray_server.endpoint import endpoint_to_serve, listen, withdraw


def open_at(path: Path, mode: int = 0o600, user: str = "", group: str = "") -> socket.socket:
    return listen(Endpoint(path=path), mode=mode, user=user, group=group)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("unix:///run/x.sock", Endpoint(path=Path("/run/x.sock"))),
        ("unix:/run/x.sock", Endpoint(path=Path("/run/x.sock"))),
        ("/run/x.sock", Endpoint(path=Path("/run/x.sock"))),
        ("tcp://127.0.0.1:7000", Endpoint(host="127.0.0.1", port=7000)),
        ("tcp://[::1]:7000", Endpoint(host="::1", port=7000)),
        ("tcp://:7000", Endpoint(host="127.0.0.1", port=7000)),
    ],
)
def test_every_way_to_write_an_endpoint_is_understood(text: str, endpoint: Endpoint) -> None:
    assert endpoint_to_serve(text) == endpoint


def test_a_relative_endpoint_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert endpoint_to_serve("csi.sock") == Endpoint(path=tmp_path / "csi.sock")


@pytest.mark.parametrize(
    "text",
    [
        *("tcp://host", "tcp://host:port", "tcp://h:99999", "http://x:1", "/" + "x" * 200),
        *("tcp://h:²", "/run/a\0b", "localhost:7979", ":7979"),
    ],
)
def test_what_is_no_endpoint_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match="endpoint"):
        endpoint_to_serve(text)


def test_missing_directories_are_made_and_only_the_owner_may_connect(short_dir: Path) -> None:
    path = short_dir / "a/b/x.sock"
    with open_at(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in path.parent.iterdir()] == ["x.sock"]


def test_mode_and_owner_are_as_asked(short_dir: Path) -> None:
    group = str(os.getgid())
    with open_at(short_dir / "x.sock", mode=0o660, user=str(os.getuid()), group=group):
        found = (short_dir / "x.sock").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, os.getuid(), os.getgid())


@pytest.mark.parametrize("name", ["no-such-name", "²", "a\0b", "-1", "4294967295", "99999999999", "9" * 5000])
@pytest.mark.parametrize("kind", ["user", "group"])
def test_an_unknown_owner_is_refused_and_nothing_listens(short_dir: Path, kind: str, name: str) -> None:
    with pytest.raises(SettingsError, match=f"X_CSI_ENDPOINT_{kind.upper()}: no such {kind}"):
        open_at(short_dir / "x.sock", user=name if kind == "user" else "", group=name if kind == "group" else "")
    assert list(short_dir.iterdir()) == []


def test_a_live_socket_is_left_alone(short_dir: Path) -> None:
    path = short_dir / "x.sock"
    with open_at(path) as first:
        with pytest.raises(InUse, match="another process serves it"):
            open_at(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            first.accept()[0].close()


def test_a_dead_socket_is_taken_over(short_dir: Path) -> None:
    path = short_dir / "x.sock"
    open_at(path).close()
    assert path.is_socket()
    with open_at(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(short_dir: Path, kind: str) -> None:
    path = short_dir / "x.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/etc/passwd")
    with pytest.raises(SettingsError, match="not a socket"):
        open_at(path)
    assert path.is_symlink() or path.is_dir() or path.read_text() == "precious"


def test_a_path_through_a_file_is_one_clear_error(short_dir: Path) -> None:
    (short_dir / "file").write_text("")
    with pytest.raises(RexrayError, match="file"):
        open_at(short_dir / "file/x.sock")


def test_a_withdrawn_socket_is_gone(short_dir: Path) -> None:
    path = short_dir / "x.sock"
    with open_at(path):
        withdraw(Endpoint(path=path))
    assert not path.exists()


def test_a_socket_that_another_process_put_there_meanwhile_is_left(short_dir: Path) -> None:
    path = short_dir / "x.sock"
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        withdraw(Endpoint(path=path))
        assert path.is_socket()
        other.communicate(b"")


def test_a_host_that_can_be_none_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="is no name of a host"):
        listen(Endpoint(host="é" * 70, port=0), mode=0, user="", group="")


def test_an_address_that_grpc_does_not_take_is_a_setting_that_is_wrong(short_dir: Path) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(SettingsError, match="cannot listen at"):
        make_server({}, f"unix:{short_dir}/missing/x.sock", pool)


@pytest.mark.parametrize("name", ["100%", "a%41b", "what?", "a#b", "a b"])
def test_grpc_listens_at_a_path_with_any_character(short_dir: Path, name: str) -> None:
    path = short_dir / name
    with ThreadPoolExecutor(1) as pool:
        server = make_server({}, Endpoint(path=path).target, pool)
        assert path.is_socket()
        server.stop(0).wait()


def test_a_busy_tcp_port_is_in_use() -> None:
    with listen(Endpoint(host="127.0.0.1", port=0), mode=0, user="", group="") as first:
        port = first.getsockname()[1]
        with pytest.raises(InUse):
            listen(Endpoint(host="127.0.0.1", port=port), mode=0, user="", group="")
