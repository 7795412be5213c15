"""One session with a cluster that lasts, as a program of the system's Python: to start ``ceph`` takes long.

Reads a line for each question, ``[METHOD, PARAMETERS...]`` in JSON, and answers with ``[true, ANSWER]`` or
``[false, COMPLAINT]``. Its argument is the configuration file.
"""

from __future__ import annotations

import base64
import json
import shlex
import sys
from typing import Any

import ceph_argparse  # type: ignore[import-not-found] # these are the system's
import rados  # type: ignore[import-not-found]
import rbd  # type: ignore[import-not-found]

Images = dict[str, tuple[int, list[str], list[tuple[str, str]]]]


class Session:
    """The answers."""

    def __init__(self, conf: str) -> None:
        self._cluster = rados.Rados(conffile=conf)
        self._cluster.connect(timeout=30)
        self._signatures: Any = None

    def ceph(self, *lines: str) -> list[Any]:
        """What ``ceph`` says to each of the lines, in JSON, or None; it stops at the first that fails."""
        if self._signatures is None:
            # the monitors know them all, those of the manager's modules only when it runs
            status, text, said = ceph_argparse.json_command(self._cluster, prefix="get_command_descriptions")
            assert status == 0, said
            self._signatures = ceph_argparse.parse_json_funcsigs(text.decode(), "cli")
        return [self._told(line) for line in lines]

    def _told(self, line: str) -> Any:
        words = ceph_argparse.validate_command(self._signatures, shlex.split(line))
        if not words:
            self._signatures = None
            raise ValueError(f"{line}: no such command")
        status, text, said = ceph_argparse.json_command(self._cluster, argdict={**words, "format": "json"}, timeout=30)
        if status != 0:
            raise ValueError(f"{line}: {status} {said}")
        found = text.decode().strip()
        # the answer about the blocklist is two documents
        return json.JSONDecoder().raw_decode(found)[0] if found else None

    def wipe(self, pool: str) -> list[str] | None:
        """Remove all that users have put into a pool for RBD; what was there, None if its names are no text."""
        with self._context(pool) as io:
            io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
            try:
                found = [(thing.nspace, thing.key) for thing in io.list_objects()]
            except UnicodeError:
                return None
            for namespace, name in found:
                if name not in ("rbd_info", "rbd_task"):
                    io.set_namespace(namespace)
                    io.remove_object(name)
        return [name for _, name in found]

    def inventory(self) -> Images:
        """Every image that is in no namespace: its size, its snapshots and its metadata."""
        found = {}
        self._cluster.wait_for_latest_osdmap()
        for pool in self._cluster.list_pools():
            with self._context(pool) as io:
                for name in rbd.RBD().list(io):
                    with rbd.Image(io, name, read_only=True) as image:
                        snaps = sorted(snap["name"] for snap in image.list_snaps() if snap.get("namespace", 0) == 0)
                        found[f"{pool}/{name}"] = (image.size(), snaps, sorted(image.metadata_list()))
        return found

    def watchers(self, spec: str) -> list[str]:
        """The addresses of those who have an image open, but for this session."""
        *place, name = spec.split("/")
        with self._context(*place) as io, rbd.Image(io, name, read_only=True) as image:
            return [str(watcher["addr"]) for watcher in image.watchers_list()]

    def write(self, spec: str, at: int, content: str) -> None:
        """Write bytes, in base64, to an image."""
        *place, name = spec.split("/")
        with self._context(*place) as io, rbd.Image(io, name) as image:
            image.write(base64.b64decode(content), at)

    def read(self, spec: str, at: int, size: int) -> str:
        """Read bytes, in base64, from an image or its snapshot."""
        spec, _, snapshot = spec.partition("@")
        *place, name = spec.split("/")
        with self._context(*place) as io, rbd.Image(io, name, snapshot=snapshot or None, read_only=True) as image:
            return base64.b64encode(image.read(at, size)).decode()

    def _context(self, pool: str, namespace: str = "") -> Any:
        self._cluster.wait_for_latest_osdmap()  # a pool may have been removed and made again
        io = self._cluster.open_ioctx(pool)
        io.set_namespace(namespace)
        return io


def main(conf: str) -> None:
    session = Session(conf)
    for line in sys.stdin:
        method, *parameters = json.loads(line)
        try:
            answer = [True, getattr(session, method)(*parameters)]
        except Exception as error:  # noqa: BLE001 whoever asked is told
            answer = [False, f"{method} {parameters}: {type(error).__name__}: {error}"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
