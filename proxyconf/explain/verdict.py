"""Whether a route is served, in a line.

What nginx has proved is judged, not what it should have; what it lacks of that is added.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.answers import closes
from proxyconf.explain.words import bad_keys, containers_of, held_note, moment, problems_at
from proxyconf.verdicts import LAST_GOOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxyconf.explain.answer import Known
    from proxyconf.model import Endpoint, Route, Snapshot
    from proxyconf.nginx.part import Part


class Verdict(NamedTuple):
    """How it stands with a route.

    Attributes:
        is_served: nginx does with its requests what was asked for; a maintenance is no service.
        passes_on: They get to its service.
        says: So, or why not.
    """

    is_served: bool
    passes_on: bool
    says: str


def judged(route: Route, known: Known) -> Verdict:
    """Tell whether *route* is served, and say so."""
    verdict = _judged(route, known)
    return verdict._replace(says=verdict.says + held_note(route.claim, known))


def claimed(route: Route, known: Known) -> Verdict:
    """Judge a *route* that is asked for, and may be another one's."""
    winner = next((one for one in known.snapshot.routes if one.claim == route.claim), None)
    if winner and winner.service == route.service:
        return judged(winner, known)
    return _not(f"{route.claim} is another one's: {winner.where if winner else 'nobody knows whose'}")


def _judged(route: Route, known: Known) -> Verdict:
    found, part = known.since.route(route.claim), known.part_of("host", route.host)
    if part is None:
        return _unproved(route, known)
    if found is None:
        # what this run has proved is all that nginx has: a route that is not in it was never there
        return _unproved(route, known) if known.since.snapshot.routes else _of_earlier_run(route, part, known)
    served, since = found
    verdict = _of_served(served, since, part, known)
    elsewhere = "" if served.service == route.service else f", by service {served.service!r}"
    return verdict._replace(says=f"{verdict.says}{elsewhere}{_behind(route, served, known)}")


def of_removed(route: Route, known: Known) -> Verdict:
    """Judge a *route* that nginx serves, and that nobody asks for any more."""
    found, part = known.since.route(route.claim), known.part_of("host", route.host)
    if found is None or part is None:
        return _unproved(route, known)
    verdict = _of_served(*found, part, known)
    return verdict._replace(says=f"{verdict.says}; its removal is not in effect: {so_far(known)}")


def _not(says: str) -> Verdict:
    return Verdict(is_served=False, passes_on=False, says=says)


def _unproved(route: Route, known: Known) -> Verdict:
    return _not(f"{route.claim} is not served: {why_unproved(route.host, known)}")


def so_far(known: Known) -> str:
    """Return the state, and the reason for it, if there is one."""
    return ": ".join(filter(None, (known.status.state, known.status.reason)))


def why_unproved(host: str, known: Known) -> str:
    """Return why nginx has not proved anything of a *host*."""
    status = known.status
    if status.nginx.mode == "none":
        return "mode is none in [nginx], so that only templates are told of it"
    if status.nginx.running is False:
        why = so_far(known) if status.state == "installed" else "no nginx runs"
        return why if status.child else f"{why} (start it with: {status.nginx.start})"
    if aside := problems_at(host, status.problems, what="host"):
        return aside[0].why
    return f"{status.state}: {status.reason or 'nginx has not proved it yet'}"


def earlier_serves(known: Known) -> bool:
    """Tell whether nginx serves what was proved before: it runs, and to prove it anew has not failed."""
    return known.status.nginx.running is True and known.status.state != "failed"


def _of_earlier_run(route: Route, part: Part, known: Known) -> Verdict:
    """Judge a *route* of which this run has proved nothing: an earlier one may have."""
    if known.status.nginx.running is not True or route.service not in part.needs:
        return _unproved(route, known)
    if not earlier_serves(known):
        return _not(f"{route.claim} is not known to be served: {so_far(known)}")
    behind = "" if known.status.state == "applied" else f"; what is new is not in effect: {so_far(known)}"
    says = f"{route.claim} is served as it was proved before{behind}"
    return Verdict(is_served=True, passes_on=True, says=says)


def _of_served(route: Route, since: float, part: Part, known: Known) -> Verdict:
    """Judge what nginx serves."""
    location = route.options.location
    if why := _why_closed(route, part, known):
        return _not(f"{route.claim} is not served: {why}")
    if location.maintenance:
        return _not(f"{route.claim} answers 503, for maintenance, as was asked for")
    if location.redirect:
        target = location.redirect.removeprefix("//")
        says = f"{route.claim} is served, since {moment(since)}: by a redirect to {target}"
        return Verdict(is_served=True, passes_on=False, says=says)
    if not known.since.snapshot.services.get(route.service):
        return _not(f"{route.claim} answers 503: {_why_empty(route.service, known)}")
    if route.service not in part.needs:
        why = next(_why_left_out(route, known), f"nginx does not lead to service {route.service!r} yet")
        return _not(f"{route.claim} is not served: {why}")
    says = f"{route.claim} is served, since {moment(since)}"
    return Verdict(is_served=True, passes_on=True, says=says)


def _why_closed(route: Route, part: Part, known: Known) -> str:
    """Return why the host's *part* lets nobody in to *route*; "" where it does."""
    found = [
        *problems_at(route.where, part.problems),
        *problems_at(route.host, (*part.problems, *known.status.problems), what="host"),
    ]
    return next((one.why for one in found if closes(one)), "")


def _why_left_out(route: Route, known: Known) -> Iterator[str]:
    problems = known.status.problems
    for what, where in (("service", route.service), ("host", route.host)):
        yield from (one.why for one in problems_at(where, problems, what=what))


def _behind(route: Route, served: Route, known: Known) -> str:
    """Return which change of *route* nginx does not serve; "" for none."""
    problems = known.status.problems
    kept = [one for one in problems if one.what in ("host", "service") and one.why.endswith(LAST_GOOD)]
    if aside := [one for one in kept if one.where in (route.host, route.service)]:
        return f"; its last change is not in effect: {aside[0].why}"
    now, then = known.snapshot, known.since.snapshot
    if _form(route, now) == _form(served, then) and _has_same(route.service, now, then):
        return ""
    return f"; its last change is not in effect: {so_far(known)}"


def _form(route: Route, snapshot: Snapshot) -> tuple[object, ...]:
    """Return all that *snapshot* has of *route* for nginx, but for its endpoints."""
    return (
        route.service,
        route.options,
        snapshot.options.get(route.service),
        snapshot.hosts.get(route.host),
    )


def _has_same(service: str, now: Snapshot, then: Snapshot) -> bool:
    """Tell whether a *service* has the same endpoints for nginx; most are told by identity."""
    new, old = now.services.get(service, ()), then.services.get(service, ())
    return new is old or _for_nginx(new) == _for_nginx(old)


def _for_nginx(endpoints: Iterable[Endpoint]) -> set[tuple[object, ...]]:
    return {(one.address, one.weight, one.backup) for one in endpoints}


def listed_services(known: Known) -> set[str]:
    """Return the services that any key or container is for, be it in vain."""
    names = {member.service for one in known.claims for member in one.members}
    names |= {named.service for one in known.claims for named in one.named}
    ids = {container.id for container in containers_of(known)}
    names |= {
        route.service for one in known.claims for route in one.routes if route.key.partition("/")[0] in ids
    }
    keys = (key.split("/") for listing in known.listings for key in listing.keys)
    return names | {parts[1] for parts in keys if parts[0] == "services" and len(parts) > 1}


def _why_empty(service: str, known: Known) -> str:
    """Return why a *service* has no endpoint: it may be a word that was misspelled."""
    names = listed_services(known)
    if bad := bad_keys(service, known):
        return f"service {service!r} has no endpoint that can be used: {bad[0].where}: {bad[0].why}"
    if service in names:
        return f"service {service!r} has no endpoint"
    near = difflib.get_close_matches(service, sorted(names), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "list one, or lead the route to another service"
    return f"no endpoint of service {service!r} is listed ({hint})"
