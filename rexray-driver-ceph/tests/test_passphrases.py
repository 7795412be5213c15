"""Where the passphrases of encrypted volumes are, and who may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rexray.errors import InvalidRequest, NotReady, SettingsError
from rexray_driver_ceph import passphrases
from rexray_driver_ceph.settings import RbdSettings


@pytest.fixture
def settings(tmp_path: Path) -> RbdSettings:
    for name in ("default", "blue"):
        (tmp_path / name).write_text(f"passphrase of {name}")
        (tmp_path / name).chmod(0o600)
    return RbdSettings(key_directory=str(tmp_path))


@pytest.mark.parametrize(("key", "name"), [("", "default"), ("default", "default"), ("blue", "blue")])
def test_a_passphrase_is_found_by_its_name(settings: RbdSettings, key: str, name: str) -> None:
    assert passphrases.find(settings, key) == settings.keys / name


def test_a_missing_passphrase_is_not_told_by_its_name(settings: RbdSettings) -> None:
    with pytest.raises(NotReady) as raised:
        passphrases.find(settings, "hunter2")
    assert "hunter2" not in str(raised.value)
    assert str(settings.keys) in str(raised.value)
    (settings.keys / "default").unlink()
    with pytest.raises(NotReady, match="put a file 'default'"):
        passphrases.find(settings, "")


@pytest.mark.parametrize("key", ["../default", "a/b", "..", "a\0b", "secret\n", "x" * 200])
def test_what_is_no_file_name_is_refused_and_not_told(settings: RbdSettings, key: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        passphrases.find(settings, key)
    assert "file in the key directory" in str(raised.value)
    assert key not in str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o644])
def test_a_passphrase_that_others_can_use_is_refused(settings: RbdSettings, mode: int) -> None:
    (settings.keys / "blue").chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod 600 {settings.keys}/blue"):
        passphrases.find(settings, "blue")


def test_what_is_no_plain_file_is_refused(settings: RbdSettings) -> None:
    (settings.keys / "link").symlink_to(settings.keys / "blue")
    (settings.keys / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(SettingsError, match="plain file"):
            passphrases.find(settings, name)
    (settings.keys / "blue").write_text("")
    with pytest.raises(SettingsError, match="empty"):
        passphrases.find(settings, "blue")


@pytest.mark.needs("root")
def test_a_passphrase_of_another_user_is_refused(settings: RbdSettings) -> None:
    os.chown(settings.keys / "blue", 65534, -1)
    with pytest.raises(SettingsError, match="the user 65534"):
        passphrases.find(settings, "blue")
