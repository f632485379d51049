"""What did not run, and why: said loudly at the end; in CI, as root, it is a failure."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# Where everything can be had, a test that does not run is a defect.
_MUST_RUN = os.environ.get("CI") == "true" and os.geteuid() == 0


settings.register_profile("untimed", settings.default, deadline=None)  # the machine may be busy
settings.load_profile("untimed")


def pytest_sessionstart() -> None:
    """Keep looptime from making an event loop for a test without one: nobody would close it."""
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a module to one worker, and those of the engine to one, which begins with them."""

    def group(item: pytest.Item) -> str:
        on_the_engine = "docker_lab" in getattr(item, "fixturenames", ())
        return "docker" if on_the_engine else item.nodeid.partition("::")[0]

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "docker")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what the program's start has set, or the next test hears less, or more."""
    yield
    structlog.reset_defaults()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose `needs` marker names what is not here."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if name == "root":
                if os.geteuid() != 0:
                    pytest.skip("needs root (sudo make test)")
            elif not shutil.which(name):
                pytest.skip(f"needs the program {name} (make setup, or install it)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where all tests must run."""
    del item, call
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for modules that skip themselves."""
    del collector
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Say last what did not run, why, and how to mend it."""
    yield
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if not reasons:
        return
    terminalreporter.section(f"NOT RUN: {reasons.total()}", yellow=True, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"NOT RUN: {count}: {reason}", yellow=True)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"did not run, and in CI it must: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped; pytest keeps a triple of file, line and reason."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return text.removeprefix("Skipped: ")
