"""Clients that have an image open: whether they live, and how they are shut out.

A client that has an image open watches its header and says so again and again; of one that died the cluster knows
after ``osd_client_watch_timeout`` (30 s). A client on the blocklist cannot read or write any more from the moment on
at which the OSDs know: then it is gone from the watchers as well.
"""

from __future__ import annotations

import errno
import time

from rexray import faults
from rexray.errors import Forbidden, InUse, TimedOut, Unauthorized
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.reading import Reader
from rexray_driver_ceph.refusals import number, refusal
from rexray_driver_ceph.settings import RbdSettings

BLOCKED_SECONDS = 5 * 365 * 24 * 3600
"""How long a client stays shut out: one that hung must not write when it wakes up. Its address is never another's."""
_SHORTEST, _LONGEST = 0.2, 2.0
"""Seconds between two looks."""


class Fence:
    """Waits for clients, and shuts them out."""

    def __init__(self, settings: RbdSettings, cluster: Cluster, reader: Reader) -> None:
        self._settings = settings
        self._cluster = cluster
        self._reader = reader

    def wait_closed(self, image: Image) -> tuple[str, ...]:
        """The clients that have the image open and live; empty once nobody has, which is waited for.

        Whoever is there after ``rbd.watcherTimeout`` lives: a dead one would have been forgotten by then. One that went
        meanwhile may be frozen only. librbd's lock holds it off when it wakes up: where an attached image has none, it
        is shut out. A mapping of REX-Ray's is a client of its own, so that this harms no other volume.
        """
        until = time.monotonic() + self._settings.watcher_timeout
        try:
            managers, unknown = self._managers(image), None
        except (Forbidden, Unauthorized) as error:  # users of an earlier policy of ours may not ask
            managers, unknown = set(), error
        pause, watchers = _SHORTEST, _others(image.watchers, managers)
        seen = set(watchers)
        while watchers and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST)
            watchers = _others(self._watchers(image), managers)
            seen |= set(watchers)
        if image.claim is not None and "exclusive-lock" not in image.features:
            for address in sorted(seen.difference(watchers)):
                if unknown is not None:  # it may be the manager, which serves every volume
                    raise unknown
                self._block(address)
                faults.point("rbd-client-blocked")
        return watchers

    def shut_out(self, image: Image) -> None:
        """Shut out every client that has the image open, and wait until none of them can write any more.

        Never the cluster's own manager: ``Forbidden`` for a user who may not ask which clients those are.
        """
        until = time.monotonic() + self._settings.watcher_timeout
        blocked: set[str] = set()
        managers = self._managers(image)
        watchers = set(_others(image.watchers, managers))
        while watchers:
            for address in sorted(watchers - blocked):
                self._block(address)
                faults.point("rbd-client-blocked")
            blocked |= watchers
            if time.monotonic() > until:
                raise TimedOut(f"image {image.spec}: still open by {', '.join(sorted(watchers))} after shutting it out")
            time.sleep(_SHORTEST)
            watchers = set(_others(self._watchers(image), managers))

    def _watchers(self, image: Image) -> tuple[str, ...]:
        now = self._reader.image(image.spec)
        return now.watchers if now is not None and now.id == image.id else ()

    def _managers(self, image: Image) -> set[str]:
        """The addresses of the cluster's manager (Ceph 16), which has an image open while it flattens it."""
        if not image.watchers:
            return set()
        known = self._cluster.ask("ceph", "mgr", "dump", action="ask for the manager").get("active_clients", [])
        return {f"{at['addr']}/{at['nonce']}" for client in known for at in client["addrvec"]}

    def _block(self, address: str) -> None:
        action = f"shut out the client at {address}"
        words = ("add", address, str(BLOCKED_SECONDS))
        ended = self._cluster.attempt("ceph", "osd", "blocklist", *words, action=action)
        if ended.status != 0 and number(ended) == errno.EINVAL:  # before Ceph 16 it had another name
            ended = self._cluster.attempt("ceph", "osd", "blacklist", *words, action=action)
        if ended.status != 0:
            raise refusal(ended, action)


def _others(watchers: tuple[str, ...], managers: set[str]) -> tuple[str, ...]:
    return tuple(address for address in watchers if address not in managers)


def refuse_open(image: Image, watchers: tuple[str, ...]) -> None:
    """``InUse`` names the clients that have the image open."""
    if watchers:
        clients = ", ".join(address.split(":0/")[0] for address in watchers)
        raise InUse(
            f"volume {str(image.spec)!r} is open by a client at {clients}, which no attachment accounts for: unmap it "
            "there, or force"
        )
