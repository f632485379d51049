"""A file of the site: immutable, and named by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from proxyconf.model import Problem

PartKind: TypeAlias = Literal["service", "host", "users", "certificate", "authority", "operator", "page"]
_ENDINGS: dict[PartKind, str] = {
    "service": "conf",
    "host": "conf",
    "users": "users",
    "certificate": "pem",
    "authority": "pem",
    "operator": "conf",
    "page": "html",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A file.

    Attributes:
        kind: What it is of. Services and hosts are included in the configuration; hosts refer to the others:
            to users for basic authentication, to certificates with their keys, to authorities of clients', to
            pieces of operators', and to error pages.
        name: The service's or the host's; of a certificate and its authority, the certificate's; of users
            their file's; of an operator's piece the path of the original; of a page the original's name.
        file: Its name within the folder of the parts.
        text: Its content.
        needs: Services whose upstream it refers to.
        files: Of a host: the files that it refers to.
        problems: What is asked for and not done.
        answers_unknown: Of a host: it has the requests for unknown hosts, too.
    """

    kind: PartKind
    name: str
    file: str
    text: bytes = field(repr=False)
    needs: frozenset[str] = frozenset()
    files: tuple[Part, ...] = ()
    problems: tuple[Problem, ...] = ()
    answers_unknown: bool = False

    @property
    def is_included(self) -> bool:
        """Whether it is a piece of the configuration."""
        return self.kind in ("service", "host")


def file_name(kind: PartKind, text: bytes) -> str:
    """Return the name of the file of a part with this content."""
    return f"{kind[0]}-{hashlib.sha256(text).hexdigest()[:16]}.{_ENDINGS[kind]}"
