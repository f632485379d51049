"""The command line: commands, flags and exit codes."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from proxyconf import __version__, config, report
from proxyconf.errors import ProxyconfError, StateError, UsageError
from proxyconf.log import set_up
from proxyconf.sources import kinds
from proxyconf.status import ask_confirm, ask_status
from proxyconf.units import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxyconf.config import Settings

DEFAULT_CONFIG = Path("/etc/proxyconf/proxyconf.toml")
_USAGE, _FAILED = 2, 1

T = TypeVar("T")


class _Command(click.Command):
    """Takes the mark that keeps lines as they are, a backspace, from a raw docstring."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.help = (self.help or "").replace("\\b\n", "\b\n")
        super().format_help_text(ctx, formatter)


class _Commands(_Command, click.Group):
    """Keeps the commands in the order they are written in: the common ones first."""

    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="proxyconf")
def main() -> None:
    r"""Keep nginx's configuration in step with etcd, Docker and files: checked, reloaded, proved live.

    \b
    Examples:
      proxyconf run --docker                       one Docker host, labels on containers
      proxyconf run --etcd http://127.0.0.1:2379   keys in etcd
      proxyconf run -c /etc/proxyconf/proxyconf.toml
      proxyconf status                             what the running one does, and why

    A flag beats the environment (PROXYCONF_NGINX_MODE=include), which beats the file, which beats the
    defaults.
    """


def _configured(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that say which configuration it is about."""

    @click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="PROXYCONF_CONFIG",
        help=f"The configuration file. Default: {DEFAULT_CONFIG}, if no source is given by a flag.",
    )
    @click.option("--docker", is_flag=True, help="Follow the Docker engine of DOCKER_HOST, or of this host.")
    @click.option(
        "--etcd", "etcd", multiple=True, metavar="URL", help="Follow an etcd; again for each member."
    )
    @click.option("--file", "file", metavar="PATH", help="Follow a TOML file, or a folder of them.")
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
        *, path: Path | None, docker: bool, etcd: tuple[str, ...], file: str | None, state: str | None,
        sets: tuple[str, ...], **rest: Any,  # noqa: ANN401 - the command's own flags
    ) -> None:  # fmt: skip
        flags: dict[str, Any] = {}
        if docker:
            flags["docker"] = {
                "required": True
            }  # its default; an empty table would vanish beside [docker.NAME]
        if etcd:
            flags["etcd"] = {"endpoints": list(etcd)}
        if file:
            flags["file"] = {"path": file}
        if state:
            flags["state"] = {"dir": state}
        named = bool(docker or etcd or file)
        for text in sets:
            config.lay_over(flags, _setting(text))
        _guarded(lambda: command(_load(path, flags, named=named), **rest))

    return with_settings


def _setting(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise click.BadParameter(f"{text!r} (write TABLE.KEY=VALUE)", param_hint="--set")
    return config.nested(name.strip().split("."), config.scalar(value.strip()))


def _load(path: Path | None, flags: dict[str, Any], *, named: bool) -> Settings:
    """Read the settings; *named*: a flag names a source, so that the default file is not meant."""
    if path is None and not named and DEFAULT_CONFIG.exists():
        path = DEFAULT_CONFIG
    settings = config.load(path, kinds=kinds(), environment=os.environ, flags=flags)
    set_up(settings.tables.log)
    return settings


def _guarded(command: Callable[[], None]) -> None:
    """Run *command*; an expected failure is one line on standard error and an exit code."""
    try:
        command()
    except ProxyconfError as exc:
        click.echo(f"proxyconf: {exc}", err=True)
        sys.exit(_USAGE if isinstance(exc, (UsageError, StateError)) else _FAILED)


def _need_sources(settings: Settings) -> None:
    if not settings.sources:
        raise UsageError(
            "no source to follow (give --docker, --etcd URL or --file PATH, or a configuration file with"
            f" -c; {DEFAULT_CONFIG} does not exist)"
        )


@main.command()
@_configured
def run(settings: Settings) -> None:
    r"""Keep nginx in step until SIGTERM or Ctrl-C.

    \b
    Examples:
      proxyconf run -c /etc/proxyconf/proxyconf.toml
      proxyconf run --docker
      proxyconf run --etcd http://127.0.0.1:2379 -s etcd.prefix=/web -s nginx.listen.http=:8080

    While no nginx runs on its file, the log names the one command that starts it.

    Exit codes: 0 told to stop; 1 nginx's program can't be run; 2 a mistake in configuration or use, or
    another proxyconf uses the state folder.
    """
    from proxyconf import app  # noqa: PLC0415 - `status` and --help need not load it

    _need_sources(settings)
    asyncio.run(app.run(settings))


@main.command()
@_configured
@click.option("--timeout", default="30s", show_default=True, help="Give up after so long.")
def once(settings: Settings, timeout: str) -> None:
    r"""Bring what the sources say now into nginx, then end.

    \b
    Examples:
      proxyconf once --etcd http://127.0.0.1:2379
      until proxyconf once -c p.toml; do sleep 5; done; nginx -c /var/lib/proxyconf/nginx/nginx.conf

    Exit codes: 0 the configuration is applied, or installed and checked while no nginx runs (problems are
    set aside and shown as warnings); 1 otherwise, or --timeout passed; 2 a mistake in configuration or use.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    _need_sources(settings)
    outcome = asyncio.run(app.once(settings, timeout_s=_seconds(timeout)))
    for problem in outcome.status.problems:
        click.echo(f"warning: {problem}", err=True)
    click.echo(report.outcome_line(outcome.status, settled=outcome.settled))
    if not (outcome.settled and outcome.status.state in ("applied", "installed")):
        sys.exit(_FAILED)


@main.command()
@_configured
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Write to this folder.")
@click.option("--timeout", default="30s", show_default=True, help="Give up after so long.")
def render(settings: Settings, out: Path | None, timeout: str) -> None:
    r"""Show the files that would be written now; nothing is changed.

    \b
    Examples:
      proxyconf render --docker | less
      proxyconf render -c proxyconf.toml --out /tmp/site
    """
    from proxyconf import preview  # noqa: PLC0415 - as in run

    _need_sources(settings)
    files, problems = asyncio.run(preview.render(settings, timeout_s=_seconds(timeout)))
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    if out is None:
        for name, content in files.items():
            click.echo(f"# ==> {name}\n{content.decode()}")
        return
    preview.write(out, files)
    click.echo(f"{len(files)} files in {out}")


@main.command()
@_configured
def check(settings: Settings) -> None:
    r"""Check the configuration, the sources' settings and nginx, without connecting anywhere.

    \b
    Example:
      proxyconf check -c /etc/proxyconf/proxyconf.toml

    Exit codes: 0 all is well; 1 nginx is missing or refuses the file; 2 a mistake in the configuration.
    """
    from proxyconf import preview  # noqa: PLC0415 - as in run

    _need_sources(settings)
    for line in asyncio.run(preview.check(settings)):
        click.echo(line)


@main.command()
@_configured
@click.option("--json", "as_json", is_flag=True, help="Everything, for machines.")
def status(settings: Settings, *, as_json: bool) -> None:
    r"""Ask the running proxyconf what it does: sources, routes, problems, what is applied.

    \b
    Examples:
      proxyconf status
      proxyconf status --state /srv/proxyconf --json | jq .problems
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    found = _answer(ask_status(app.socket_path(settings)))
    click.echo(report.as_json(found) if as_json else report.as_text(found))


@main.command()
@_configured
def confirm(settings: Settings) -> None:
    r"""Believe a source that came back with far fewer endpoints than before.

    \b
    Example:
      proxyconf status && proxyconf confirm

    Right after an outage such a listing is held, and what was known before is served: see max_loss in the
    table of the source.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    sources = _answer(ask_confirm(app.socket_path(settings)))
    click.echo(f"confirmed: {', '.join(sources)}" if sources else "nothing is held")


def _answer(question: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(question)
    except StateError as exc:
        click.echo(f"proxyconf: {exc}", err=True)
        sys.exit(_FAILED)


def _seconds(text: str) -> float:
    try:
        return float(Seconds.parse(text))
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--timeout") from None
