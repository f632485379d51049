"""What Prometheus is told: what is so when it asks, and what every attempt took.

The names are a promise: dashboards and alerts are made of them. docs/api.md has them all.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily

from proxyconf import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from proxyconf.api import Pass, Status
    from proxyconf.board import Board

_SERVED_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RELOADED = ("applied", "refused", "failed")
_STATES = ("starting", "waiting", "applied", "installed", "refused", "failed", "paused", "reloading")


class Metrics:
    """The metrics of one board."""

    def __init__(self, board: Board) -> None:
        # a further series for each, which says only when we were started
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._served = Histogram(
            "proxyconf_event_to_served_seconds",
            "From the arrival of a change, or of the oldest of several, to the proof that nginx serves it.",
            buckets=_SERVED_S,
            registry=self._registry,
        )
        self._reloads = Counter(
            "proxyconf_reloads",
            "Reloads of nginx for the site, by what came of it: applied (proved), refused, failed.",
            ["result"],
            registry=self._registry,
        )
        self._steps = Histogram(
            "proxyconf_step_seconds",
            "What each step of an attempt took: render, write, check, install, signal, proof and so on.",
            ["step"],
            buckets=_STEP_S,
            registry=self._registry,
        )
        for result in _RELOADED:
            self._reloads.labels(result)  # there from the start, so that the first one is an increase
        ProcessCollector(registry=self._registry)
        self._registry.register(_Now(board))
        board.observe(self._count)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all of them and their content type, in the format that *accept*, a header, asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _count(self, done: Pass) -> None:
        if "signal" in done.steps_ms:
            self._reloads.labels(done.result).inc()
        # a look after an nginx that was started late, or that had nothing to do, waited for no proof of ours
        if done.result == "applied" and "proof" in done.steps_ms and done.served_ms is not None:
            self._served.observe(done.served_ms / 1000)
        for step, took_ms in done.steps_ms.items():
            self._steps.labels(step).observe(took_ms / 1000)


class _Now:
    """Reads the board when it is asked."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        status, now = self._board.status(), time.time()
        yield InfoMetricFamily(
            "proxyconf_build",
            "Which proxyconf, Python and nginx these are.",
            {"version": __version__, "python": platform.python_version(), "nginx": status.nginx.version},
        )
        yield from _site(status, now)
        yield from _sources(status, now)
        endpoints = sum(map(len, self._board.snapshot.services.values()))
        yield _gauge("routes", "Routes that there should be.", len(status.routes))
        yield _gauge("endpoints", "Endpoints that there should be, of all services.", endpoints)
        yield _gauge("problems", "What is skipped or set aside now.", len(status.problems))
        yield _templates(status)
        yield _certificates(status)


def _site(status: Status, now: float) -> Iterator[Metric]:
    states = GaugeMetricFamily("proxyconf_state", "1 for the state that it is in.", labels=["state"])
    for state in _STATES:
        states.add_metric([state], state == status.state)
    yield states
    behind_s = 0.0 if status.behind_since is None else max(0.0, now - status.behind_since)
    yield _gauge(
        "applied_lag_seconds",
        "How long what is served has been behind what it should be; 0: it is not.",
        behind_s,
    )
    yield _gauge("paused", "1 while nothing is applied because a person said so.", status.paused is not None)
    if status.applied:
        yield _gauge("applied_timestamp_seconds", "When nginx last proved what it serves.", status.applied.at)
    if status.nginx.mode != "none":
        yield _gauge("nginx_running", "1 if nginx was last seen to run.", status.nginx.running is True)
        yield _gauge(
            "old_workers",
            "Workers of earlier configurations that still finished what they had, at the last reload.",
            status.nginx.old_workers,
        )
        yield _gauge("old_workers_bytes", "What memory these held.", status.nginx.old_workers_bytes)


def _sources(status: Status, now: float) -> Iterator[Metric]:
    up = GaugeMetricFamily("proxyconf_source_up", "1 while it is watched.", labels=["source"])
    age = GaugeMetricFamily(
        "proxyconf_source_age_seconds",
        "How old what is known of it is: 0 while it is watched, else since it was lost.",
        labels=["source"],
    )
    listed = GaugeMetricFamily(
        "proxyconf_source_listed_timestamp_seconds", "When it last said something new.", labels=["source"]
    )
    entries = GaugeMetricFamily("proxyconf_source_entries", "Its keys or containers.", labels=["source"])
    for source in status.sources:
        name, is_up = [source.name], source.state == "watching"
        up.add_metric(name, is_up)
        age.add_metric(name, 0.0 if is_up else max(0.0, now - source.since))
        entries.add_metric(name, source.entries)
        if source.listed_at is not None:
            listed.add_metric(name, source.listed_at)
    yield from (up, age, listed, entries)


def _templates(status: Status) -> Metric:
    found = GaugeMetricFamily("proxyconf_templates", "Template resources by state.", labels=["state"])
    states = [template.state for template in status.templates]
    for state in _STATES:
        found.add_metric([state], states.count(state))
    return found


def _certificates(status: Status) -> Metric:
    found = GaugeMetricFamily(
        "proxyconf_certificate_expiry_timestamp_seconds", "When a certificate ends.", labels=["name"]
    )
    for certificate in status.certificates:
        found.add_metric([certificate.name], certificate.not_after)
    return found


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"proxyconf_{name}", text, value)
