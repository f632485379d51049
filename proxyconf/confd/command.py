"""confd's command line, as a command of click."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from proxyconf import __version__
from proxyconf.confd import asked
from proxyconf.confd.flags import (
    FLAGS,
    IDLE_FLAGS,
    LOG_FLAGS,
    PLACE_FLAGS,
    RUN_FLAGS,
    STORE_FLAGS,
    STORES_ELSEWHERE,
    Flag,
    Kind,
)
from proxyconf.confd.given import canonical
from proxyconf.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxyconf.confd.asked import Asked

_HELP = """\
Do what confd did, with the same files and flags: template resources of etcd, consul and files.

\b
Examples:
  proxyconf confd -watch -backend consul -node 127.0.0.1:8500 -prefix /prod
  confd -onetime -backend etcd -node 10.0.0.1:2379
  confd etcd --node http://10.0.0.1:2379 --watch       the fork's way
  confd -onetime -noop                                 show what would change
  until confd -onetime -config-file /etc/confd/conf.d/nginx.toml; do sleep 5; done

A link named confd that leads to proxyconf takes the place of confd.

Flags may be written -x v, -x=v, --x v and --x=v; a switch -x or -x=false. A flag beats the environment,
which beats confd.toml. Templates are in Jinja2's syntax: see docs/from-confd.md.

With -onetime, exit code 0: all files are as they should be, checked and reloaded, or there is no nginx yet
to reload; 1: something was set aside or failed; 2: a mistake in flags or configuration.
"""
_SECTIONS = {
    "The store": STORE_FLAGS,
    "Files and keys": PLACE_FLAGS,
    "What is done, and when": RUN_FLAGS,
    "What is said": LOG_FLAGS,
}


class _Confd(click.Command):
    """Takes flags however they are spelt, and shows them by what they are for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, canonical(args))
        except UsageError as exc:
            raise click.UsageError(str(exc), ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, flags in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([_shown(flag) for flag in flags])
        with formatter.section("Taken, without effect"):
            formatter.write_dl([(f"-{flag.name}", flag.idle) for flag in IDLE_FLAGS])
        with formatter.section("Not here"):
            formatter.write_text(f"The stores {', '.join(STORES_ELSEWHERE)}, and their flags.")


def make_command(run: Callable[[Callable[[], Asked]], None]) -> click.Command:
    """Return the command ``confd``.

    Args:
        run: Is called with a function that reads what is asked for: at once, and again after a SIGHUP, for
            confd.toml may have changed. It raises UsageError.
    """

    def callback(words: tuple[str, ...], **parameters: object) -> None:
        run(lambda: _read(words, parameters, os.environ))

    return _make(callback)


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Asked:
    """Return what *arguments* ask for; for help, or the version, show it and end as click does.

    Raises:
        UsageError: A mistake; says where it was made.
    """
    try:
        parameters: dict[str, Any] = _make(None).make_context("confd", list(arguments)).params
    except click.UsageError as exc:
        raise UsageError(exc.format_message()) from exc
    return _read(parameters.pop("words"), parameters, environment)


def _make(callback: Callable[..., None] | None) -> click.Command:
    command = _Confd(
        "confd",
        callback=callback,
        help=_HELP,
        short_help="Do what confd did, with the same files and flags.",
        options_metavar="[FLAGS]",
        params=[click.Argument(["words"], nargs=-1, metavar="[STORE]"), *map(_option, FLAGS)],
        context_settings={"help_option_names": ["--h", "--help"], "max_content_width": 100},
    )
    message = f"confd: proxyconf {__version__}"
    return click.version_option(__version__, "--version", message=message)(command)


def _option(flag: Flag) -> click.Option:
    parameter = flag.name.replace("-", "_")
    if flag.kind is Kind.SWITCH:
        return click.Option([parameter, f"--{flag.name}/--no-{flag.name}"], default=None)
    return click.Option([parameter, f"--{flag.name}"], multiple=flag.kind is Kind.LIST)


def _shown(flag: Flag) -> tuple[str, str]:
    name = f"-{flag.name} {flag.metavar}".rstrip()
    return name, f"{flag.help} (proxyconf's own)" if flag.ours else flag.help


def _read(words: tuple[str, ...], parameters: Mapping[str, object], environment: Mapping[str, str]) -> Asked:
    if len(words) > 1:
        raise UsageError(
            f"{' '.join(words)}: more than one store (a switch takes its value with =: -noop=true)"
        )
    given = {name.replace("_", "-"): value for name, value in parameters.items() if value != ()}
    return asked.read(given, "".join(words), environment)
