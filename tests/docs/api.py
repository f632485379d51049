"""The guide to what is answered over HTTP, from the code: ``python -m tests.docs.api`` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from proxyconf import api
from proxyconf.board import Board
from proxyconf.explain.answer import Explanation, Link
from proxyconf.metrics import Metrics
from proxyconf.model import Change, Idle, Listing, Problem
from tests.docs.settings import meanings

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = Path(__file__).parents[2] / "docs/api.md"
# ruff: noqa: E501 - a paragraph of Markdown is a line
_HEAD = """\
# What the running program answers over HTTP

The tables are written from the code by `python -m tests.docs.api`; a test holds them to that.

A unix socket, `status.sock` in the state folder (`[status] socket`), is there as long as `proxyconf run` is; `once` answers nobody. Only the user that proxyconf runs as, and root, may use it (mode 0600). Over TCP it answers only where an address is set, and there it only tells:

    [status]
    address = "127.0.0.1:9180"

Everybody who gets to that address sees hosts, endpoints and problems, so keep it to this host or to a network of operators.

    curl --unix-socket /var/lib/proxyconf/status.sock http://proxyconf/api/v1/status
    curl http://127.0.0.1:9180/metrics

| path | answer |
| --- | --- |
| `GET /healthz` | 200 while the loop that applies changes moves on, else 503: for a liveness probe. What it waits for has a bound (a check, a reload, a template's command), and each step promises the next sign of life; late is who has broken that promise. systemd's watchdog is fed by the same fact. [Health](#health) |
| `GET /readyz` | 200 while what is served is what it should be (`applied`), and no required source has been lost for longer than `[status] stale_after`, else 503 with the reasons: for a readiness probe. A pause does not change it until something waits. [Health](#health) |
| `GET /metrics` | for Prometheus, in its text format or OpenMetrics: [below](#metrics) |
| `GET /api/v1/status` | everything there is to say: [Status](#status) |
| `GET /api/v1/routes` | [Routes](#routes) |
| `GET /api/v1/problems` | [Problems](#problems) |
| `GET /api/v1/history` | [History](#history) |
| `GET /api/v1/explain?what=QUESTION` | why a host, a container, a key, a service or a template is served, or is not, as `proxyconf explain`: [Explanation](#explanation); 400 where it is no question |
| `POST /api/v1/confirm` | believe the listings that are held; on the unix socket only, as the following: [Confirmed](#confirmed) |
| `POST /api/v1/pause` | apply nothing from now on; may be sent `{"reason": "..."}`; answered when what was under way has ended: [Pause](#pause) |
| `POST /api/v1/resume` | apply again: [Resumed](#resumed) |

Fields are added, never renamed or removed, as long as the path says `v1`. Times are Unix times in seconds; a field that ends in `_ms` is in milliseconds.

**A pause** lasts until it is ended, also across a new start of proxyconf (`<state>/paused`, whose text is the reason). Sources go on being followed, and status says what waits. nginx goes on with what it has; if it is started anew it reads what is in place, which was checked. `proxyconf once` does nothing meanwhile and exits with 1.

**The history** is that of the running program: the last hundred attempts that changed something. A new start begins a new one; the log has all.
"""
_METRICS = """
## Metrics

Names are a promise, as the fields are. `process_*` (memory, CPU time, open files, start) are there, too.

| name | type | labels | meaning |
| --- | --- | --- | --- |
"""
_ALERTS = """
What is worth an alert:

| expression | meaning |
| --- | --- |
| `proxyconf_applied_lag_seconds > 300 and proxyconf_paused == 0` | something has not come into effect for five minutes |
| `proxyconf_source_age_seconds > 300` | a source is lost: what it said last is served |
| `proxyconf_nginx_running == 0` | no nginx runs |
| `proxyconf_problems > 0` | a key, container or file is skipped or set aside |
| `proxyconf_paused == 1`, for a day | somebody has forgotten to resume |
| `proxyconf_certificate_expiry_timestamp_seconds - time() < 14 * 86400` | a certificate ends soon |
| `histogram_quantile(0.99, rate(proxyconf_event_to_served_seconds_bucket[15m])) > 5` | changes take long |
"""
_STRUCTS: tuple[type, ...] = (
    *(api.Status, api.NginxState, api.ChildState, api.AppliedState, api.SourceState, api.RouteState),
    *(api.TemplateState, api.CertificateState, Problem, Idle, api.Pass, api.Pause),
    *(api.Routes, api.Problems, api.History, api.Health, api.Confirmed, api.Resumed, Explanation, Link),
)
_WORDS = {str: "text", int: "number", float: "number", bool: "`true` or `false`", type(None): "`null`"}


def api_text() -> str:
    """Return the whole document."""
    pieces = [
        _HEAD,
        *(line for struct in _STRUCTS for line in _chapter(struct)),
        _METRICS,
        *_metrics(),
        _ALERTS,
    ]
    return "".join(pieces)


def _chapter(struct: type) -> Iterator[str]:
    says, hints = meanings(struct), get_type_hints(struct)
    yield f"\n## {struct.__name__}\n\n{(struct.__doc__ or '').partition(chr(10))[0].replace('``', '`')}\n\n"
    yield "| field | value | meaning |\n| --- | --- | --- |\n"
    for name in _fields(struct):
        said = re.sub(r"\bNone\b", "`null`", says[name])
        yield f"| `{name}` | {_kind(hints[name])} | {said} |\n"


def _fields(struct: type) -> tuple[str, ...]:
    if issubclass(struct, msgspec.Struct):
        return tuple(field.encode_name for field in msgspec.structs.fields(struct))
    return tuple(struct.__annotations__)


def _kind(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """Return what values it may have, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return ", or ".join(map(_kind, arguments))
    if origin in (list, tuple):
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"{_kind(arguments[0])} to {_kind(arguments[1])}"
    return _WORDS.get(kind) or f"[{kind.__name__}](#{kind.__name__.lower()})"


def _metrics() -> Iterator[str]:
    board = Board(["etcd"], api.NginxState(mode="own", root="/"))
    metrics = Metrics(board)
    board.source_listed(Change(Listing("etcd")))
    board.certificates_found([api.CertificateState(name="a", file="", names=(), not_after=0.0)])
    board.passed(
        api.Pass(at=0.0, result="applied", steps_ms={"proof": 1.0}), api.AppliedState(digest="", at=0.0)
    )
    for family in text_string_to_metric_families(metrics.text("")[0].decode()):
        if family.name.startswith("proxyconf_"):
            labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield f"| `{name}` | {family.type} | {', '.join(f'`{one}`' for one in labels)} | {family.documentation} |\n"


if __name__ == "__main__":
    PLACE.write_text(api_text())
