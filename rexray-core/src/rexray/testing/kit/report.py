"""What a conformance run says at its end: a text, JSON, and a line for the matrix in the docs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rexray import catalog
from rexray.listing import capabilities
from rexray.testing.kit.check import Suite
from rexray.testing.kit.running import OUTCOMES, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of one driver; ``contract`` is the range of rexray-core that its distribution states."""

    driver: str
    kind: str
    distribution: str = ""
    version: str = ""
    contract: str = ""
    capabilities: tuple[str, ...] = ()
    results: Sequence[Result] = ()
    whole: bool = True
    """Whether every check of the kit is among the results."""

    def count(self, outcome: str) -> int:
        """How many checks ended that way."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def deviations(self) -> tuple[Result, ...]:
        """The checks that the author has replaced."""
        return tuple(result for result in self.results if result.deviation)

    def text(self) -> Iterator[str]:
        """The report for people, line by line: each tier, what failed, what was replaced and why."""
        yield f"{self.kind} driver {self.driver} ({self.distribution or 'not installed'} {self.version}".rstrip() + ")"
        tiers = dict.fromkeys(result.tier for result in self.results)
        for tier in tiers:
            counts = Counter(result.outcome for result in self.results if result.tier == tier)
            said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
            yield f"  {tier:<16} {said}"
        if not self.whole:
            yield "  not all of the kit's checks were run"
        for result in self.results:
            if result.outcome == "failed":
                yield f"  failed: {result.name}: {result.reason}"
        skipped: dict[str, list[str]] = {}
        for result in self.results:
            if result.outcome == "skipped":
                skipped.setdefault(result.reason, []).append(result.name)
        for reason, names in skipped.items():
            yield f"  skipped {len(names)}: {reason}"
        for result in self.deviations:
            yield f"  deviates: {result.name}: {result.deviation}"

    def row(self) -> str:
        """The line for a table in Markdown: driver, kind, version, checks run, passed, failed, skipped, deviations."""
        said = self.summary()
        counts = [said[word] for word in ("run", *OUTCOMES)] + [len(self.deviations)]
        return f"| `{self.driver}` | {self.kind} | {self.version} | " + " | ".join(map(str, counts)) + " |"

    def summary(self) -> dict[str, object]:
        """The report without single checks, as the docs keep it."""
        said = asdict(self)
        del said["results"], said["whole"]
        return {
            **said,
            "run": self.count("passed") + self.count("failed"),
            **{outcome: self.count(outcome) for outcome in OUTCOMES},
            "deviations": {result.name: result.deviation for result in self.deviations},
        }

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        whole = {**self.summary(), "whole": self.whole, "results": [asdict(result) for result in self.results]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def report_of(target: type, suite: Suite[Any], results: Sequence[Result]) -> Report:
    """The report of a driver class, with what is known of the distribution that it is in."""
    kind, checks = suite.kind, {check.name for check in suite.checks()}
    name = getattr(target, "name", target.__qualname__)
    # a node driver is found by its storage driver's entry point
    entries = catalog.entries("storage" if kind == "node" else kind)
    # a test may have subclassed the driver, to make it in a way of its own
    owner = next((base for base in target.__mro__ if "name" in vars(base)), target)
    package = owner.__module__.split(".")[0]
    entry = next((each for each in entries if each.name == name and each.module.split(".")[0] == package), None)
    distribution = entry.distribution() if entry else None
    return Report(
        driver=name,
        kind=kind,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
        contract=entry.contract() if entry else "",
        capabilities=capabilities(target),
        results=tuple(results),
        whole=checks == {result.name for result in results},
    )
