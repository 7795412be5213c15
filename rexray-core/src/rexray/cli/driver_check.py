"""``rexray driver check``: the quick half of the conformance kit, which changes nothing, on the live configuration."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from rexray import catalog, services
from rexray.cli.app import App
from rexray.cli.base import Command, current_app
from rexray.cli.output import Row, emit
from rexray.cli.progress import progress
from rexray.errors import InvalidRequest, TimedOut, Unauthorized, Unavailable
from rexray.registry import DRIVER_KINDS
from rexray.settings import Sources
from rexray.testing.kit.check import Check, Failed, Skipped
from rexray.testing.kit.live import Live, live, secrets_of
from rexray.testing.kit.running import perform

COLUMNS = ("check", "outcome", "reason", "ms")
"""The columns of the table; JSON and YAML also have the ``kind`` of driver and the contract's words as ``help``."""

DOWN = (Unavailable, TimedOut, Unauthorized)
"""The errors of a platform that does not answer, or not to these credentials."""


@click.command("check", cls=Command)
@click.argument("name")
@click.option("--kind", type=click.Choice(DRIVER_KINDS), help="Its kind, where drivers of several kinds have the name")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Seconds in all"
)
def check_driver(name: str, kind: str | None, timeout: float) -> None:
    """Check an installed driver against its contract, with the settings that hold; nothing is changed by that."""
    app = current_app()
    kind = kind or _kind_of(name)
    sources = sources_of(app, name) if kind == "storage" else app.sources
    run = _Run(name=name, seconds=timeout, secrets=secrets_of(sources))
    rows = [row for found in live(kind, name, sources) for row in run.rows(found)]
    emit(rows, COLUMNS)
    if any(row["outcome"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


class _Run:
    """The checks of one run, which end together by its deadline."""

    def __init__(self, *, name: str, seconds: float, secrets: Sequence[str]) -> None:
        self._name = name
        self._seconds = seconds
        self._secrets = secrets
        self._end = time.monotonic() + seconds

    def rows(self, found: Live) -> Iterator[Row]:
        """A row for each check, as it is done; an error of :data:`DOWN` for a platform that does not answer."""
        for number, check in enumerate(found.checks, 1):
            begin = time.monotonic()
            with progress(f"checking {found.kind} driver {self._name}, {number} of {len(found.checks)}: {check.name}"):
                outcome, reason = self._outcome(check, found)
            yield {
                "check": check.name,
                "kind": found.kind,
                "tier": check.tier,
                "outcome": outcome,
                "reason": self._told(reason),
                "ms": round((time.monotonic() - begin) * 1000),
                "help": check.help,
            }

    def _outcome(self, check: Check[Any], found: Live) -> tuple[str, str]:
        left = self._end - time.monotonic()
        if left <= 0:
            return "skipped", f"the {self._seconds:g} s of --timeout were over before it began"
        try:
            # what a driver prints is no row; not quiet(), whose lock the check's own thread may want
            with contextlib.redirect_stdout(sys.stderr), found.make(left) as rig:
                perform(check, rig)
        except Skipped as skipped:
            return "skipped", str(skipped)
        except Exception as error:  # noqa: BLE001 whatever a broken driver raises is what is wrong with it
            self._refuse_down(error)
            return "failed", str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
        return "passed", ""

    def _refuse_down(self, error: BaseException) -> None:
        """A platform that does not answer fails every check for one reason, which is said once."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, DOWN):
                raise type(cause)(self._told(f"driver {self._name!r} cannot be checked: {cause}")) from None
            cause = cause.__cause__

    def _told(self, text: str) -> str:
        """The text on one line, without the values of secret settings."""
        for secret in self._secrets:
            for shown in (secret, repr(secret)[1:-1]):
                text = text.replace(shown, "***")
        return " ".join(text.split())


def _kind_of(name: str) -> str:
    """The kind of the driver of that name; ``InvalidRequest`` where several have it."""
    kinds = [kind for kind in DRIVER_KINDS if any(entry.name == name for entry in catalog.entries(kind))]
    if len(kinds) > 1:
        raise InvalidRequest(f"there are drivers {name!r} of the kinds {' and '.join(kinds)}: say which by --kind")
    return kinds[0] if kinds else DRIVER_KINDS[0]


def sources_of(app: App, name: str) -> Sources:
    """The sources as they hold for a storage driver: those of the service that is chosen, or the only one it has."""
    from rexray.core_settings import CoreSettings

    sources = app.sources
    names = services.configured(sources)
    wanted = sources.load(CoreSettings).service
    if not names:
        if wanted and not _same(wanted, name):
            raise InvalidRequest(f"service {wanted!r} is not configured, and is not driver {name!r}: leave it out")
        return sources
    if wanted:
        service = services.load(sources, services.choose(sources))
        if not _same(service.driver, name):
            raise InvalidRequest(
                f"service {service.name!r} has the driver {service.driver!r}, not {name!r}: choose another by -s"
            )
        return service.sources
    having = [service for each in names if _same((service := services.load(sources, each)).driver, name)]
    if len(having) > 1:
        known = ", ".join(service.name for service in having)
        raise InvalidRequest(f"several services have the driver {name!r} ({known}): choose one by -s")
    return having[0].sources if having else sources


def _same(one: str, other: str) -> bool:
    """Whether two words are names or aliases of one storage driver."""
    entries = list(catalog.entries("storage"))
    first, second = ({entry.module for entry in entries if entry.name == word} for word in (one, other))
    return one == other or bool(first & second)
