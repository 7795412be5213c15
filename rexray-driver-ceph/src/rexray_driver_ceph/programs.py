"""The same questions answered by the programs ``rbd`` and ``rados``, for a host without Ceph's Python bindings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from rexray import calls
from rexray.errors import Forbidden, NotFound, Unauthorized, Unsupported
from rexray_driver_ceph.claims import LOCK
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import META, SNAPSHOT_META, Image, Snap, read_claim, read_own_facts
from rexray_driver_ceph.names import Pool, Spec, dotted_names, image_names, is_place, sayable
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
            found = threads.map(calls.carried(self.image), self._specs(pools))
            yield from (image for image in found if image is not None)

    def image(self, spec: Spec) -> Image | None:
        """One image with its details."""
        spec = spec.whole
        action = f"look at image {spec}"
        try:
            info = self._cluster.ask("rbd", "info", str(spec), action=action)
            with ThreadPoolExecutor(_THREADS) as threads:
                metadata = threads.submit(calls.carried(self._metadata), spec)
                ask = calls.carried(self._cluster.ask)
                snaps = threads.submit(ask, "rbd", "snap", "ls", str(spec), action=action)
                claim = threads.submit(calls.carried(self._claim), spec, info["id"])
            # afterwards: "rbd image-meta list" is a client that has the image open itself
            status = self._cluster.ask("rbd", "status", str(spec), action=action)
            return _read(spec, info, status, metadata.result(), snaps.result(), claim.result())
        except NoImage:
            return None

    def image_and_instances(self, spec: Spec) -> tuple[Image | None, tuple[str, ...]]:
        """The same, and the hosts that are known."""
        return self.image(spec), self.keys(INSTANCES)

    def snapshots(self, pools: Sequence[Pool]) -> Iterator[Image]:
        """The images that have snapshots, with their details."""
        return (image for image in self.images(pools) if image.snapshots)

    def image_and_hidden(self, spec: Spec, beginning: str) -> tuple[Image | None, Mapping[Spec, str]]:
        """One image, and those beside it whose names begin so, with their ids."""
        found_image = self.image(spec)
        hidden: dict[Spec, str] = {}
        for found in self._specs([spec.pool]):
            image = self.image(found) if found.image.startswith(beginning) else None
            hidden |= {found: image.id} if image is not None else {}
        return found_image, hidden

    def named(self, pools: Sequence[Pool], name: str) -> Iterator[Image]:
        """The images that a volume of that name may be, in the pools or in every one that this user may read."""
        dotted = dict(dotted_names(name))
        specs = []
        for pool in pools or self._pools():
            rest = dotted.get(".".join(filter(None, (pool.name, pool.namespace))), "")
            specs += [Spec(pool, image) for image in (*image_names(name), *(image_names(rest) if rest else ()))]
        with ThreadPoolExecutor(_THREADS) as threads:
            yield from (image for image in threads.map(calls.carried(self.image), specs) if image is not None)

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of an object of the default pool, none if it is not there."""
        pool, action = self._cluster.default_pool, f"read object {name}"
        words = ["--pool", pool.name, "--namespace", pool.namespace, "listomapkeys", name]
        ended = self._cluster.attempt("rados", *words, action=action)
        if ended.status != 0:
            if number(ended) == 2 and name in ended.stderr:
                return ()
            raise refusal(ended, action)
        return tuple(ended.stdout.splitlines())

    def take_together(self, specs: Sequence[Spec]) -> None:
        """``Unsupported``: no program holds several images' locks at once."""
        raise Unsupported(
            "snapshots of several volumes at one moment need Ceph's Python bindings, python3-rbd, on this host"
        )

    def finish_rename(self, hidden: Spec, spec: Spec, image_id: str) -> None:
        """Leave it alone: no program can do it without harm to somebody who is renaming the image right now."""

    def _specs(self, pools: Sequence[Pool]) -> Iterator[Spec]:
        for pool in pools or self._pools():
            names = self._cluster.ask("rbd", "ls", str(pool), action=f"list the images of {pool}")
            yield from (Spec(pool, name) for name in names if sayable(name))

    def _pools(self) -> Iterator[Pool]:
        details = self._cluster.ask("ceph", "osd", "pool", "ls", "detail", action="list the pools")
        for name in sorted(pool["pool_name"] for pool in details if "rbd" in pool["application_metadata"]):
            if not is_place(name):
                continue  # no id can be made of it
            try:
                spaces = self._cluster.ask("rbd", "namespace", "ls", name, action=f"list the namespaces of {name}")
            except (Forbidden, NotFound, Unauthorized):
                continue  # not this user's, or removed meanwhile
            names = [item["name"] for item in spaces]
            yield from (Pool(name, space) for space in ("", *names) if is_place(name, space))

    def _metadata(self, spec: Spec) -> dict[str, str]:
        """What ``rbd`` says of an image without metadata is nothing at all."""
        words = ("--format", "json", "image-meta", "list", str(spec))
        text = self._cluster.run("rbd", *words, action=f"look at image {spec}")
        found: dict[str, str] = json.loads(text) if text.strip() else {}
        return found

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
    return replace(image, snapshots=tuple(_read_snap(image, item) for item in snaps if sayable(item["name"])))


def _read_snap(image: Image, item: Any) -> Snap:
    return Snap(
        spec=image.spec.at(item["name"]),
        size_bytes=item["size"],
        created=_moment(item.get("timestamp", "")) or datetime.fromtimestamp(0, UTC),
        facts=read_own_facts(image.metadata.get(SNAPSHOT_META + item["name"], ""), image.spec.at(item["name"])),
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=_zone()).astimezone(UTC)
    except ValueError:
        return None


def _zone() -> tzinfo:
    """The host's zone, which this process's environment may differ from."""
    try:
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC
