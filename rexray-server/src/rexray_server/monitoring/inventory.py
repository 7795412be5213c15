"""How many volumes, attachments and mounts the services have, without a call to a platform for every scrape."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rexray import calls
from rexray.mounts import mount_table
from rexray.types import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What of a service can be counted: its volumes as ``volumes`` lists them, its mounts below ``mount_root``.

    ``volumes`` makes one listing of the platform; without it, or a ``mount_root``, there is nothing to count.
    """

    service: str
    volumes: Callable[[], Iterable[Volume]] | None = None
    mount_root: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What one listing said, and when, in seconds since 1970."""

    volumes: int
    attachments: int
    at: float


class Inventory:
    """What the services' platforms listed last. A reading that finds it older than ``interval`` has it listed anew.

    That happens beside the reading, which waits for no platform; ``stocks`` says which services there are.
    """

    def __init__(self, stocks: Callable[[], Sequence[Stock]], interval: float) -> None:
        self._stocks = stocks
        self._interval = interval
        self._lock = threading.Lock()
        self._counted: dict[str, Counted] = {}
        self._next: dict[str, float] = {}

    def counted(self) -> dict[str, Counted]:
        """What is known of each service, those that were never listed left out."""
        stocks = self._stocks()
        for stock in stocks:
            if self._interval and stock.volumes is not None and self._is_due(stock.service):
                threading.Thread(target=self._list, args=(stock,), name="inventory", daemon=True).start()
        with self._lock:
            return {stock.service: self._counted[stock.service] for stock in stocks if stock.service in self._counted}

    def mounts(self) -> dict[str, int]:
        """The mount points below each service's mount directory; several mounts on one are one."""
        roots = {
            stock.service: os.fspath(stock.mount_root).rstrip("/") + "/" for stock in self._stocks() if stock.mount_root
        }
        targets = {mount.target for mount in mount_table()} if roots else set()
        return {service: sum(target.startswith(root) for target in targets) for service, root in roots.items()}

    def _is_due(self, service: str) -> bool:
        """Whether to list now; who is told so does it, and nobody else before it is done."""
        with self._lock:
            if time.monotonic() < self._next.get(service, 0.0):
                return False
            self._next[service] = float("inf")
            return True

    def _list(self, stock: Stock) -> None:
        try:
            assert stock.volumes is not None
            volumes = attachments = 0
            with calls.call(calls.OWN, "Inventory"):
                for volume in stock.volumes():
                    volumes += 1
                    attachments += len(volume.attachments)
            found = Counted(volumes=volumes, attachments=attachments, at=time.time())
            with self._lock:
                self._counted[stock.service] = found
        except Exception as error:  # noqa: BLE001 whatever a driver raises, the next scrape goes on
            fields = {"service": stock.service, "error": str(error)}
            log.info("volumes not counted", extra={"fields": fields})
        finally:
            with self._lock:
                self._next[stock.service] = time.monotonic() + self._interval
