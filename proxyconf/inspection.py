"""The commands that look at everything and change nothing: doctor and plan."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from proxyconf.errors import ProxyconfError
from proxyconf.flags import FAILED, Command, configured, seconds, show_diff, with_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.difference import Difference
    from proxyconf.flags import Load


_CHANGES = 2  # exit code


@click.command(cls=Command)
@configured
@click.option("--json", "as_json", is_flag=True, help="Everything, for machines.")
def doctor(load: Load, *, as_json: bool) -> None:
    r"""Look for what is wrong with the set-up, and say how to mend it; nothing is changed.

    \b
    Examples:
      proxyconf doctor -c /etc/proxyconf/proxyconf.toml
      proxyconf doctor --docker --json | jq '.findings[] | select(.level != "ok")'

    It looks at nginx, the sources, the state folder, certificates and ports, whether a proxyconf runs or not.
    Run it as the same user, in the same container, and with the flags of the one that runs.

    Exit codes: 0 nothing is wrong (there may be warnings); 1 something is; 2 a mistake in configuration or
    use.
    """
    from proxyconf.doctor import examination, finding  # noqa: PLC0415 - only this command needs them

    made = finding.report(asyncio.run(examination.examine(load())))
    click.echo(finding.as_json(made) if as_json else finding.as_text(made))
    if not made.well:
        sys.exit(FAILED)


@contextmanager
def _as_failures() -> Iterator[None]:
    """Let a mistake in use end with 1, too."""
    try:
        yield
    except click.ClickException as exc:
        exc.show()
        sys.exit(FAILED)


class _Plan(Command):
    """Ends with 2 for nothing but a change."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:  # noqa: ANN401 - as click has them
        """Read the command line."""
        with _as_failures():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        """Do it."""
        with _as_failures():
            return super().invoke(ctx)


@click.command(cls=_Plan)
@configured
@click.option(
    "--timeout", metavar="DURATION", default="30s", show_default=True, help="Give up after so long."
)
def plan(load: Load, timeout: str) -> None:
    r"""Show what would change if what the sources say were applied now; nothing is changed.

    \b
    Examples:
      proxyconf plan -c /etc/proxyconf/proxyconf.toml | less
      proxyconf plan --docker || proxyconf once --docker

    A unified diff of what is in place and what would be: the main file, each host and service, and templates.
    What is set aside is told, too. Certificates and logins are named, and not shown. Beside a proxyconf that
    runs, give the flags that it was given.

    Exit codes: 0 nothing would change; 1 a source does not answer, a template can't be rendered, or there is
    a mistake in configuration or use; 2 something would change.
    """
    from proxyconf.difference import difference  # noqa: PLC0415 - only this command needs it

    try:
        found = asyncio.run(difference(with_sources(load, beside=True), timeout_s=seconds(timeout)))
    except ProxyconfError as exc:
        click.echo(f"proxyconf: {exc}", err=True)
        sys.exit(FAILED)
    _show(found)
    if found.preview.errors:
        sys.exit(FAILED)
    if found.changes:
        sys.exit(_CHANGES)


def _show(found: Difference) -> None:
    for problem in found.preview.errors:
        click.echo(f"error: {problem}", err=True)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    show_diff(found.lines())
    files = "1 file" if found.changes == 1 else f"{found.changes or 'no'} files"
    click.echo(f"{files} would change")
