"""VOLUME_MOUNT_GROUP: the volume's content belongs to the group, once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rexray.errors import InvalidRequest
from vfs_parts import Vfs, capability

pytestmark = pytest.mark.needs("root")

GROUP = 4321


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def volume(vfs: Vfs) -> Path:
    vfs.create("data")
    vfs.attach("data")
    return vfs.volume("data")


def test_everything_belongs_to_the_group_and_what_is_new_does_too(vfs: Vfs, volume: Path) -> None:
    (volume / "sub").mkdir(mode=0o700)
    (volume / "sub/plain").write_text("x")
    (volume / "sub/plain").chmod(0o600)
    (volume / "sub/program").write_text("x")
    (volume / "sub/program").chmod(0o700)
    vfs.stage("data", wanted=capability(group=str(GROUP)))
    for path in (volume, volume / "sub", volume / "sub/plain", volume / "sub/program"):
        assert path.stat().st_gid == GROUP
    assert mode(volume / "sub/plain") == 0o660
    assert mode(volume / "sub/program") == 0o770
    assert mode(volume) & 0o2070 == 0o2070
    assert mode(volume / "sub") & 0o2070 == 0o2070
    vfs.publish("data")
    (vfs.target("data") / "sub/new").touch()
    assert (volume / "sub/new").stat().st_gid == GROUP


def test_symbolic_links_are_not_followed(vfs: Vfs, volume: Path, home: Path) -> None:
    (home / "victim").mkdir(mode=0o700)
    (home / "victim/file").write_text("x")
    (home / "victim/file").chmod(0o600)
    (volume / "folder").symlink_to(home / "victim")
    (volume / "file").symlink_to(home / "victim/file")
    (volume / "dangling").symlink_to("nowhere")
    vfs.stage("data", wanted=capability(group=str(GROUP)))
    assert (volume / "file").lstat().st_gid == GROUP
    for path in (home / "victim", home / "victim/file"):
        assert path.stat().st_gid != GROUP
    assert (mode(home / "victim"), mode(home / "victim/file")) == (0o700, 0o600)


def test_it_is_done_once(vfs: Vfs, volume: Path) -> None:
    vfs.stage("data", wanted=capability(group=str(GROUP)))
    (volume / "deep").mkdir()
    (volume / "deep/own").write_text("x")
    os.chown(volume / "deep/own", 0, 0)
    (volume / "deep/own").chmod(0o600)
    vfs.stage("data", wanted=capability(group=str(GROUP)))
    vfs.publish("data", wanted=capability(group=str(GROUP)))
    facts = (volume / "deep/own").stat()
    assert (facts.st_gid, stat.S_IMODE(facts.st_mode)) == (0, 0o600)


def test_publishing_can_give_it_too(vfs: Vfs, volume: Path) -> None:
    (volume / "file").touch()
    vfs.publish("data", staging="", wanted=capability(group=str(GROUP)))
    assert (volume / "file").stat().st_gid == GROUP


@pytest.mark.parametrize("group", ["wheel", "-1", "4294967295", "1.5", "²"])
def test_a_group_is_a_number(vfs: Vfs, volume: Path, group: str) -> None:
    before = volume.stat()
    with pytest.raises(InvalidRequest, match="volume_mount_group"):
        vfs.stage("data", wanted=capability(group=group))
    assert volume.stat() == before
    assert not vfs.staging("data").exists()


def test_a_volume_that_is_not_attached_is_left_as_it_is(vfs: Vfs) -> None:
    vfs.create("other")
    with pytest.raises(Exception, match="not attached"):
        vfs.stage("other", wanted=capability(group=str(GROUP)))
    assert vfs.volume("other").stat().st_gid != GROUP
