"""The same questions answered by the programs ``rbd`` and ``rados``, for a host without Ceph's Python bindings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rexray.errors import Forbidden, NotFound, Unauthorized
from rexray_driver_ceph.claims import LOCK
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import META, SNAPSHOT_META, Image, Snap, read_claim, read_facts, read_own_facts
from rexray_driver_ceph.names import Pool, Spec
from rexray_driver_ceph.reading import INSTANCES
from rexray_driver_ceph.refusals import NoImage, number, refusal
from rexray_driver_ceph.settings import RbdSettings

_THREADS = 8
_TIME = "%a %b %d %H:%M:%S %Y"
"""How ``rbd`` writes a time, in the zone of its environment, which here has none set and is the host's."""


class ProgramReader:
    """Asks the programs, several at a time where there is more than one question."""

    def __init__(self, settings: RbdSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster

    def images(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images of the pools, or of every pool for RBD that this user may read, if none is named."""
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(self.image, self._specs(pools))
            yield from (image for image in found if image is not None)

    def image(self, spec: Spec) -> Image | None:
        """One image with its details."""
        spec = spec.whole
        action = f"look at image {spec}"
        try:
            info = self._cluster.ask("rbd", "info", str(spec), action=action)
            with ThreadPoolExecutor(_THREADS) as threads:
                status = threads.submit(self._cluster.ask, "rbd", "status", str(spec), action=action)
                metadata = threads.submit(self._cluster.ask, "rbd", "image-meta", "list", str(spec), action=action)
                snaps = threads.submit(self._cluster.ask, "rbd", "snap", "ls", str(spec), action=action)
                claim = threads.submit(self._claim, spec, info["id"])
        except NoImage:
            return None
        meta = metadata.result() or {}
        return _read(spec, info, status.result(), meta, snaps.result(), claim.result())

    def image_and_instances(self, spec: Spec) -> tuple[Image | None, tuple[str, ...]]:
        """The same, and the hosts that are known."""
        return self.image(spec), self._instances()

    def snapshots(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images that have snapshots, with their details."""
        return (image for image in self.images(pools) if image.snapshots)

    def _specs(self, pools: Sequence[Pool]) -> Iterator[Spec]:
        for pool in pools or self._pools():
            names = self._cluster.ask("rbd", "ls", str(pool), action=f"list the images of {pool}")
            yield from (Spec(pool, name) for name in names)

    def _pools(self) -> Iterator[Pool]:
        details = self._cluster.ask("ceph", "osd", "pool", "ls", "detail", action="list the pools")
        for name in sorted(pool["pool_name"] for pool in details if "rbd" in pool["application_metadata"]):
            try:
                spaces = self._cluster.ask("rbd", "namespace", "ls", name, action=f"list the namespaces of {name}")
            except (Forbidden, NotFound, Unauthorized):
                continue  # not this user's, or removed meanwhile
            yield from (Pool(name, space) for space in itertools.chain([""], (item["name"] for item in spaces)))

    def _claim(self, spec: Spec, image_id: str) -> list[str] | None:
        words = ["--pool", spec.pool.name, "--namespace", spec.pool.namespace, "lock", "info", f"rbd_header.{image_id}"]
        action = f"look at who has image {spec}"
        ended = self._cluster.attempt("rados", "--format", "json", *words, LOCK, action=action)
        if ended.status != 0:
            if number(ended) == 2 and "lock" in ended.stderr:
                return None
            raise refusal(ended, action)
        info = json.loads(ended.stdout)
        first = next(iter(info["lockers"]), None)
        return [first["name"], first["cookie"], info["tag"]] if first else None

    def _instances(self) -> tuple[str, ...]:
        pool = self._cluster.default_pool
        words = ["--pool", pool.name, "--namespace", pool.namespace, "listomapkeys", INSTANCES]
        ended = self._cluster.attempt("rados", *words, action="list the hosts")
        if ended.status != 0:
            if number(ended) == 2 and INSTANCES in ended.stderr:
                return ()
            raise refusal(ended, "list the hosts")
        return tuple(ended.stdout.splitlines())


def _read(
    spec: Spec,
    info: Any,
    status: Any,
    metadata: dict[str, str],
    snaps: Any,
    claim: list[str] | None,
) -> Image:
    watchers = status.get("watchers", [])
    # a mapping before Ceph 14, a list since
    each = watchers.values() if isinstance(watchers, dict) else watchers
    parent = info.get("parent")
    image = Image(
        spec=spec,
        id=info["id"],
        size_bytes=info["size"],
        facts=read_own_facts(metadata.get(META, ""), spec),
        claim=read_claim(claim),
        features=tuple(info["features"]),
        watchers=tuple(watcher["address"] for watcher in each),
        created=_moment(info.get("create_timestamp", "")),
        parent=Spec(Pool(parent["pool"], parent.get("pool_namespace", "")), parent["image"]) if parent else None,
        metadata=metadata,
    )
    return replace(image, snapshots=tuple(_read_snap(image, item) for item in snaps))


def _read_snap(image: Image, item: Any) -> Snap:
    return Snap(
        spec=image.spec.at(item["name"]),
        size_bytes=item["size"],
        created=_moment(item.get("timestamp", "")) or datetime.fromtimestamp(0, UTC),
        facts=read_facts(image.metadata.get(SNAPSHOT_META + item["name"], "")),
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME).astimezone(UTC)
    except ValueError:
        return None
