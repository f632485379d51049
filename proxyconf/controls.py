"""The commands that steer the program that runs, and show what it did: pause, resume, history, explain."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from proxyconf import report
from proxyconf.errors import StateError
from proxyconf.flags import FAILED, Command, answer, located
from proxyconf.state import State
from proxyconf.status import ask_explain, ask_history, ask_pause, ask_resume

if TYPE_CHECKING:
    from proxyconf.api import Pause
    from proxyconf.config import Settings
    from proxyconf.flags import Load


@click.command(cls=Command)
@located
@click.option("--because", default="", metavar="TEXT", help="Why, for those who see that it is paused.")
def pause(load: Load, because: str) -> None:
    r"""Apply nothing until `resume`: no file is written, and nothing checked or reloaded.

    \b
    Examples:
      proxyconf pause
      proxyconf pause --because "moving the database until noon"
      proxyconf plan --docker             what waits, as a diff (with the flags that run was given)
      proxyconf resume                    all of it is applied at once

    nginx serves on with what it has: for as long as its endpoints stay where they are, nobody notices. What
    is under way is waited for. The sources go on being followed, and status says since when, why, and what
    waits. A pause lasts until it is ended, also across a new start of proxyconf, and `once` does nothing
    meanwhile: who has paused it wants that.

    Exit codes: 0 it is paused, maybe it was already; 1 no proxyconf runs, or it can't note the pause; 2 a
    mistake in configuration or use.
    """
    from proxyconf import app  # noqa: PLC0415 - --help need not load it

    settings = load()
    before = State(app.state_path(settings)).load_pause()
    now = answer(ask_pause(app.socket_path(settings), because))
    if before:
        click.echo(f"already {report.pause_line(now, time.time())}")
    else:
        click.echo("paused: nothing is applied until proxyconf resume")


@click.command(cls=Command)
@located
def resume(load: Load) -> None:
    r"""End a pause: what has come meanwhile is applied at once.

    \b
    Example:
      proxyconf resume

    Where no proxyconf runs, the next one will apply again.
    """
    ended = answer(_resume(load()))
    if ended is None:
        click.echo("nothing was paused")
        return
    reason = f" ({ended.reason})" if ended.reason else ""
    click.echo(f"resumed after {report.age(time.time() - ended.since)}{reason}")


async def _resume(settings: Settings) -> Pause | None:
    from proxyconf import app  # noqa: PLC0415 - as above

    state = State(app.state_path(settings))
    noted = state.load_pause()
    try:
        return await ask_resume(app.socket_path(settings))
    except StateError:
        if noted is None:
            raise
    with state.locked():  # it may run all the same, and not answer
        state.end_pause()
    return noted


@click.command(cls=Command)
@located
@click.argument("what")
@click.option("--json", "as_json", is_flag=True, help="The same, for machines.")
def explain(load: Load, what: str, *, as_json: bool) -> None:
    r"""Say why a host, a container or a key is served, or is not.

    \b
    Examples:
      proxyconf explain app.example.com/api
      proxyconf explain my-container
      proxyconf explain services/web/1
      proxyconf explain services/web
      proxyconf explain /etc/app/app.conf

    WHAT is a host with or without a path, a container's name or the beginning of its id, a key, a service,
    a template's file, or a place as a problem names it ("etcd key '…'"). The answer goes from what a source
    said, and when, to the part of the configuration that nginx has proved: address and port and why those,
    options, health, rivals; or the reason why not, and the mend.

    Exit codes: 0 it is served (a host without a path: at one of its paths); 1 it is not, or nothing
    answers; 2 it is no question.
    """
    from proxyconf import app  # noqa: PLC0415 - as above

    found = answer(ask_explain(app.socket_path(load()), what))
    click.echo(report.as_json(found) if as_json else report.explanation_as_text(found))
    if not found.is_served:
        sys.exit(FAILED)


@click.command(cls=Command)
@located
@click.option("-n", "--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Everything of these, for machines.")
def history(load: Load, last: int, *, as_json: bool) -> None:
    r"""Show what was applied, the newest last: what caused it, what it changed, how long each step took.

    \b
    Examples:
      proxyconf history
      proxyconf history -n 100 --json | jq '.[] | select(.result != "applied")'

    The running proxyconf remembers the last hundred attempts that changed something; the log has all.
    """
    from proxyconf import app  # noqa: PLC0415 - as above

    found = answer(ask_history(app.socket_path(load())))[-last:]
    click.echo(report.as_json(found) if as_json else report.history_as_text(found))
