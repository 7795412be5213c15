"""Monitoring that serves at a port of the kernel's choice, and what reads it as Prometheus and the kubelet do."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from rexray_server.monitoring.inventory import Stock
from rexray_server.monitoring.monitor import Monitoring
from rexray_server.monitoring.settings import MonitoringSettings
from rexray_server.monitoring.state import READY, ModuleState

MODULE = ModuleState(name="default", endpoint="/run/rexray.sock", service="", driver="memory", state=READY)
Sample = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Watched:
    """A daemon's monitoring, and what it is told of that daemon."""

    monitoring: Monitoring
    modules: list[ModuleState]
    alive: list[bool] = field(default_factory=lambda: [True])

    def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """The status, the type and the body of an answer."""
        assert self.monitoring.listener is not None
        host, port = self.monitoring.listener.address
        connection = http.client.HTTPConnection(host, port, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
        finally:
            connection.close()

    def scrape(self) -> dict[Sample, float]:
        """Every sample of a scrape, by its name and labels."""
        status, _, text = self.get("/metrics")
        assert status == 200
        return samples_of(text)

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one name, by the values of their labels in the order of the labels' names."""
        return {
            tuple(value for _, value in labels): count
            for (found, labels), count in self.scrape().items()
            if found == name
        }


def samples_of(text: str) -> dict[Sample, float]:
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@contextmanager
def watching(
    settings: Mapping[str, object] | None = None, stocks: Callable[[], Sequence[Stock]] = tuple
) -> Iterator[Watched]:
    modules = [MODULE]
    alive = [True]
    values: dict[str, object] = {"address": "127.0.0.1:0", **(settings or {})}
    monitoring = Monitoring(
        MonitoringSettings(**values),  # type: ignore[arg-type]
        lambda: tuple(modules),
        lambda: alive[0],
        stocks=stocks,
    )
    monitoring.start()
    try:
        yield Watched(monitoring, modules, alive)
    finally:
        monitoring.close()
