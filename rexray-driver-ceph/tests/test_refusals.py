"""What a cluster refuses is told in one clear line, by the right error; and nothing but "gone" is taken for gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ceph_parts import CephCluster
from rbd_parts import READERS, Host, together
from rexray.errors import InvalidRequest, NotFound, RexrayError, SettingsError, Unauthorized, Unavailable

pytestmark = pytest.mark.needs("ceph")

CALLS: list[Callable[[Host], object]] = [
    lambda host: host.remove(),
    lambda host: host.get(),
    lambda host: host.ids(),
    lambda host: host.detach(),
    lambda host: host.remove_snap(),
    lambda host: host.create("w", 1),
    lambda host: host.storage.capacity(),
    lambda host: host.named("v"),
]
SECRET = "AQBhJ2Vn8GxUFhAAxkXbJ0n2Zr6zqv8oWVsF4A=="


@pytest.fixture(scope="module")
def filled(running_cluster: CephCluster) -> CephCluster:
    running_cluster.reset()
    host = Host(running_cluster.conf)
    host.create("v", 1)
    host.attach()
    host.snap()
    return running_cluster


def refuse(host: Host, kind: type[RexrayError], *words: str, calls: int = len(CALLS)) -> None:
    for call in CALLS[:calls]:
        with pytest.raises(kind) as caught:
            call(host)
        said = str(caught.value)
        assert "\n" not in said
        assert any(word in said for word in words), said
        assert len(said) < 400, said
        assert "Traceback" not in said
        assert SECRET not in said


def test_a_wrong_key(filled: CephCluster, tmp_path: Path, reader: str) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text(f"[client.admin]\n\tkey = {SECRET}\n")
    refuse(Host(filled.conf, keyring=str(keyring), register=False, reader=READERS[reader]), Unauthorized, "rbd.keyring")


def test_a_missing_keyring(filled: CephCluster, reader: str) -> None:
    refuse(Host(filled.conf, keyring="/nowhere", register=False, reader=READERS[reader]), Unauthorized, "rbd.keyring")


def test_a_user_that_nobody_knows(filled: CephCluster, tmp_path: Path, reader: str) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text(f"[client.nobody]\n\tkey = {SECRET}\n")
    host = Host(filled.conf, user="nobody", keyring=str(keyring), register=False, reader=READERS[reader])
    refuse(host, Unauthorized, "rbd.user")


def test_a_missing_configuration(filled: CephCluster, reader: str) -> None:
    assert filled.rbd("ls")
    refuse(Host(Path("/nowhere/ceph.conf"), register=False, reader=READERS[reader]), Unavailable, "rbd.conf")


def test_an_empty_configuration(filled: CephCluster, tmp_path: Path, reader: str) -> None:
    (tmp_path / "ceph.conf").write_text("[global]\n")
    refuse(
        Host(tmp_path / "ceph.conf", register=False, timeout=4.0, reader=READERS[reader]),
        Unavailable,
        "rbd.conf",
        "rbd.monitors",
        calls=2,
    )


def test_a_missing_pool_or_namespace(filled: CephCluster, reader: str) -> None:
    host = Host(filled.conf, default_pool="none", register=False, reader=READERS[reader])
    for call in (lambda: host.remove("v"), lambda: host.get("v"), lambda: host.create("w", 1), host.storage.capacity):
        with pytest.raises((NotFound, SettingsError), match=r"none.*rbd\.defaultPool"):
            call()
    host = Host(filled.conf, default_pool="rbd/none", register=False, reader=READERS[reader])
    for call in (lambda: host.remove("v"), lambda: host.get("v"), lambda: host.create("w", 1)):
        with pytest.raises(SettingsError, match=r"none.*rbd\.defaultPool"):
            call()


def unavailable_in_time(host: Host) -> None:
    def refuse_one(call: Callable[[Host], object]) -> None:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            call(host)
        assert time.monotonic() - started < 15
        assert "\n" not in str(caught.value)

    together(refuse_one, (CALLS[0], CALLS[2]))


def test_monitors_that_do_not_answer(filled: CephCluster, tmp_path: Path, reader: str) -> None:
    host = Host(filled.conf, timeout=1.0, register=False, reader=READERS[reader])
    with filled.frozen():
        unavailable_in_time(host)


def test_osds_that_do_not_answer(filled: CephCluster, reader: str) -> None:
    host = Host(filled.conf, timeout=2.0, register=False, reader=READERS[reader])
    stopped = [filled.pids[f"osd.{osd}"] for osd in filled.osds]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        unavailable_in_time(host)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    filled.wait_healthy()


def test_the_volume_is_there_after_all_that(filled: CephCluster) -> None:
    host = Host(filled.conf)
    assert (host.ids(), host.holders(), host.snaps()) == (["rbd/v"], ["h1"], ["rbd/v@s"])


def test_the_id_of_a_snapshot_is_no_volumes_and_harms_none(host: Host) -> None:
    host.create()
    for snapshot in ("rbd/v@s", "v@s", "rbd.v@s"):
        for call in (host.get, host.remove, host.attach, host.detach, host.holders):
            with pytest.raises(InvalidRequest, match=f"'{snapshot}' is the id of a snapshot, and of no volume"):
                call(snapshot)
    assert host.ids() == ["rbd/v"]


def test_a_name_that_no_image_can_have_is_nobodys_as_an_images(host: Host) -> None:
    made = host.create("x" * 5000)
    assert host.named("x" * 5000) == [made.id]
    assert host.named("y" * 5000) == []


@pytest.mark.parametrize(
    ("wish", "said"),
    [({"size_bytes": -1}, "below 0"), ({"options": {"colour": "red"}}, "'rbd' has no option 'colour'; it has: none")],
)
def test_a_wish_that_makes_no_sense_makes_nothing(host: Host, wish: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"volume 'v': .*{said}"):
        host.create(**wish)
    assert host.ids() == []
