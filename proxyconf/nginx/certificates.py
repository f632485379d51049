"""Certificates, and which of them a host is served with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxyconf.model import Problem
    from proxyconf.nginx.part import Part


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key.

    Attributes:
        name: Of its files, without their endings.
        where: The file it was read from.
        names: Host names that it is good for, in lower case, sorted; ``*.`` in front for all of one level.
        not_before: Unix time.
        not_after: Unix time.
        part: The key, the certificate, and those of its authorities, in PEM.
        is_good: It was valid when it was read.
    """

    name: str
    where: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    part: Part
    is_good: bool = True

    def covers(self, host: str) -> bool:
        """Tell whether it is good for *host*."""
        return host in self.names or _above(host) in self.names


def _above(host: str) -> str:
    """Return the wildcard that stands for *host*, and nothing for one that is a wildcard itself."""
    first, _, rest = host.partition(".")
    return "" if first == "*" else f"*.{rest}"


class CertificateSet:
    """All certificates at one time.

    Args:
        certificates: Each name once.
        authorities: Whose certificates clients may show, by the name of the host's certificate; "" for all
            others.
        problems: What could not be used, or not much longer.

    Attributes:
        by_name: The certificates.
    """

    def __init__(
        self,
        certificates: Iterable[Certificate] = (),
        authorities: Mapping[str, Part] = MappingProxyType({}),
        problems: tuple[Problem, ...] = (),
    ) -> None:
        self.by_name = {one.name: one for one in certificates}
        self.problems = problems
        self._authorities = authorities
        self._best: dict[str, Certificate] = {}
        for one in sorted(self.by_name.values(), key=_worth):
            self._best |= dict.fromkeys(one.names, one)

    def best(self, host: str) -> Certificate | None:
        """Return the one that fits *host* best: by its own name before a wildcard, but rather a valid one."""
        found = [one for name in (_above(host), host) if (one := self._best.get(name))]
        return max(found, key=lambda one: (one.is_good, found.index(one))) if found else None

    def without(self, parts: Mapping[str, Part | None]) -> CertificateSet:
        """Return the set with other parts for some of the names, or without these names."""
        if not parts:
            return self
        kept = (
            replace(one, part=part)
            for one in self.by_name.values()
            if (part := parts.get(one.name, one.part))
        )
        return CertificateSet(kept, self._authorities, self.problems)

    def authority(self, name: str) -> Part | None:
        """Return whose certificates the clients of hosts with the certificate *name* may show."""
        return self._authorities.get(name) or self._authorities.get("")


def _worth(certificate: Certificate) -> tuple[bool, float, str]:
    return certificate.is_good, certificate.not_after, certificate.name
