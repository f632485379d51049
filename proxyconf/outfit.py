"""What a configuration makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.apply import Apply
    from proxyconf.groups.group import Group
    from proxyconf.groups.lane import Lane
    from proxyconf.model import Problem
    from proxyconf.tables import Tables


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a configuration makes: replaced as a whole when it is read again.

    Attributes:
        tables: The settings.
        apply: The site's way into nginx; None where there is no site.
        joined: The templates that are part of the site's nginx, if any.
        lanes: The other groups of templates; their tasks are somebody else's.
        problems: Returns what of the configuration was set aside, and what templates could not look up.
    """

    tables: Tables
    apply: Apply | None
    joined: Group | None = None
    lanes: tuple[Lane, ...] = ()
    problems: Callable[[], tuple[Problem, ...]] = tuple

    @property
    def patience_s(self) -> float:
        """How long the commands of `joined` may take at most, in seconds."""
        if self.joined is None:
            return 0.0
        limits = [one.resource.check.timeout_s for one in self.joined.outputs if one.resource.check]
        return 2 * sum(limits)  # together, and again without those that were to blame
