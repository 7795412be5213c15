"""The metrics that there are: the one declaration that the registry and the documentation are made from.

Names, units and suffixes are by Prometheus' conventions (https://prometheus.io/docs/practices/naming/). No label ever
has the name or the id of a volume, a path or a caller: their number has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""The buckets of every duration: from what is done in memory to the longest attach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric: its name, its kind, its labels and one sentence that says what it counts."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


CALLS = Family(
    name="rexray_calls_total",
    kind="counter",
    labels=("protocol", "verb", "code"),
    help="Calls from outside that were answered; the code is an HTTP status for docker, the name of a status for csi",
)
CALL_SECONDS = Family(
    name="rexray_call_seconds",
    kind="histogram",
    labels=("protocol", "verb"),
    help="How long calls from outside took, without the wait for a thread",
)
CALLS_IN_PROGRESS = Family(
    name="rexray_calls_in_progress",
    kind="gauge",
    labels=("protocol",),
    help="Calls from outside that are worked on now",
)
PLATFORM_CALLS = Family(
    name="rexray_platform_calls_total",
    kind="counter",
    labels=("driver", "call", "outcome"),
    help="Calls to storage platforms; the outcome is ok, or the class of the error",
)
PLATFORM_SECONDS = Family(
    name="rexray_platform_call_seconds",
    kind="histogram",
    labels=("driver", "call"),
    help="How long calls to storage platforms took",
)
PLATFORM_IN_PROGRESS = Family(
    name="rexray_platform_calls_in_progress",
    kind="gauge",
    labels=("driver",),
    help="Calls to storage platforms that are not answered yet",
)
QUEUE_WAITING = Family(
    name="rexray_queue_waiting",
    kind="gauge",
    labels=("pool",),
    help="Calls that wait for a thread of the pool now",
)
QUEUE_THREADS = Family(
    name="rexray_queue_threads",
    kind="gauge",
    labels=("pool",),
    help="The most threads that the pool has",
)
QUEUE_SECONDS = Family(
    name="rexray_queue_wait_seconds",
    kind="histogram",
    labels=("pool",),
    help="How long calls waited for a thread of the pool",
)
LOCK_WAITING = Family(
    name="rexray_lock_waiting",
    kind="gauge",
    labels=("scope",),
    help="Calls that wait now for a lock that a thread of this process, or another process, holds",
)
LOCK_SECONDS = Family(
    name="rexray_lock_wait_seconds",
    kind="histogram",
    labels=("scope",),
    help="How long calls waited for a lock; those that got it at once are not counted",
)
LOCK_TIMEOUTS = Family(
    name="rexray_lock_timeouts_total",
    kind="counter",
    labels=("scope",),
    help="Waits for a lock that were given up",
)
VOLUMES = Family(
    name="rexray_volumes",
    kind="gauge",
    labels=("service",),
    help="Volumes of the service, as its platform listed them last",
)
ATTACHMENTS = Family(
    name="rexray_attachments",
    kind="gauge",
    labels=("service",),
    help="Attachments of the service's volumes to any instance, as its platform listed them last",
)
INVENTORY_TIME = Family(
    name="rexray_inventory_timestamp_seconds",
    kind="gauge",
    labels=("service",),
    help="When that listing was made, in seconds since 1970",
)
MOUNTS = Family(
    name="rexray_mounts",
    kind="gauge",
    labels=("service",),
    help="Mount points below the service's mount directory, by the kernel's table at the scrape",
)
REPAIRS = Family(
    name="rexray_repairs_total",
    kind="counter",
    labels=(),
    help="What was put right after a crash or a reboot",
)
RELOADS = Family(
    name="rexray_reloads_total",
    kind="counter",
    labels=("outcome",),
    help="Reloads of the settings; the outcome is ok or refused",
)
BUILD = Family(
    name="rexray_build_info",
    kind="gauge",
    labels=("version",),
    help="Always 1; the label has the version of the daemon",
)

FAMILIES = (
    CALLS,
    CALL_SECONDS,
    CALLS_IN_PROGRESS,
    PLATFORM_CALLS,
    PLATFORM_SECONDS,
    PLATFORM_IN_PROGRESS,
    QUEUE_WAITING,
    QUEUE_THREADS,
    QUEUE_SECONDS,
    LOCK_WAITING,
    LOCK_SECONDS,
    LOCK_TIMEOUTS,
    VOLUMES,
    ATTACHMENTS,
    INVENTORY_TIME,
    MOUNTS,
    REPAIRS,
    RELOADS,
    BUILD,
)
"""Every metric of ours; ``process_*`` and ``python_*`` are prometheus_client's own."""


def table() -> str:
    """The metrics as a table in Markdown."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.help} |"
        for family in FAMILIES
    ]
    return "\n".join(["| Metric | Kind | Labels | What it says |", "|---|---|---|---|", *rows])
