"""The daemon's monitoring, as one part that starts and stops with it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from rexray import calls
from rexray.redaction import scrub
from rexray_server.monitoring import families
from rexray_server.monitoring.inventory import Inventory, Stock
from rexray_server.monitoring.settings import MonitoringSettings, is_private
from rexray_server.monitoring.state import ModuleState

if TYPE_CHECKING:
    from rexray_server.monitoring.listener import Listener, Reply
    from rexray_server.monitoring.metrics import Metrics

log = logging.getLogger(__name__)


class Monitoring:
    """Metrics, health and traces of one daemon; with settings that switch all of it off every method does nothing.

    ``state`` says how each module is and ``alive`` whether the event loop turns; both are called by other threads, and
    answer without waiting. ``stocks`` says what of the services can be counted. Make it, and its pools, before the
    parts that it watches, and :meth:`start` it before they start, so that ``/readyz`` tells how they do.
    """

    def __init__(
        self,
        settings: MonitoringSettings,
        state: Callable[[], Sequence[ModuleState]],
        alive: Callable[[], bool],
        *,
        stocks: Callable[[], Sequence[Stock]] = tuple,
    ) -> None:
        self._settings = settings
        self._state = state
        self._alive = alive
        self._stack = contextlib.ExitStack()
        self._metrics: Metrics | None = None
        self.listener: Listener | None = None
        if settings.address:
            from rexray_server.monitoring.metrics import Metrics

            self._metrics = Metrics(Inventory(stocks, settings.inventory_interval), version("rexray-server"))

    def pool(self, threads: int, name: str) -> ThreadPoolExecutor:
        """A pool of threads, whose queue is measured where metrics are on."""
        if self._metrics is None:
            return ThreadPoolExecutor(threads, name)
        return self._metrics.pool(threads, name)

    def repaired(self) -> None:
        """Count one thing that was put right after a crash."""
        if self._metrics is not None:
            self._metrics.counter(families.REPAIRS).inc()

    def reloaded(self, *, ok: bool) -> None:
        """Count a reload, be it one that was refused."""
        if self._metrics is not None:
            self._metrics.counter(families.RELOADS, "ok" if ok else "refused").inc()

    def start(self) -> None:
        """Serve and observe from now on, as far as the settings say so."""
        if self._metrics is not None:
            from rexray_server.monitoring.listener import Listener

            self._stack.callback(calls.observe(self._metrics.observe))
            endpoint = self._settings.endpoint()
            if not is_private(endpoint):
                log.warning("metrics are open to the network without TLS", extra={"fields": {"at": endpoint}})
            self.listener = Listener(endpoint, self._answer)
            self.listener.start()
            self._stack.callback(self.listener.close)
        if self._settings.tracing_endpoint:
            from rexray_server.monitoring import otel

            self._stack.callback(otel.start(self._settings.tracing_endpoint))

    def close(self) -> None:
        """Serve and observe no more; spans that no collector takes within a few seconds are dropped."""
        self._stack.close()

    def _answer(self, path: str, query: str, accept: str) -> Reply:
        from rexray_server.monitoring.listener import Reply

        if path == "/metrics":
            return self._scrape(accept)
        if path == "/healthz":
            alive = self._alive()
            return Reply(status=200 if alive else 503, body=b"ok\n" if alive else b"the event loop does not turn\n")
        if path == "/readyz":
            verbose = "application/json" in accept or "verbose" in parse_qs(query, keep_blank_values=True)
            return _readiness(self._state(), verbose=verbose)
        return Reply(status=404, body=b"there are /metrics, /healthz and /readyz\n")

    def _scrape(self, accept: str) -> Reply:
        from rexray_server.monitoring.listener import Reply

        assert self._metrics is not None
        body, content_type = self._metrics.text(accept)
        return Reply(status=200, body=body, content_type=content_type)


def _readiness(modules: Sequence[ModuleState], *, verbose: bool) -> Reply:
    """Ready are modules that all are; those that are not have a line each, and all of them have one in JSON."""
    from rexray_server.monitoring.listener import Reply

    ready = bool(modules) and all(module.ready for module in modules)
    modules = [replace(module, reason=scrub(module.reason)) for module in modules]
    status = 200 if ready else 503
    if verbose:
        content = {"ready": ready, "modules": [asdict(module) for module in modules]}
        return Reply(status=status, body=json.dumps(content).encode() + b"\n", content_type="application/json")
    lines = [_line(module) for module in modules if not module.ready] or ["ready" if ready else "no module is started"]
    return Reply(status=status, body="".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))


def _line(module: ModuleState) -> str:
    """How a module is, on one line whatever the reason has in it."""
    words = (module.name, module.state, module.reason)
    return ": ".join(" ".join(word.split()) for word in words if word)
