"""What confd was asked for, as settings of ours."""

from __future__ import annotations

import dataclasses
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxyconf import config
from proxyconf.confd.flags import Kind
from proxyconf.confd.given import Given, Value, from_environment, from_file, from_flags
from proxyconf.confd.stores import HERE, asked_for, source_table
from proxyconf.errors import UsageError
from proxyconf.sources import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_FILE = Path("/etc/confd/confd.toml")
CONFDIR = "/etc/confd"
_LEVELS = {
    "debug": "debug", "info": "info", "warn": "warning", "error": "error", "warning": "warning",
    "panic": "error", "fatal": "error", "trace": "debug",
}  # fmt: skip
_DEBOUNCES_MAX = 10
_ONETIME_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to do.

    Attributes:
        settings: With one source, for templates only.
        onetime: Bring all files in step, then end.
        noop: Write nothing, show a diff.
        check: Read everything, say what is wrong, and end.
        timeout_s: How long `onetime` may take.
    """

    settings: config.Settings
    onetime: bool = False
    noop: bool = False
    check: bool = False
    timeout_s: float = _ONETIME_S

    def look_for_folder(self) -> None:
        """Look whether the folder of resources is there; one that goes later is no order to forget them.

        Raises:
            UsageError: It is not, and is not just the usual one, which nobody has named.
        """
        folder = self.settings.tables.confd.dir
        if str(folder) != CONFDIR and not folder.is_dir():
            raise UsageError(f"-confdir {folder}: no such folder (the one with conf.d and templates in it)")


def read(parameters: Mapping[str, object], word: str, environment: Mapping[str, str]) -> Asked:
    """Return what is asked for.

    Args:
        parameters: What the command line says, by the names of the flags.
        word: The store, where it is named the fork's way.
        environment: Variables.

    Raises:
        UsageError: A mistake; says where it was made.
    """
    flags = from_flags(parameters)
    file, values, warnings = _config_file(flags)
    given = Given(flags, from_environment(environment), values)
    store = asked_for(given, word)
    warnings += _news(given, environment)
    kind, table, more = source_table(store, given, environment)
    overlay = _tables(given, joined=bool(word)) | {kind: table}
    if file:
        overlay["confd"]["files"] = [str(file)]
    settings = config.load(None, kinds=kinds(), environment=environment, flags=overlay)
    preflight = given.switch("preflight")
    return Asked(
        dataclasses.replace(settings, warnings=(*settings.warnings, *warnings, *more)),
        onetime=given.switch("onetime") or preflight,
        noop=given.switch("noop") or preflight,
        check=given.switch("check-config") or given.switch("validate"),
        timeout_s=float(given.duration("backend-timeout") or _ONETIME_S),
    )


def _config_file(flags: Mapping[str, Value]) -> tuple[Path | None, Mapping[str, Value], tuple[str, ...]]:
    """Return confd.toml where it is a resource, too, its values, and warnings."""
    given = Given(flags)
    path = Path(given.text("config-file") or CONFIG_FILE)
    try:
        file = from_file(path)
    except FileNotFoundError:
        missing = (f"-config-file {path}: is not there, so it was passed over",)
        return None, {}, missing if "config-file" in given else ()
    return path if file.resource else None, file.values, file.warnings


def _news(given: Given, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return warnings of what has no effect.

    Raises:
        UsageError: Something was asked for that is not here.
    """
    warnings = []
    for flag, (value, place) in given.items():
        if flag.kind is Kind.SWITCH and not given.switch(flag.name):
            continue
        if flag.store:
            news = f"{place}: is for confd's {flag.store} store, which is not here ({HERE})"
            if place.startswith("-"):
                raise UsageError(news)
            warnings.append(news)
        elif flag.refused and (flag.name != "systemd-notify" or "NOTIFY_SOCKET" in environment):
            raise UsageError(f"{place}: {flag.refused}")
        elif flag.idle and str(value).lower() != flag.usual:
            warnings.append(f"{place}: has no effect: {flag.idle}")
    return tuple(warnings)


def _tables(given: Given, *, joined: bool) -> dict[str, dict[str, Any]]:
    """Return the tables of our configuration, but for the source's."""
    confd: dict[str, Any] = {
        "dir": posixpath.abspath(given.text("confdir") or CONFDIR),
        "prefix": given.text("prefix"),
        "prefix_rule": given.one_of("prefix-rule", {"replace": "replace", "join": "join"})
        or ("join" if joined else "replace"),
        "sync_only": given.switch("sync-only"),
        "keep_stage_file": given.switch("keep-stage-file"),
    }
    for name in ("check-cmd-timeout", "reload-cmd-timeout"):
        if limit := given.duration(name):
            confd[name.replace("-", "_")] = float(limit)
    tables = {"nginx": {"mode": "none"}, "confd": confd, "log": _log(given), "pace": _pace(given)}
    return tables | ({"state": {"dir": state}} if (state := given.text("state")) else {})


def _log(given: Given) -> dict[str, Any]:
    old = {"debug": "debug", "quiet": "error"}  # up to 0.8; -verbose is what we say anyway
    level = given.one_of("log-level", _LEVELS) or next(
        (old[name] for name in old if given.switch(name)), None
    )
    return ({"level": level} if level else {}) | {
        "format": given.one_of("log-format", {"text": "text", "json": "json"}) or "text"
    }


def _pace(given: Given) -> dict[str, Any]:
    """Return how changes are gathered; ours lets a lone change through at once."""
    pace: dict[str, float] = {}
    if quiet_s := given.duration("debounce"):
        pace = {"gather": quiet_s, "quiet": quiet_s, "limit": _DEBOUNCES_MAX * quiet_s}
    if batch_s := given.duration("batch-interval"):
        pace = {"gather": batch_s, "quiet": min(quiet_s or batch_s, batch_s), "limit": batch_s}
    return {key: f"{seconds:f}s" for key, seconds in pace.items()}
