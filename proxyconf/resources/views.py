"""What a template sees of a snapshot: ``services``, ``routes`` and ``containers``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxyconf.model import Endpoint, Route, Snapshot

Part = Literal["services", "routes", "containers"]
PARTS: tuple[Part, ...] = get_args(Part)


class ServiceEndpoint(NamedTuple):
    """An endpoint of a service.

    Attributes:
        address: ``ip:port`` or ``[ip]:port``.
        host: The IP address, without brackets.
        port: The port.
        weight: 1 to 1000.
        backup: Used only while every other one is down.
    """

    address: str
    host: str
    port: int
    weight: int
    backup: bool


class HostRoute(NamedTuple):
    """A host and path that lead to a service; see `model.Route`."""

    host: str
    path: str
    service: str


class Views:
    """Makes the views of snapshots; all templates of one snapshot share them."""

    def __init__(self) -> None:
        self._last: dict[Part, tuple[object, Any]] = {}

    def of(self, part: Part, snapshot: Snapshot) -> Any:  # noqa: ANN401 - of three types
        """Return a part: services by name, routes by host and path, or containers by name."""
        source = getattr(snapshot, part)
        last = self._last.get(part)
        if last is None or last[0] is not source:
            last = self._last[part] = (source, _MAKE[part](source))
        return last[1]


def _routes(routes: Sequence[Route]) -> list[HostRoute]:
    return [HostRoute(route.host, route.path, route.service) for route in routes]


def _services(services: Mapping[str, Sequence[Endpoint]]) -> dict[str, list[ServiceEndpoint]]:
    return {name: [_endpoint(endpoint) for endpoint in services[name]] for name in sorted(services)}


def _endpoint(endpoint: Endpoint) -> ServiceEndpoint:
    host, _, port = endpoint.address.rpartition(":")
    return ServiceEndpoint(endpoint.address, host.strip("[]"), int(port), endpoint.weight, endpoint.backup)


_MAKE: dict[Part, Callable[[Any], Any]] = {"services": _services, "routes": _routes, "containers": list}
