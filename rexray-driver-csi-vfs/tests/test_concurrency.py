"""Many callers at once, in one process and in two, on their own volumes and on a shared one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rexray import mounts
from rexray.errors import AlreadyExists, Busy, InUse, NotFound, NotReady, OutOfCapacity
from vfs_parts import Vfs, mounts_below, run_script

THREADS = 8
ROUNDS = 12

RIVALRY = (AlreadyExists, Busy, InUse, NotFound, NotReady, OutOfCapacity)
"""What a caller may be told because of what another one did."""


def whole_way(vfs: Vfs, name: str) -> None:
    vfs.create(name)
    vfs.attach(name)
    vfs.stage(name)
    vfs.publish(name)
    (vfs.target(name) / "file").write_text(name)
    vfs.snap(f"snap-{name}", name)
    vfs.unpublish(name)
    vfs.unstage(name)
    vfs.detach(name)
    vfs.delete(name)
    vfs.delete_snap(f"snap-{name}")


def own_volumes(vfs: Vfs, prefix: str) -> None:
    def work(thread: int) -> None:
        for round_ in range(ROUNDS):
            whole_way(vfs, f"{prefix}-{thread}-{round_}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def shared_volume(vfs: Vfs, name: str, target: str) -> None:
    def work(thread: int) -> None:
        path = vfs.target(f"{target}-{thread}")
        steps: list[Callable[[], object]] = [
            lambda: vfs.create(name),
            lambda: vfs.attach(name),
            lambda: vfs.stage(name),
            lambda: vfs.publish(name, path),
            lambda: vfs.page(),
            lambda: vfs.unpublish(name, path),
            lambda: vfs.unstage(name),
            lambda: vfs.detach(name),
            lambda: vfs.delete(name),
        ]
        for _ in range(ROUNDS):
            for step in steps:
                try:
                    step()
                except RIVALRY:
                    continue
        vfs.unpublish(name, path)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


OTHER_PROCESS = """
import sys
from pathlib import Path
from test_concurrency import own_volumes, shared_volume
from vfs_parts import Vfs
vfs = Vfs(Path(sys.argv[1]))
own_volumes(vfs, "second")
shared_volume(vfs, "shared", "second")
print("done")
"""


@pytest.mark.needs("root")
def test_nothing_is_lost_or_left_between_threads_and_processes(vfs: Vfs, home: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run_script, OTHER_PROCESS, home)
        own_volumes(vfs, "first")
        shared_volume(vfs, "shared", "first")
        ended = other.result()
    assert ended.output.strip() == "done", ended.errors
    vfs.unmount("shared")
    vfs.delete("shared")
    assert vfs.names() == []
    assert vfs.snaps().entries == []
    assert mounts_below(home) == []
    assert not vfs.leftovers()
    assert list((vfs.data / "dev").iterdir()) == []
    for kept in ("vol/.rexray/meta", "snap/.rexray/meta", "mnt/.rexray/meta"):
        assert list((vfs.data / kept).iterdir()) == []


def test_creating_one_volume_at_once_makes_it_once_for_all(vfs: Vfs) -> None:
    together = threading.Barrier(THREADS)

    def create(thread: int) -> str:
        together.wait()
        volume = vfs.create("data")
        (vfs.volume("data") / str(thread)).touch()
        return volume.volume_id

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(10):
            assert set(pool.map(create, range(THREADS))) == {"data"}
            assert len(list(vfs.volume("data").iterdir())) == THREADS
            vfs.delete("data")


def test_deleting_one_volume_at_once_is_success_for_all(vfs: Vfs) -> None:
    together = threading.Barrier(THREADS)

    def delete(_: int) -> None:
        together.wait()
        vfs.delete("data")

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(10):
            vfs.create("data")
            list(pool.map(delete, range(THREADS)))
            assert vfs.names() == []


@pytest.mark.needs("root")
def test_a_volume_is_never_deleted_while_somebody_attaches_it(vfs: Vfs) -> None:
    together = threading.Barrier(THREADS)

    def attach() -> bool:
        together.wait()
        try:
            vfs.attach("data")
        except NotFound:
            return False
        return True

    def delete() -> bool:
        together.wait()
        try:
            vfs.delete("data")
        except InUse:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(100):
            vfs.create("data")
            rivals = [(pool.submit(attach), pool.submit(delete)) for _ in range(THREADS // 2)]
            attached = {attaching.result() for attaching, _ in rivals}
            deleted = {deleting.result() for _, deleting in rivals}
            assert attached == {not won for won in deleted}, "some attached what others deleted"
            assert mounts.is_mount_point(vfs.device("data")) == vfs.volume("data").exists() == (True in attached)
            vfs.detach("data")
            vfs.delete("data")
