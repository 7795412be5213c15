"""Keys, and what happens where encryption is not to be had; encrypted volumes themselves need dm-crypt."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from loop_parts import MIB, Host
from rexray import child
from rexray.errors import InvalidRequest, NotFound, Unsupported
from rexray.locks import Locks
from rexray_driver_loop import crypt
from rexray_driver_loop.crypt import KEY_BYTES, Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys", Locks(tmp_path / "locks"))


def test_the_default_key_is_made_once(keys: Keys) -> None:
    key = keys.path("")
    content = key.read_bytes()
    assert len(content) == KEY_BYTES
    assert len(set(content)) > 20
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert keys.path("default") == key
    assert key.read_bytes() == content


def test_a_named_key_is_not_made(keys: Keys) -> None:
    with pytest.raises(NotFound, match="no file in") as caught:
        keys.path("hunter2")
    assert "hunter2" not in str(caught.value), "who takes the name for the key itself must not find it in a log"
    keys.path("")
    (keys.folder / "named").write_bytes(b"x" * 64)
    assert keys.path("named") == keys.folder / "named"


@pytest.mark.parametrize("name", ["../default", "/etc/shadow", "a/b", ".."])
def test_a_key_is_a_file_of_the_directory(keys: Keys, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name of a file") as caught:
        keys.path(name)
    assert name not in str(caught.value)


@pytest.mark.parametrize("missing", ["cryptsetup", "dmsetup", "kernel"])
def test_without_dm_crypt_nothing_is_made(host: Host, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    find = child.find
    present = {"cryptsetup", "dmsetup"} - {missing}
    monkeypatch.setattr(child, "find", lambda name: "/bin/false" if name in present else find("none"))
    with pytest.raises(Unsupported, match=missing):
        host.create("v", MIB, encrypted=True)
    assert host.names() == []
    assert host.leftovers() == []
    assert not (host.root / "volumes/v").exists()
    assert not (host.root / "keys").exists()


def test_an_encrypted_volumes_device_has_one_name() -> None:
    first, second = Path("/a/volumes/v/data"), Path("/b/volumes/v/data")
    assert crypt._mapping(first) == crypt._mapping(first) != crypt._mapping(second)
    assert crypt.mapped(first) is None
