"""A container with both labels of ours and nginx-proxy's variables: what they ask for together. Pure.

Nothing that labels say may be lost on the way, for it may be what keeps strangers out: labels that name no
host complete the variables, and where one of them can't be read, the variables route nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxyconf.model import Problem
from proxyconf.options import NONE, Options
from proxyconf.routing import nginx_proxy_settings as settings
from proxyconf.routing.asked import OptionError, options_of
from proxyconf.routing.labels import OF_THE_ENDPOINT, LabelError, Wish, Wishes, not_routed, refuse_backup
from proxyconf.routing.labels import PREFIX as OURS
from proxyconf.routing.nginx_proxy import MULTIPORTS, VariableWish
from proxyconf.routing.nginx_proxy_settings import PREFIX
from proxyconf.routing.offered import OPTIONS, PROTECTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# what keeps strangers out: the setting, our own option for it, an example of that, and what is asked for
_CLOSING: tuple[tuple[str, str, str, Callable[[Options], object]], ...] = (
    ("variable NETWORK_ACCESS", "allow", ",".join(settings.INTERNAL), lambda asked: asked.location.allow),
    (f"label {PREFIX}ssl_verify_client", "verify_client", "on", lambda asked: asked.host.verify_client),
)


def beside(container: str, labels: Wishes, variables: Wishes) -> Wishes:
    """Return what both ask for; of a host and path that both claim, our own labels say all.

    Labels of ours that name no host complete the variables' routes. Where one is bad, these are left out: it
    may be what protects them.

    Args:
        container: The name of the one that has both.
        labels: What our own ask for.
        variables: What `read_variables` returned.
    """
    faulty = list(labels.faulty)
    problems = [*labels.problems, *variables.problems]
    rest = _unclaimed(labels.wishes, variables.wishes)
    try:
        completed = [_completed(wish, labels.completing) for wish in rest]
    except LabelError as exc:
        problems.append(Problem("container", f"{container} label {exc.label}", str(exc)))
        faulty.append(exc.label)
    if faulty and rest:
        completed = []
        variable = rest[0].setting("host")
        why = not_routed(faulty)
        mend = f"mend it, or set {OURS}host in place of the {variable}"
        problems.append(Problem("container", f"{container} {variable}", f"{why} ({mend})"))
    problems += _opened(container, labels.wishes, variables.wishes)
    problems += _unprotected(container, labels.wishes, variables.wishes, completed)
    return Wishes((*labels.wishes, *completed), tuple(problems))


def _unclaimed(labels: Iterable[Wish], variables: Iterable[Wish]) -> list[Wish]:
    """Return what of *variables* the *labels* do not claim."""
    claimed = {(host, wish.path) for wish in labels for host in wish.hosts}
    return [
        replace(wish, hosts=hosts)
        for wish in variables
        if (hosts := tuple(host for host in wish.hosts if (host, wish.path) not in claimed))
    ]


def _completed(wish: Wish, said: Mapping[str, Any]) -> Wish:
    """Return what a variable asks for, with what our labels have *said* of it, which counts before it.

    Raises:
        LabelError: They contradict each other, or it.
    """
    if not said or not isinstance(wish, VariableWish):
        return wish
    if "path" in said:
        why = f"has no effect without a host (set {OURS}host in place of {wish.variable}, or VIRTUAL_PATH)"
        raise LabelError(f"{OURS}path", why)
    of_endpoint = {name: said[name] for name in said.keys() & OF_THE_ENDPOINT}
    if wish.variable == MULTIPORTS and wish.port:
        of_endpoint.pop("port", None)  # one port for several that are told apart can't be meant
    options = {name: said[name] for name in said.keys() & OPTIONS.keys()}
    try:
        merged = _merged(wish, options) if options else wish.options
    except OptionError as exc:
        raise LabelError(wish.label(exc.option), str(exc)) from exc
    found = replace(wish, **of_endpoint, options=merged, has_label_port="port" in of_endpoint)
    refuse_backup(found)
    return found


def _merged(wish: Wish, said: Mapping[str, Any]) -> Options:
    """Return the options of *wish* with those that our labels have *said* in their place.

    Raises:
        OptionError: They contradict each other.
    """
    theirs = wish.options
    protocol = said.get("proto", theirs.service.protocol)
    ours = options_of({**said, "proto": protocol}, wish.path, spell=wish.label)
    location, service, host = (
        {
            OPTIONS[name].field: getattr(part, OPTIONS[name].field)
            for name in said
            if OPTIONS[name].of == of and name != "rate_burst"  # which is a part of the rate
        }
        for of, part in (("location", ours.location), ("service", ours.service), ("host", ours.host))
    )
    if "redirect" in said:
        if theirs.location.allow:
            raise OptionError("redirect", "leaves NETWORK_ACCESS without effect (delete one of them)")
        location["replace"] = ""  # a redirect keeps the request's path
    if protocol != "fastcgi":
        service["root"] = ""
    found = Options(
        replace(theirs.location, **location),
        replace(theirs.service, **service),
        replace(theirs.host, **host),
    )
    return NONE if found == NONE else found


def _unprotected(
    container: str, labels: Iterable[Wish], variables: Iterable[Wish], routed: Iterable[Wish]
) -> Iterator[Problem]:
    """Yield the hosts *routed* by variables that our *labels* do not name, nor protect as those they name."""
    named = {host for own in labels for host in own.hosts}
    theirs = {host for wish in variables for host in wish.hosts}
    for own in labels:
        # a NAME is a route of its own, but where its host stands among those of the variable
        if own.hosts and (not own.name or theirs.intersection(own.hosts)):
            for wish in routed:
                hosts = [host for host in wish.hosts if host not in named]
                missing = [
                    option
                    for option in PROTECTING
                    if _said(own.options, option) and not _said(wish.options, option)
                ]
                if hosts and missing:
                    yield Problem("container", container, _lacks(wish, hosts, missing, own.label("host")))


def _said(options: Options, option: str) -> object:
    """Return what *options* have of one."""
    return getattr(getattr(options, OPTIONS[option].of), OPTIONS[option].field)


def _lacks(wish: Wish, hosts: Sequence[str], options: Sequence[str], label: str) -> str:
    """Say that *hosts* have not the *options* that those of our *label* have."""
    variable = wish.setting("host").removeprefix("variable ")
    are, it = ("are", "them") if len(hosts) > 1 else ("is", "it")
    why = f"{', '.join(hosts)} {are} routed by {variable}, without the {' and '.join(options)} of {label}"
    return f"{why} (name {it} in {label}, or take {it} out of {variable})"


def _opened(container: str, labels: Iterable[Wish], variables: Iterable[Wish]) -> Iterator[Problem]:
    """Yield what of *variables* kept strangers out, and is not said by the *labels* in their place."""
    for setting, option, example, asked_of in _CLOSING:
        closing = [wish for wish in variables if asked_of(wish.options)]
        for own in labels:
            hosts = {host for wish in closing if wish.path == own.path for host in wish.hosts}
            if (claimed := hosts.intersection(own.hosts)) and asked_of(own.options) in ((), None):
                routes = ", ".join(f"{host}{own.path}" for host in sorted(claimed))
                why = (
                    f"does not count for {routes}, of which {own.setting('host')} and those beside it say all"
                )
                mend = f"set the label {own.label(option)}, for example to {example}, or delete this"
                yield Problem("container", f"{container} {setting}", f"{why} ({mend})")
