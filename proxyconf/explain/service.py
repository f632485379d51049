"""A service: its endpoints, and the routes that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import TOLD_TO_END, service_link
from proxyconf.explain.verdict import judged, listed_services, of_removed, so_far

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from proxyconf.explain.answer import Known
    from proxyconf.explain.verdict import Verdict
    from proxyconf.model import Member


def find_service(question: str, known: Known) -> str:
    """Return the service that is called so, be it as the folder of its keys; "" for none."""
    name = question.strip("/").removeprefix("services/")
    return name if name in listed_services(known) | {one.service for one in known.snapshot.routes} else ""


def of_service(question: str, name: str, known: Known) -> Explanation:
    """Answer for a service that was found."""
    routes = [route for route in known.snapshot.routes if route.service == name]
    verdicts = list(leading_to((name,), known))
    served = any(one.passes_on for one in verdicts)
    if served:
        verdict = f"service {name!r} gets requests"
    else:
        why = next((one.says for one in verdicts), "no route leads to it")
        verdict = f"service {name!r} gets no requests: {why}"
    links = [Link(what="route", says=one.says, is_bad=not one.is_served) for one in verdicts]
    chain = (service_link(name, routes, known), *links)
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)


def leading_to(services: Container[str], known: Known) -> Iterator[Verdict]:
    """Yield how it stands with the routes to *services*, also with those that nobody asks for any more."""
    asked = {route.claim for route in known.snapshot.routes}
    yield from (judged(route, known) for route in known.snapshot.routes if route.service in services)
    for route in known.since.snapshot.routes:
        if route.service in services and route.claim not in asked:
            yield of_removed(route, known)


def why_idle(member: Member, known: Known) -> str:
    """Return why an endpoint gets no requests; "" where it does."""
    verdicts = list(leading_to((member.service,), known))
    if not verdicts:
        return f"no route leads to service {member.service!r}"
    if not any(one.passes_on for one in verdicts):
        return verdicts[0].says
    address = member.endpoint.address
    if known.since.endpoint(member.service, address) is not None:
        return ""
    if all(address != one.address for one in known.snapshot.services.get(member.service, ())):
        return TOLD_TO_END
    return f"nginx has not proved it yet: {so_far(known)}"
