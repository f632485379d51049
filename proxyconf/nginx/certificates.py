"""Certificates, and which of them a host is served with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from proxyconf.api import CertificateState

DEFAULT = "default"
"""The name of the certificate for hosts without one."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        is_self_signed: Nobody vouches for it.
    """

    name: str
    where: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    part: Part
    is_good: bool = True
    is_self_signed: bool = False

    @property
    def is_placeholder(self) -> bool:
        """Any other that fits is better, for a shorter time, too."""
        return self.is_self_signed or self.name == DEFAULT

    def covers(self, host: str) -> bool:
        """Tell whether it is good for *host*."""
        return host in self.names or _above(host) in self.names


def _above(host: str) -> str:
    """Return the wildcard that stands for *host*, and nothing for one that is a wildcard itself."""
    first, _, rest = host.partition(".")
    return "" if first == "*" else f"*.{rest}"


def _worth(certificate: Certificate) -> tuple[bool, bool, float, str]:
    good = certificate.is_good
    return good, not certificate.is_placeholder, certificate.not_after, certificate.name


class CertificateSet:
    """All certificates at one time.

    Args:
        certificates: Each name once.
        authorities: Whose certificates clients may show, by the name of the host's certificate; "" for all
            others. None: they can't be read, so that nobody is known.
        problems: What could not be used, or not much longer.

    Attributes:
        by_name: The certificates.
        authorities: As given.
        problems: As given.
    """

    def __init__(
        self,
        certificates: Iterable[Certificate] = (),
        authorities: Mapping[str, Part | None] = MappingProxyType({}),
        problems: tuple[Problem, ...] = (),
    ) -> None:
        self.by_name = {one.name: one for one in certificates}
        self.problems = problems
        self.authorities = authorities
        self._best: dict[str, Certificate] = {}
        for one in sorted(self.by_name.values(), key=_worth):
            self._best |= dict.fromkeys(one.names, one)

    @cached_property
    def states(self) -> Sequence[CertificateState]:
        """The certificates, as status shows them."""
        return [
            CertificateState(name=one.name, file=one.where, names=one.names, not_after=one.not_after)
            for one in self.by_name.values()
        ]

    def best(self, host: str) -> Certificate | None:
        """Return the one that fits *host* best: by its own name before a wildcard, but rather a valid one."""
        found = [one for name in (_above(host), host) if (one := self._best.get(name))]
        return max(found, key=lambda one: (*_worth(one)[:2], found.index(one))) if found else None

    def without(
        self, parts: Mapping[str, Part | None], authorities: Mapping[str, Part | None] = MappingProxyType({})
    ) -> CertificateSet:
        """Return the set with other parts for some of the names, or without these.

        Args:
            parts: A certificate's name to the part to use, or to None.
            authorities: The same for the authority of that name.
        """
        if not (parts or authorities):
            return self
        kept = (
            replace(one, part=part)
            for one in self.by_name.values()
            if (part := parts.get(one.name, one.part))
        )
        return CertificateSet(kept, {**self.authorities, **authorities}, self.problems)

    def authority(self, host: str, named: str = "") -> Part | None:
        """Return whose certificates the clients of *host* may show; None where nobody is known.

        It is told by names alone, and not by which certificate serves at the moment: when that expires,
        others must not come in.

        Args:
            host: The host.
            named: The certificate that is asked for, if one is.
        """
        return self.authorities.get(self._authority_of(host, named))

    def has_own_authority(self, host: str, named: str = "") -> bool:
        """Tell whether there is one for *host*, and not just for all."""
        return self._authority_of(host, named) != ""

    def _authority_of(self, host: str, named: str) -> str:
        own = (self.by_name.get(name) for name in self.authorities)  # for most, none
        fitting = [one for one in own if one and one.covers(host)]
        fitting.sort(key=lambda one: (host not in one.names, one.name))
        names = (named, host, *(one.name for one in fitting))
        return next((name for name in names if name and name in self.authorities), "")


class Certificates(Protocol):
    """Where certificates come from; to read them blocks."""

    @property
    def found(self) -> CertificateSet:
        """Return what was there when they were read last."""
        ...

    def is_current(self) -> bool:
        """Tell whether nothing has changed since."""
        ...

    def refresh(self) -> None:
        """Read them, unless nothing has changed."""
        ...

    def restore(self, parts: Iterable[Part]) -> None:
        """Take parts of an earlier run for what certificates were before, where they can't be used now."""
        ...


class _NoCertificates:
    """There are none, and there will be none."""

    found = CertificateSet()

    def is_current(self) -> bool:
        """Tell that nothing has changed."""
        return True

    def refresh(self) -> None:
        """Read nothing."""

    def restore(self, parts: Iterable[Part]) -> None:
        """Forget those of an earlier run."""


NO_CERTIFICATES = _NoCertificates()
