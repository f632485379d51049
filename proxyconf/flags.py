"""What the commands share: the flags that say which configuration is meant, and how a mistake is told."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from proxyconf import config
from proxyconf.config import DEFAULT_CONFIG
from proxyconf.errors import ProxyconfError, StateError, UsageError
from proxyconf.log import set_up
from proxyconf.sources import kinds
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from proxyconf.config import Settings

    Load = Callable[[], Settings]

T = TypeVar("T")

USAGE, FAILED = 2, 1  # exit codes
_SENTENCE = 200  # characters
_LISTED = {"etcd": "endpoints", "consul": "endpoints", "file": "path"}  # flag and table, to the key it sets


class Command(click.Command):
    """Takes the mark that keeps lines as they are, a backspace, from a raw docstring."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the docstring."""
        self.help = (self.help or "").replace("\\b\n", "\b\n")
        super().format_help_text(ctx, formatter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence, for the list of commands; it is wrapped there, and need not be cut."""
        return super().get_short_help_str(max(limit, _SENTENCE))


class Commands(Command, click.Group):
    """Keeps the commands in the order they are written in: the common ones first."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        del ctx
        return list(self.commands)


def configured(command: Callable[..., None], *, only: Sequence[str] | None = None) -> Callable[..., None]:
    """Give a command the flags that say which configuration it is about.

    Args:
        command: It.
        only: The tables of the file that it needs; None for all.
    """

    @click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="PROXYCONF_CONFIG",
        help=f"The configuration file. Default: {DEFAULT_CONFIG}, if no source is given by a flag.",
    )
    @click.option("--docker", is_flag=True, help="Follow the Docker engine of DOCKER_HOST, or of this host.")
    @click.option("--etcd", multiple=True, metavar="URL", help="Follow an etcd; again for each member.")
    @click.option("--consul", multiple=True, metavar="URL", help="Follow a Consul; again for each server.")
    @click.option("--file", multiple=True, metavar="PATH", help="Follow a file or a folder; again for more.")
    @click.option("--state", metavar="DIR", help="State folder. Default: /var/lib/proxyconf")
    @click.option(
        "-s",
        "--set",
        "sets",
        multiple=True,
        metavar="TABLE.KEY=VALUE",
        help="Any setting of the file, for example: -s nginx.listen.http=127.0.0.1:8080",
    )
    @functools.wraps(command)
    def with_settings(
        *, path: Path | None, docker: bool, state: str | None, sets: tuple[str, ...],
        **rest: Any,  # noqa: ANN401 - the other sources, and the command's own flags
    ) -> None:  # fmt: skip
        flags: dict[str, Any] = {}
        if docker:
            # its default; an empty table would vanish beside [docker.NAME]
            flags["docker"] = {"required": True}
        for kind, key in _LISTED.items():
            if given := rest.pop(kind):
                flags[kind] = {key: list(given)}
        named = bool(flags)
        if state:
            flags["state"] = {"dir": state}
        if start_after := rest.pop("start_after", None):  # of run alone
            flags["exec"] = {"start_after": start_after}
        for text in sets:
            config.lay_over(flags, _setting(text))
        guarded(lambda: command(lambda: _load(path, flags, named=named, only=only), **rest))

    return with_settings


def located(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the same flags, to find the program that runs: it may have a mistake in its file."""
    return configured(command, only=("state", "status", "log"))


def _setting(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise click.BadParameter(f"{text!r} (write TABLE.KEY=VALUE)", param_hint="--set")
    return config.nested(name.strip().split("."), config.scalar(value.strip()))


def _load(path: Path | None, flags: dict[str, Any], *, named: bool, only: Sequence[str] | None) -> Settings:
    """Read the settings; *named*: a flag names a source, so that the default file is not meant."""
    if path is None and not named and DEFAULT_CONFIG.exists():
        path = DEFAULT_CONFIG
    read = functools.partial(config.load, kinds=kinds(), environment=os.environ, flags=flags, only=only)
    try:
        settings = read(path)
    except UsageError as exc:
        if not (only and path):
            raise
        if "state" not in flags:
            raise UsageError(f"{exc} (or give the state folder of the one that runs: --state DIR)") from exc
        settings = read(None)
    set_up(settings.tables.log)
    return settings


def guarded(command: Callable[[], None]) -> None:
    """Run *command*; an expected failure is one line on standard error and an exit code."""
    try:
        command()
    except ProxyconfError as exc:
        click.echo(f"proxyconf: {exc}", err=True)
        sys.exit(USAGE if isinstance(exc, (UsageError, StateError)) else FAILED)


def with_sources(load: Load, *, beside: bool = False) -> Settings:
    """Read settings that have a source.

    Args:
        load: Reads them.
        beside: Another proxyconf may run with the same ones, and is asked.

    Raises:
        UsageError: They have none, or a mistake.
    """
    settings = load()
    if not settings.sources:
        from proxyconf import app, design  # noqa: PLC0415 - `status` and --help need not load it

        raise UsageError(design.no_source(settings, asyncio.run(app.running(settings)) if beside else None))
    return settings


def answer(question: Coroutine[Any, Any, T]) -> T:
    """Return what the program that runs answers; where it does not, say so, and exit with 1."""
    try:
        return asyncio.run(question)
    except StateError as exc:
        click.echo(f"proxyconf: {exc}", err=True)
        sys.exit(FAILED)


def show_diff(lines: Iterable[str]) -> None:
    """Print a unified diff, in colours where that is wanted."""
    for line in lines:
        click.secho(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))


def seconds(text: str) -> float:
    """Read what was given with --timeout; raise BadParameter where it is no duration."""
    try:
        return float(Seconds.parse(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--timeout") from None
