"""What the driver asks of a cluster is told to observers by its kind, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rexray import calls
from rexray.errors import Unavailable
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.settings import RbdSettings

Told = list[tuple[str, str, str]]


@pytest.fixture
def told() -> Iterator[Told]:
    found: Told = []

    @contextmanager
    def observer(call: calls.Call) -> Iterator[None]:
        error = ""
        try:
            yield
        except BaseException as caught:
            error = type(caught).__name__
            raise
        finally:
            found.append((call.driver, call.verb, error))

    end = calls.observe(observer)
    yield found
    end()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Programs of that name which do nothing, or fail where an image is called so."""
    for program in ("rbd", "rados", "ceph"):
        path = tmp_path / program
        path.write_text('#!/bin/sh\ncase "$*" in *missing*) exit 2;; *slow*) sleep 10;; esac\necho "{}"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Cluster(RbdSettings(timeout=0.5))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("rbd", "--format", "json", "snap", "ls", "rbd/list"), "rbd snap ls"),
        (("rbd", "info", "pool/image"), "rbd info"),
        (("rados", "--pool", "rbd", "--namespace", "", "listomapkeys", "rexray.instances"), "rados listomapkeys"),
        (("rbd", "--rbd-move-parent-to-trash-on-remove=true", "rm", "--no-progress", "rbd/x"), "rbd rm"),
        (("ceph", "osd", "pool", "ls", "detail"), "ceph osd pool ls detail"),
        (("ceph", "rbd", "task", "add", "flatten", "rbd/x"), "ceph task add flatten"),
    ],
)
def test_the_kind_of_a_program_is_its_command_without_what_it_is_done_to(
    cluster: Cluster, told: Told, words: tuple[str, ...], kind: str
) -> None:
    assert cluster.attempt(*words, action="try").status == 0
    assert told == [("rbd", kind, "")]


def test_a_program_that_fails_has_failed_for_who_observes_it_and_not_for_its_caller(
    cluster: Cluster, told: Told
) -> None:
    assert cluster.attempt("rbd", "info", "rbd/missing", action="try").status == 2
    assert told == [("rbd", "rbd info", "_Failed")]


def test_one_that_takes_too_long_is_a_call_that_timed_out_and_a_question_why(cluster: Cluster, told: Told) -> None:
    with pytest.raises(Unavailable):
        cluster.attempt("rbd", "info", "rbd/slow", action="try")
    assert told == [("rbd", "rbd info", "TimedOut"), ("rbd", "ceph health", "")]
