"""Whether gixy finds anything in the configurations that we generate: ``python -m tests.golden.scan``.

It scans the golden files, and a site with every option that labels can ask for. A finding that is not
explained below fails, and so does an explanation of what is not found. (That some things are found, in files
of every kind, shows that it sees them.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.model import Container, Listing
from proxyconf.nginx.site import Renderer
from proxyconf.routing import Reader
from proxyconf.routing.offered import OPTIONS
from proxyconf.snapshot import merge
from tests.golden.cases import CASES, dialect, golden_text, write_golden
from tests.unit.test_labels_guide import NEEDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# what somebody else's nginx.conf may have around mode include's file
AROUND = 'worker_processes auto;\nevents {{}}\nhttp {{\n    include "{folder}/http.conf";\n}}\n'


class Explanation(NamedTuple):
    """Why findings are none.

    Attributes:
        plugin: gixy's name for what it looks for.
        sites: Names of the sites in which it finds that, as shell patterns.
        why: Why it stays.
    """

    plugin: str
    sites: tuple[str, ...]
    why: str


class Finding(NamedTuple):
    """What gixy has found in a site."""

    site: str
    plugin: str
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.site}: {self.severity} {self.plugin}: {self.text}"


EXPLANATIONS = (
    Explanation(
        "version_disclosure",
        ("*",),
        "server_tokens is the operator's, by a file in http.d or around mode include's, or by a label",
    ),
    Explanation(
        "worker_rlimit_nofile_vs_connections",
        ("*",),
        "the limit is that of what starts nginx: LimitNOFILE of a unit, --ulimit of a container",
    ),
    Explanation(
        "proxy_buffering_off",
        ("bare_locations", "locations", "options"),
        "this is the option buffering = false, for streams of events",
    ),
    Explanation(
        "alias_traversal",
        ("additions*",),
        "error pages: the location is internal, and below it nothing is found that is not named p-...",
    ),
    Explanation(
        "default_server_flag",
        ("include", "https_include", "additions_include"),
        "the port has a default server, which is the operator's and not in what is scanned here",
    ),
)


def judge(findings: Iterable[Finding], explanations: Iterable[Explanation]) -> list[str]:
    """Return what is wrong: findings without an explanation, explanations without a finding."""
    wrong, idle = [], {(one.plugin, pattern) for one in explanations for pattern in one.sites}
    expected = frozenset(idle)
    for finding in findings:
        fitting = {key for key in expected if key[0] == finding.plugin and fnmatchcase(finding.site, key[1])}
        idle -= fitting
        if not fitting:
            wrong.append(str(finding))
    return wrong + [f"{pattern}: {plugin} is explained, but not found" for plugin, pattern in sorted(idle)]


def scan(site: str, text: str, folder: Path) -> list[Finding]:
    """Return what gixy finds in a golden *text*, written to *folder*."""
    write_golden(text, folder)
    main = folder / "nginx.conf"
    if not main.exists():
        main.write_text(AROUND.format(folder=folder))
    gixy = [sys.executable, "-m", "gixy", "--format", "json", str(main)]
    done = subprocess.run(gixy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # none, some; else it could not scan
        raise SystemExit(f"gixy: {site}: exit code {done.returncode}: {done.stderr or done.stdout}")
    return [
        Finding(site, one["plugin"], one["severity"], f"{one['summary']} {one['reason']}\n{one['config']}")
        for one in json.loads(done.stdout)
    ]


def every_option() -> str:
    """Return a site, as a golden text, with a host for each option that labels can ask for."""
    containers = tuple(
        Container(
            f"{number:064}",
            name,
            _labels(name),
            "running",
            networks={"bridge": f"10.0.0.{number}"},
            ports=(8080,),
        )
        for number, name in enumerate(OPTIONS, 1)
    )
    claims = Reader().read(Listing("docker", containers=containers))
    if claims.problems:
        raise SystemExit(f"every option: {claims.problems[0]}")
    return golden_text(Renderer(dialect()).render(merge([claims])))


def _labels(name: str) -> Mapping[str, str]:
    label = f"{name}.X-Name" if OPTIONS[name].is_keyed else name
    said = {"host": f"{name}.test", "path": "/api"} | NEEDS.get(name, {}) | {label: OPTIONS[name].example}
    return {f"proxyconf.{key}": text for key, text in said.items()}


def main() -> None:
    """Scan everything; exit with what is wrong."""
    texts = {name: golden_text(site) for name, site in CASES.items()} | {"options": every_option()}
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        for site, text in texts.items():
            findings += scan(site, text, Path(folder) / site)
    wrong = judge(findings, EXPLANATIONS)
    for line in wrong:
        print(line, file=sys.stderr)  # noqa: T201 - a command
    if wrong:
        raise SystemExit(1)
    print(f"gixy: {len(findings)} findings in {len(texts)} sites, all of them explained")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
