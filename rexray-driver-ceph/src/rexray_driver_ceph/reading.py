"""Questions to the cluster: by one session for all images where Ceph's bindings are, else by its programs.

``rbd ls`` tells no watchers, no metadata and no locks, and every program is a session of its own: without the bindings
a list costs two of them for each image, several at a time.
"""

from __future__ import annotations

import errno
import functools
import importlib.util
import json
import math
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rexray import calls, child
from rexray.errors import AlreadyExists, Forbidden, NotFound, RexrayError, TimedOut, Unavailable
from rexray_driver_ceph.cluster import DRIVER, Cluster
from rexray_driver_ceph.images import Image, read_brief, read_detailed
from rexray_driver_ceph.names import Pool, Spec, dotted_names, image_names, is_place, sayable
from rexray_driver_ceph.refusals import no_connection
from rexray_driver_ceph.settings import RbdSettings

INSTANCES = "rexray.instances"
"""The object of the default pool whose keys are the hosts that have used it."""
_SESSION = Path(__file__).with_name("session.py")
_CRASHES = (-signal.SIGABRT, -signal.SIGSEGV)


class Reader(Protocol):
    """What can be asked."""

    def images(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images of the pools, or of every pool for RBD that this user may read, if none is named."""

    def image(self, spec: Spec) -> Image | None:
        """One image with its details."""

    def image_and_instances(self, spec: Spec) -> tuple[Image | None, tuple[str, ...]]:
        """The same, and the hosts that are known."""

    def snapshots(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images that have snapshots, with their details."""

    def image_and_hidden(self, spec: Spec, beginning: str) -> tuple[Image | None, Mapping[Spec, str]]:
        """One image, and those beside it whose names begin so, with their ids."""

    def named(self, pools: Sequence[Pool], name: str) -> Iterator[Image]:
        """The images that a volume of that name may be, in the pools or in every one that this user may read."""

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of an object of the default pool, none if it is not there."""

    def take_together(self, specs: Sequence[Spec]) -> None:
        """Take snapshots of several images at one moment."""

    def finish_rename(self, hidden: Spec, spec: Spec, image_id: str) -> None:
        """Do what is left of an image's rename, unless somebody else does; never takes a name away from an image."""


def make_reader(settings: RbdSettings, cluster: Cluster) -> Reader:
    """By the bindings if this host has them for any Python, else by the programs."""
    python = find_python()
    if python is not None:
        return SessionReader(settings, cluster, python)
    from rexray_driver_ceph.programs import ProgramReader

    return ProgramReader(settings, cluster)


@functools.cache
def find_python() -> str | None:
    """The first Python that has the modules ``rados`` and ``rbd``: this one, the one of ``ceph``, the system's."""
    if all(importlib.util.find_spec(module) for module in ("rados", "rbd")):
        return sys.executable
    for python in dict.fromkeys([*_python_of(child.find("ceph")), "/usr/bin/python3"]):
        if os.access(python, os.X_OK):
            test = [python, "-c", "import rados, rbd"]
            if child.run(test, seconds=10, action="look for Ceph's Python bindings").status == 0:
                return python
    return None


def _python_of(program: str | None) -> Iterable[str]:
    """The interpreter in the first line of a script."""
    if program is None:
        return ()
    with open(program, "rb") as file:
        first, _, words = file.readline(200).partition(b"#!")
    found = [word for word in words.decode(errors="replace").split() if "python" in word and word.startswith("/")]
    return () if first else found


class SessionReader:
    """Asks :mod:`rexray_driver_ceph.session`, a program that is killed when it takes too long."""

    def __init__(self, settings: RbdSettings, cluster: Cluster, python: str) -> None:
        self._settings = settings
        self._cluster = cluster
        self._python = python

    def images(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images of the pools, or of every pool for RBD that this user may read, if none is named."""
        answer = self._ask("images", _pairs(pools), action="list the images", seconds=self._settings.work_timeout)
        return (read_brief(image) for image in answer["images"] if _has_id(image))

    def image(self, spec: Spec) -> Image | None:
        """One image with its details."""
        return self._one(spec, None)[0]

    def image_and_instances(self, spec: Spec) -> tuple[Image | None, tuple[str, ...]]:
        """The same, and the hosts that are known."""
        pool = self._cluster.default_pool
        return self._one(spec, [pool.name, pool.namespace, INSTANCES])

    def snapshots(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images that have snapshots, with their details."""
        answer = self._ask("snapshots", _pairs(pools), action="list the snapshots", seconds=self._settings.work_timeout)
        return (read_detailed(image) for image in answer["images"] if _has_id(image))

    def image_and_hidden(self, spec: Spec, beginning: str) -> tuple[Image | None, Mapping[Spec, str]]:
        """One image, and those beside it whose names begin so, with their ids."""
        words = (spec.pool.name, spec.pool.namespace, spec.image, beginning)
        answer = self._ask("image_and_hidden", *words, action=f"look at image {spec}")
        image, hidden = answer["image"], answer["hidden"]
        return read_detailed(image) if image else None, {Spec(spec.pool, name): hidden[name] for name in hidden}

    def named(self, pools: Sequence[Pool], name: str) -> Iterator[Image]:
        """The images that a volume of that name may be, in the pools or in every one that this user may read."""
        dotted = {place: image_names(rest) for place, rest in dotted_names(name)}
        answer = self._ask("named", _pairs(pools), image_names(name), dotted, action=f"look for volume {name!r}")
        return map(read_detailed, answer["images"])

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of an object of the default pool, none if it is not there."""
        pool = self._cluster.default_pool
        answer = self._ask("keys", pool.name, pool.namespace, name, action=f"read object {name}")
        return tuple(answer["keys"])

    def take_together(self, specs: Sequence[Spec]) -> None:
        """Take snapshots of several images at one moment."""
        words = [(spec.pool.name, spec.pool.namespace, spec.image, spec.snapshot) for spec in specs]
        self._ask("take_together", words, action=f"take snapshots of {len(words)} images at one moment")

    def finish_rename(self, hidden: Spec, spec: Spec, image_id: str) -> None:
        """Do what is left of an image's rename, unless somebody else does; never takes a name away from an image."""
        words = (spec.pool.name, spec.pool.namespace, hidden.image, spec.image, image_id)
        self._ask("finish_rename", *words, action=f"finish making volume {str(spec)!r}")

    def _one(self, spec: Spec, register: list[str] | None) -> tuple[Image | None, tuple[str, ...]]:
        words = (spec.pool.name, spec.pool.namespace, spec.image, register)
        answer = self._ask("image", *words, action=f"look at image {spec.whole}")
        image = answer["image"]
        return read_detailed(image) if image else None, tuple(answer["instances"])

    def _ask(self, method: str, *parameters: object, action: str, seconds: float | None = None) -> Any:
        settings = self._settings
        limit = seconds or settings.timeout
        identity = self._cluster.identity
        # an OSD that does not answer ends the session, which as a whole may take long
        options = {
            "mon_host": identity.monitors,
            "keyring": identity.keyring,
            "rados_osd_op_timeout": str(math.ceil(settings.timeout)),
        }
        question = {
            "name": identity.client,
            "cluster": identity.cluster,
            "conf": identity.conf,
            "options": {key: value for key, value in options.items() if value},
            "arguments": identity.others,
            "seconds": settings.timeout,
            "method": method,
            "parameters": parameters,
        }
        command = [self._python, "-I", str(_SESSION), json.dumps(question)]
        with calls.call(calls.PLATFORM, f"session {method}", driver=DRIVER):
            return self._answer(command, action, limit)

    def _answer(self, command: Sequence[str], action: str, limit: float) -> Any:
        settings = self._settings
        try:
            ended = child.run(command, seconds=limit + 1, action=action, most=1 << 30)
            if ended.status in _CRASHES:  # Ceph 16 with OpenSSL 3, rarely: "EVP_DecryptInit_ex failed"
                ended = child.run(command, seconds=limit + 1, action=action, most=1 << 30)
        except TimedOut as error:
            raise self._cluster.explained(error) from None
        if ended.status == -signal.SIGALRM:
            raise self._cluster.explained(TimedOut(f"cannot {action}: no session within {settings.timeout:g} s"))
        if ended.status != 0:
            raise RexrayError(f"cannot {action}: {ended.complaint}")
        try:
            answer = json.loads(ended.stdout.rstrip().rpartition("\n")[2])  # the library may write lines before it
        except ValueError:
            raise RexrayError(f"cannot {action}: the session did not answer in JSON: {ended.stdout[-60:]!r}") from None
        if "error" in answer:
            raise _refusal(answer["error"], ended.stderr, action)
        return answer


def _has_id(answer: Mapping[str, Any]) -> bool:
    return sayable(answer["name"]) and is_place(answer["pool"], answer["namespace"])


def _pairs(pools: Sequence[Pool]) -> list[tuple[str, str]]:
    return [(pool.name, pool.namespace) for pool in pools]


def _refusal(error: tuple[str, int, str], log: str, action: str) -> RexrayError:
    """The error of a session; while it connects, no answer says anything about an image."""
    stage, number, text = error
    said = f"cannot {action}: {text}"
    if stage == "connect":
        return no_connection(f"{log} {text}", number, said)
    if number in (errno.EPERM, errno.EACCES):
        return Forbidden(f"{said}: 'rexray policy rbd' prints what the user must be allowed")
    if number == errno.ENOENT:
        return NotFound(said)
    if number == errno.EEXIST:
        return AlreadyExists(said)
    return Unavailable(said)
