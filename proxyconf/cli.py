"""The command line: commands, flags and exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxyconf import __version__, confd, controls, init, inspection, report
from proxyconf.flags import (
    FAILED,
    USAGE,
    Commands,
    answer,
    configured,
    guarded,
    located,
    seconds,
    show_diff,
    with_sources,
)
from proxyconf.log import set_up
from proxyconf.status import ask_confirm, ask_health, ask_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.app import Outcome
    from proxyconf.config import Settings
    from proxyconf.flags import Load
    from proxyconf.preview import Preview


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="proxyconf")
def main() -> None:
    r"""Keep nginx in step with etcd, Consul, Docker and files: checked, reloaded, proved live.

    \b
    Examples:
      proxyconf run --docker                       one Docker host, labels on containers
      proxyconf run --etcd http://127.0.0.1:2379   keys in etcd
      proxyconf run -c /etc/proxyconf/proxyconf.toml
      proxyconf status                             what the running one does, and why
      proxyconf confd -watch -node 127.0.0.1:2379  in the place of confd, with its files

    A flag beats the environment (PROXYCONF_NGINX_MODE=include), which beats the file, which beats the
    defaults.
    """
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        click.get_current_context().color = False


@main.command(context_settings={"allow_interspersed_args": False})
@configured
@click.option("--exec", "with_nginx", is_flag=True, help="Start nginx, too, and end it with us. Comes last.")
@click.option(
    "--start-after", metavar="DURATION", help="Start it with what was saved, if a source is silent."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(load: Load, *, with_nginx: bool, command: tuple[str, ...]) -> None:
    r"""Keep nginx in step until SIGTERM or Ctrl-C.

    \b
    Examples:
      proxyconf run -c /etc/proxyconf/proxyconf.toml
      proxyconf run --docker
      proxyconf run --etcd http://127.0.0.1:2379 -s etcd.prefix=/web -s nginx.listen.http=:8080
      proxyconf run --docker --exec
      proxyconf run --docker --exec nginx -c /var/lib/proxyconf/nginx/nginx.conf -g 'daemon off;'

    While no nginx runs on its file, the log names the one command that starts it. With --exec it is started
    by us, once the first configuration is in place, by that command or the given one, which must stay in the
    foreground; it is started again if it ends, and finishes its requests before we end ([exec] in the
    configuration). SIGUSR1 has it open its logs anew. As the first process of a container, we also do
    what is to be done there: pass signals on, and collect orphans.

    Exit codes: 0 told to stop; 1 nginx's program can't be run; 2 a mistake in configuration or use, or the
    state folder is in use, by another proxyconf or by another user than root; that of nginx, where its end
    is to be ours.
    """
    if command and not with_nginx:
        raise click.UsageError(f"{command[0]!r}: not understood (to start nginx: --exec {command[0]} ...)")
    init.step_aside((signal.SIGUSR1,) if with_nginx else ())
    from proxyconf import app  # noqa: PLC0415 - `status` and --help need not load it

    def read() -> Settings:
        return with_sources(load)

    sys.exit(asyncio.run(app.run(read(), read_again=read, command=command if with_nginx else None)))


@main.command()
@configured
@click.option(
    "--timeout", metavar="DURATION", default="30s", show_default=True, help="Give up after so long."
)
def once(load: Load, timeout: str) -> None:
    r"""Bring what the sources say now into nginx, then end.

    \b
    Examples:
      proxyconf once --etcd http://127.0.0.1:2379
      until proxyconf once -c p.toml; do sleep 5; done; nginx -c /var/lib/proxyconf/nginx/nginx.conf

    Exit codes: 0 the configuration is applied, or installed and checked while no nginx runs (problems are
    set aside and shown as warnings); 1 otherwise, or a template resource can't be used, or --timeout passed;
    2 a mistake in configuration or use, or the state folder is in use, as by `run`.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    _end(asyncio.run(app.once(with_sources(load), timeout_s=seconds(timeout))))


def _end(outcome: Outcome) -> None:
    """Say how one run ended, by the exit code, too."""
    line = report.outcome_line(outcome.status, settled=outcome.settled)
    bad = {one.dest for one in outcome.status.templates if one.state in ("refused", "failed")}
    for problem in dict.fromkeys((*outcome.set_aside, *outcome.status.problems)):
        if problem.why not in line:
            _say("error" if problem in outcome.set_aside or problem.where in bad else "warning", problem)
    click.echo(line)
    if not (outcome.settled and report.is_well(outcome.status)) or outcome.set_aside:
        sys.exit(FAILED)


def _say(word: str, *what: object) -> None:
    for one in what:
        click.echo(f"{word}: {one}", err=True)


@main.command()
@configured
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Write to this folder.")
@click.option(
    "--timeout", metavar="DURATION", default="30s", show_default=True, help="Give up after so long."
)
def render(load: Load, out: Path | None, timeout: str) -> None:
    r"""Show the files that would be written now; nothing is changed.

    \b
    Examples:
      proxyconf render --docker | less
      proxyconf render -c proxyconf.toml --out /root/site

    Logins are among them, as their hashes, and what templates take from the store: keep the output to
    yourself. Keys of certificates are left out.

    Exit codes: 0 all files; 1 a template can't be rendered, or its file not be put in place, or a source does
    not answer; 2 a mistake in configuration or use.
    """
    from proxyconf import preview  # noqa: PLC0415 - as in run

    made = asyncio.run(preview.render(with_sources(load, beside=True), timeout_s=seconds(timeout)))
    _say("error", *made.errors)
    _say("warning", *made.warnings)
    if out is None:
        for name, content in made.files.items():
            click.echo(f"# ==> {name}\n{content.decode(errors='replace')}")
    else:
        preview.write(out, made.files)
        click.echo(f"{len(made.files)} files in {out}")
    for draft in made.drafts:
        if attributes := draft.attributes():
            click.echo(attributes, err=True)
    if made.errors:
        sys.exit(FAILED)


@main.command()
@configured
def check(load: Load) -> None:
    r"""Check the configuration, the sources' settings and nginx, without connecting anywhere.

    \b
    Example:
      proxyconf check -c /etc/proxyconf/proxyconf.toml

    Exit codes: 0 all is well; 1 nginx is missing or refuses the file (one of host.d or location.d is
    only a warning, and so is a certificate: it is set aside); 2 a mistake in the configuration.
    """
    _check(with_sources(load, beside=True))


def _check(settings: Settings) -> None:
    """Print what is wrong, all of it, and what is well."""
    from proxyconf import preview  # noqa: PLC0415 - as in run

    found = preview.read(settings)
    _say("error", *found.mistakes)
    _say("warning", *found.warnings)
    if found.mistakes:
        sys.exit(USAGE)
    click.echo(f"configuration: well; sources: {', '.join(found.sources)}")
    if found.templates:
        click.echo(f"templates: {found.templates}")
    if settings.tables.nginx.mode != "none":
        site = asyncio.run(preview.check_site(settings))
        _say("warning", *site.certificates, *site.problems)
        if site.nginx:
            click.echo(f"nginx: {site.nginx}")
        click.echo(f"site: {site.site}")


for command in (inspection.plan, inspection.doctor):
    main.add_command(command)


@main.command()
@located
@click.option("--json", "as_json", is_flag=True, help="Everything, for machines.")
@click.option("--watch", "live", is_flag=True, help="Show it every second, until Ctrl-C.")
def status(load: Load, *, as_json: bool, live: bool) -> None:
    r"""Ask the running proxyconf what it does: sources, routes, problems, what is applied.

    \b
    Examples:
      proxyconf status
      proxyconf status --watch
      proxyconf status --state /srv/proxyconf --json | jq .problems
      HEALTHCHECK CMD ["proxyconf", "status"]     in an image, as in ours

    Exit codes: 0 it runs, whatever there is to say; 1 it does not answer, or the loop that applies changes
    does not move on, so that only a new start may help; 2 a mistake in configuration or use.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    socket = app.socket_path(load())
    if live:
        _watch(socket, as_json=as_json)
        return
    found, health = answer(ask_status(socket)), answer(ask_health(socket))
    click.echo(report.as_json(found) if as_json else report.as_text(found))
    if not health.ok:
        _say("error", *health.reasons)
        sys.exit(FAILED)


def _watch(socket: Path, *, as_json: bool) -> None:
    from proxyconf.watch import watch  # noqa: PLC0415 - as in run

    if as_json:
        raise click.UsageError("--watch is for people, and --json for machines (leave one of them out)")
    if not sys.stdout.isatty():
        raise click.UsageError("--watch: the output is no terminal (leave it out)")
    asyncio.run(watch(socket, coloured=click.get_current_context().color is not False))


@main.command()
@located
def confirm(load: Load) -> None:
    r"""Believe a source that came back with far fewer endpoints than before.

    \b
    Example:
      proxyconf status && proxyconf confirm

    Right after an outage such a listing is held, and what was known before is served: see max_loss in the
    table of the source.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    sources = answer(ask_confirm(app.socket_path(load())))
    click.echo(f"confirmed: {', '.join(sources)}" if sources else "nothing is held")


for command in (controls.explain, controls.history, controls.pause, controls.resume):
    main.add_command(command)


@main.command()
@located
@click.option(
    "--timeout",
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long to wait for a running proxyconf.",
)
def recover(load: Load, timeout: str) -> None:
    r"""Put back files whose check had not ended when proxyconf was killed; for nginx's ExecStartPre.

    \b
    Examples:
      proxyconf recover
      ExecStartPre=/usr/bin/proxyconf recover    in the unit of nginx

    Only a template whose check_cmd has to see its file in place can leave one: nginx -t does not. Where a
    proxyconf runs, its checks are waited for.

    Exit codes: 0 nothing unchecked is in place; 1 otherwise.
    """
    from proxyconf import app  # noqa: PLC0415 - as in run

    files = answer(app.recover(load(), timeout_s=seconds(timeout)))
    for file in files:
        click.echo(f"put back: {file}")
    if not files:
        click.echo("nothing to put back")


def _confd(read: Callable[[], confd.Asked]) -> None:
    """Do what confd's command line asks for."""
    guarded(lambda: _do(read))


def _do(read: Callable[[], confd.Asked]) -> None:
    from proxyconf import app, preview  # noqa: PLC0415 - as in run

    def read_again() -> Settings:
        settings = read().settings
        set_up(settings.tables.log)
        return settings

    asked = read()
    asked.look_for_folder()
    set_up(asked.settings.tables.log)
    if asked.check:
        _check(asked.settings)
    elif asked.noop:
        _show(asyncio.run(preview.render(asked.settings, timeout_s=asked.timeout_s)))
    elif asked.onetime:
        _end(asyncio.run(app.once(asked.settings, timeout_s=asked.timeout_s)))
    else:
        init.step_aside()
        asyncio.run(app.run(asked.settings, read_again=read_again))


def _show(made: Preview) -> None:
    """Print what would change: diffs, modes and owners."""
    _say("error", *made.errors)
    _say("warning", *made.warnings)
    for draft in made.drafts:
        show_diff(draft.diff())
        if attributes := draft.attributes():
            click.echo(attributes)
    click.echo(f"{made.count()}; nothing was written")
    if made.errors:
        sys.exit(FAILED)


main.add_command(confd.make_command(_confd))


def entry() -> None:
    """Be the program that we were called as: ``confd``, where a link of that name leads here."""
    if Path(sys.argv[0]).name == "confd":
        main.commands["confd"].main(prog_name="confd")
    main()
