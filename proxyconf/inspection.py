"""The commands that look at everything and change nothing: doctor and plan."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from proxyconf.flags import FAILED, Command, configured

if TYPE_CHECKING:
    from proxyconf.flags import Load


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
    Run it as the same user, and in the same container.

    Exit codes: 0 nothing is wrong (there may be warnings); 1 something is; 2 a mistake in configuration or
    use.
    """
    from proxyconf.doctor import examination, finding  # noqa: PLC0415 - only this command needs them

    made = finding.report(asyncio.run(examination.examine(load())))
    click.echo(finding.as_json(made) if as_json else finding.as_text(made))
    if not made.well:
        sys.exit(FAILED)
