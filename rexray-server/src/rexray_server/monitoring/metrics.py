"""The metrics themselves, fed by the calls that :mod:`rexray.calls` tells of. Importing this imports Prometheus."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rexray import calls
from rexray_server.monitoring import families
from rexray_server.monitoring.codes import code_of
from rexray_server.monitoring.families import FAMILIES, Family
from rexray_server.monitoring.inventory import Inventory
from rexray_server.monitoring.pools import MeasuredPool, Pools

OTHER = "other"
"""Stands for words that are no words, and for those beyond the limit."""
WORDS = 256
"""How many words one label may have."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9 _./:*-]{0,119}|")


class Words:
    """The values of one label: at most so many, whatever a caller or a driver comes up with."""

    def __init__(self, limit: int = WORDS) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, word: str) -> str:
        """The word, or :data:`OTHER`."""
        if word in self._known:
            return word
        if not _WORD.fullmatch(word):
            return OTHER
        with self._lock:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(word)
        return word


class Metrics:
    """Every metric of one daemon, in a registry of its own."""

    def __init__(self, inventory: Inventory, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
        self.registry = CollectorRegistry()
        self._pools = Pools()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for family in FAMILIES:
            if family not in _READ:
                self._make(family)
        self._driver, self._outcome, self._pool = Words(), Words(), Words()
        self._verbs = {kind: Words() for kind in (*calls.FRONTS, calls.PLATFORM, calls.LOCK)}
        self._series: dict[tuple[str, str, str], _Series] = {}
        self.registry.register(_Readings(inventory, self._pools))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.gauge(families.BUILD, version).set(1)
        self.counter(families.REPAIRS)
        for outcome in ("ok", "refused"):
            self.counter(families.RELOADS, outcome)

    def counter(self, family: Family, *labels: str) -> Counter:
        """The counter of those labels."""
        made = self._counters[family.name]
        return made.labels(*labels) if labels else made

    def gauge(self, family: Family, *labels: str) -> Gauge:
        """The gauge of those labels."""
        made = self._gauges[family.name]
        return made.labels(*labels) if labels else made

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """The histogram of those labels."""
        made = self._histograms[family.name]
        return made.labels(*labels) if labels else made

    def pool(self, threads: int, name: str) -> MeasuredPool:
        """A pool of threads whose queue is measured."""
        pool = MeasuredPool(threads, name, self.histogram(families.QUEUE_SECONDS, self._pool(name)).observe)
        self._pools.add(pool)
        return pool

    def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the format that a reader accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def observe(self, call: calls.Call) -> AbstractContextManager[None]:
        """What measures a call, for :func:`rexray.calls.observe`."""
        if call.kind == calls.PLATFORM or call.kind == calls.LOCK:
            return _Measured(self._series_of(call.kind, call.driver, call.verb))
        if call.kind in calls.FRONTS and call.within is None:  # those that Docker's calls make of CSI nobody sent
            return _Measured(self._series_of(call.kind, "", call.verb))
        return _NOTHING

    def _series_of(self, kind: str, driver: str, verb: str) -> _Series:
        """The series of such calls; there are only so many, for what is no known word is :data:`OTHER`."""
        driver, verb = self._driver(driver), self._verbs[kind](verb)
        found = self._series.get((kind, driver, verb))
        if found is None:
            found = self._series[kind, driver, verb] = self._make_series(kind, driver, verb)
        return found

    def _make_series(self, kind: str, driver: str, verb: str) -> _Series:
        if kind == calls.PLATFORM:
            return _Series(
                going=self.gauge(families.PLATFORM_IN_PROGRESS, driver),
                seconds=self.histogram(families.PLATFORM_SECONDS, driver, verb),
                ended=lambda error: self.counter(families.PLATFORM_CALLS, driver, verb, self._outcome_of(error)).inc(),
            )
        if kind == calls.LOCK:
            timeouts = self.counter(families.LOCK_TIMEOUTS, verb)
            return _Series(
                going=self.gauge(families.LOCK_WAITING, verb),
                seconds=self.histogram(families.LOCK_SECONDS, verb),
                ended=lambda error: None if error is None else timeouts.inc(),
            )
        return _Series(
            going=self.gauge(families.CALLS_IN_PROGRESS, kind),
            seconds=self.histogram(families.CALL_SECONDS, kind, verb),
            ended=lambda error: self.counter(families.CALLS, kind, verb, code_of(kind, error)).inc(),
        )

    def _outcome_of(self, error: BaseException | None) -> str:
        return "ok" if error is None else self._outcome(type(error).__name__)

    def _make(self, family: Family) -> None:
        if family.kind == "counter":
            self._counters[family.name] = Counter(family.name, family.help, family.labels, registry=self.registry)
        elif family.kind == "gauge":
            self._gauges[family.name] = Gauge(family.name, family.help, family.labels, registry=self.registry)
        else:
            self._histograms[family.name] = Histogram(
                family.name, family.help, family.labels, registry=self.registry, buckets=families.SECONDS
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """What is counted of the calls of one kind and verb."""

    going: Gauge
    seconds: Histogram
    ended: Callable[[BaseException | None], None]


class _Measured(AbstractContextManager[None]):
    """Counts one call."""

    __slots__ = ("_series", "_since")

    def __init__(self, series: _Series) -> None:
        self._series = series
        self._since = 0.0

    def __enter__(self) -> None:
        self._series.going.inc()
        self._since = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._series.seconds.observe(time.perf_counter() - self._since)
        self._series.going.dec()
        self._series.ended(error)


_NOTHING = contextlib.nullcontext()


class _Readings(Collector):
    """What is looked up when it is scraped."""

    def __init__(self, inventory: Inventory, pools: Pools) -> None:
        self._inventory = inventory
        self._pools = pools

    def describe(self) -> Sequence[Metric]:
        """The names, without a reading."""
        return [_gauge(family, {}) for family in _READ]

    def collect(self) -> Iterable[Metric]:
        """The readings."""
        counted = self._inventory.counted()
        yield _gauge(families.VOLUMES, {service: found.volumes for service, found in counted.items()})
        yield _gauge(families.ATTACHMENTS, {service: found.attachments for service, found in counted.items()})
        yield _gauge(families.INVENTORY_TIME, {service: found.at for service, found in counted.items()})
        yield _gauge(families.MOUNTS, self._inventory.mounts())
        waiting, threads = self._pools.readings()
        yield _gauge(families.QUEUE_WAITING, waiting)
        yield _gauge(families.QUEUE_THREADS, threads)


_READ = (
    families.VOLUMES,
    families.ATTACHMENTS,
    families.INVENTORY_TIME,
    families.MOUNTS,
    families.QUEUE_WAITING,
    families.QUEUE_THREADS,
)


def _gauge(family: Family, values: dict[str, int] | dict[str, float]) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for label, value in sorted(values.items()):
        metric.add_metric([label], value)
    return metric
