"""A service: its endpoints, and the routes that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.explain.answer import Explanation, Link
from proxyconf.explain.route import judged, listed_services, service_link

if TYPE_CHECKING:
    from proxyconf.explain.answer import Known


def find_service(question: str, known: Known) -> str:
    """Return the service that is called so, be it as the folder of its keys; "" for none."""
    name = question.strip("/").removeprefix("services/")
    return name if name in listed_services(known) | {one.service for one in known.snapshot.routes} else ""


def of_service(question: str, name: str, known: Known) -> Explanation:
    """Answer for a service that was found."""
    routes = [route for route in known.snapshot.routes if route.service == name]
    verdicts = [judged(route, known) for route in routes]
    served = any(good for good, _ in verdicts)
    if served:
        verdict = f"service {name!r} gets requests"
    else:
        why = next((why for _, why in verdicts), "no route leads to it")
        verdict = f"service {name!r} gets no requests: {why}"
    links = [Link(what="route", says=why, is_bad=not good) for good, why in verdicts]
    chain = (service_link(name, routes, known), *links)
    return Explanation(question=question, is_served=served, verdict=verdict, chain=chain)
