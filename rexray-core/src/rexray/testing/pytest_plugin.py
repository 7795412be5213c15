"""The pytest plug-in of the conformance kit: its options, and the report at the end.

It is loaded into every run of pytest where rexray-core is installed, and so imports the kit only when that is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rexray.testing.kit.check import Suite
    from rexray.testing.kit.report import Report
    from rexray.testing.kit.running import Result

    Results = dict[tuple[Suite[Any], type], dict[str, Result]]

_results: pytest.StashKey[Results] = pytest.StashKey()
"""The result of each check, for each suite and class of driver."""

_SUITE = Path(__file__).with_name("conformance_suite.py")
_CSI_SUITE = Path(__file__).with_name("conformance_suite_csi.py")
"""Of CSI plug-ins, which needs gRPC where the others do not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the kit."""
    group = parser.getgroup("rexray", "conformance of REX-Ray drivers")
    group.addoption("--rexray-driver", metavar="NAME", help="check the installed driver of that name")
    group.addoption(
        "--rexray-kind", metavar="KIND", help="its kind, where drivers of several kinds have the name: storage, os, ..."
    )
    group.addoption("--rexray-config", metavar="FILE", type=Path, help="the configuration file to check it with")
    group.addoption("--rexray-report", metavar="FOLDER", type=Path, help="write each driver's report there as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """With ``--rexray-driver`` and nothing else to run, run the kit."""
    config.stash[_results] = {}
    if folder := config.option.rexray_report:
        try:
            folder.mkdir(parents=True, exist_ok=True)  # rather than after a long run, whose results would be lost
        except OSError as error:
            raise pytest.UsageError(f"--rexray-report: {folder}: {error.strerror}") from None
    if config.option.rexray_driver and config.args_source is not pytest.Config.ArgsSource.ARGS:
        name, kind = config.option.rexray_driver, config.option.rexray_kind
        config.args[:] = [str(_CSI_SUITE if kind == "csi" or (not kind and _is_csi(name)) else _SUITE)]


def _is_csi(name: str) -> bool:
    """Whether a CSI plug-in is installed by that name."""
    from rexray import catalog

    return any(entry.name == name for entry in catalog.entries("csi"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the suite for installed drivers, run the classes for what has the name."""
    ours = [item for item in items if item.path in (_SUITE, _CSI_SUITE)]
    if not ours:
        return
    from rexray.errors import RexrayError
    from rexray.testing.kit.configured import kinds_of

    try:
        kinds = kinds_of(config.option.rexray_driver, config.option.rexray_kind or "")
    except RexrayError as error:
        raise pytest.UsageError(str(error)) from None
    others = [item for item in ours if _check_of(item).kind not in kinds]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _check_of(item: pytest.Item) -> Any:
    return getattr(getattr(item, "function", None), "rexray_check", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo[None]) -> Any:
    """Note how a check ended."""
    report: pytest.TestReport = yield
    check, rig = _check_of(item), getattr(item, "funcargs", {}).get("rig")
    if check is not None and rig is not None and (report.when == "call" or report.outcome != "passed"):
        from rexray.testing.kit.running import Result

        reason = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed and call.excinfo is not None:
            reason = call.excinfo.exconly().splitlines()[0]
        results = item.config.stash[_results].setdefault((item.cls.suite, rig.target), {})
        before = results.get(check.name)
        results[check.name] = Result(
            name=check.name,
            tier=check.tier,
            outcome=report.outcome,
            reason=reason,
            seconds=report.duration + (before.seconds if before else 0.0),
            deviation=getattr(getattr(item, "function", None), "rexray_deviation", ""),
        )
    return report


def reports(config: pytest.Config) -> list[Report]:
    """The reports of the drivers that the run has checked so far."""
    from rexray.testing.kit.report import report_of

    return [
        report_of(target, suite, tuple(results.values())) for (suite, target), results in config.stash[_results].items()
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The report of each driver, and its line for the matrix in the docs."""
    if not config.stash[_results]:
        return
    terminalreporter.section("conformance of REX-Ray drivers")
    for report in reports(config):
        for line in report.text():
            terminalreporter.line(line)
        terminalreporter.line(report.row())
        if config.option.rexray_report:
            path = config.option.rexray_report / f"{report.kind}-{report.driver}.json"
            report.write(path)
            terminalreporter.line(f"the report is in {path}")
