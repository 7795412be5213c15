"""Samples, and how they are printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def timed(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which that share of the samples lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(samples: Sequence[float]) -> str:
    """Median and 99th percentile for a table."""
    return f"{statistics.median(samples) * 1000:9.3f} {quantile(samples, 0.99) * 1000:9.3f}"
