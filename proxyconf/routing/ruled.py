"""Which containers the host rule gives a host: those that name none, and whose port is known. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxyconf.errors import BadValueError
from proxyconf.host_rule import host_by, missing_label
from proxyconf.model import Problem
from proxyconf.routing import labels, nginx_proxy

if TYPE_CHECKING:
    from proxyconf.model import Container, Listing


class Ruling(NamedTuple):
    """What the host rule does for a container.

    Attributes:
        host: That it gives it; "" for none.
        idle: Why it passes it over.
        problem: What is wrong.
    """

    host: str = ""
    idle: str = ""
    problem: Problem | None = None


def rule_on(container: Container, listing: Listing) -> Ruling:
    """Return what the host rule of *listing* does for *container*, given with its ports as when it runs."""
    rule = listing.host_rule
    if not rule or labels.names_host(container.labels) or nginx_proxy.names_host(container.env):
        return Ruling()
    if idle := _passed_over(container, listing):
        return Ruling(idle=f"the host rule passes it over: {idle}")
    try:
        return Ruling(host_by(rule, container))
    except BadValueError as exc:
        return Ruling(problem=Problem("container", container.name, str(exc)))


def _passed_over(container: Container, listing: Listing) -> str:
    proxies = listing.proxies
    if container.id in proxies or container.network_mode.removeprefix("container:") in proxies:
        return "it is the proxy itself"
    if label := missing_label(listing.host_rule, container):
        return f"it has no label {label}, which the rule needs"
    # who labels a container means it to be routed: then a port that is not known is a problem
    is_meant = any(label.startswith(labels.PREFIX) and label != labels.ENABLE for label in container.labels)
    if is_meant or len(container.ports) == 1:
        return ""
    exposed = ", ".join(map(str, container.ports))
    seen = f"it exposes the ports {exposed}" if exposed else "it exposes no port"
    return f"{seen} (name the one to use with the label {labels.PREFIX}port)"
