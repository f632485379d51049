"""A file of the site: immutable, and named by its content.

Its last line says what it is of, so that a later run knows the parts that an earlier one has proved.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
_KINDS = {kind[0]: kind for kind in _ENDINGS}
_UNLABELLED = ("users", "page")  # which are nothing but what a host refers to
_LABEL = b"\n# proxyconf: "  # a comment for nginx, and of a PEM what is passed over
_FILE = re.compile(rb"parts/([achopsu]-[0-9a-f]{16}\.(?:conf|html|pem|users))")


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
        closed: Of a host: it lets nobody in, so that it is no form to go on with in place of another.
    """

    kind: PartKind
    name: str
    file: str
    text: bytes = field(repr=False)
    needs: frozenset[str] = frozenset()
    files: tuple[Part, ...] = ()
    problems: tuple[Problem, ...] = ()
    answers_unknown: bool = False
    closed: bool = False

    @property
    def is_included(self) -> bool:
        """Whether it is a piece of the configuration."""
        return self.kind in ("service", "host")


def make_part(
    kind: PartKind,
    name: str,
    text: bytes,
    *,
    needs: frozenset[str] = frozenset(),
    answers_unknown: bool = False,
    closed: bool = False,
) -> Part:
    """Return the part with this content; its text has the label in its last line, but for users and pages."""
    if kind not in _UNLABELLED:
        known = [("name", name), *(("needs", service) for service in sorted(needs))]
        known += [("answers_unknown", "")] if answers_unknown else []
        known += [("closed", "")] if closed else []
        # no quotes in it, which would end one that an operator has forgotten to close
        label = urlencode(known, safe="/*", errors="surrogateescape").encode()
        text = b"%s%s%s\n" % (text.rstrip(b"\n"), _LABEL, label)
    file = file_name(kind, text)
    return Part(kind, name, file, text, needs, answers_unknown=answers_unknown, closed=closed)


def read_parts(texts: Mapping[str, bytes]) -> Iterator[Part]:
    """Yield the parts that an earlier run has made, without their problems, from their files and texts.

    What has no label is passed over, and so is a host that refers to a file that is not there.
    """
    found = {file: part for file, text in texts.items() if (part := read_part(file, text))}
    for part in found.values():
        referred = parts_named(part.text) if part.kind == "host" else frozenset()
        if referred <= found.keys():
            yield replace(part, files=tuple(found[file] for file in sorted(referred)))


def read_part(file: str, text: bytes) -> Part | None:
    """Return the part with this text, without what it refers to; None where its last line is no label."""
    kind = _KINDS[file[0]]
    if kind in _UNLABELLED:
        return Part(kind, file, file, text)
    label = text.rpartition(_LABEL)[2].rstrip(b"\n").decode(errors="replace")
    known = parse_qs(label, keep_blank_values=True, errors="surrogateescape")
    if "name" not in known:  # it was not we who wrote it
        return None
    needs = frozenset(known.get("needs", ()))
    answers, closed = "answers_unknown" in known, "closed" in known
    return Part(kind, known["name"][0], file, text, needs, answers_unknown=answers, closed=closed)


def parts_named(text: bytes) -> frozenset[str]:
    """Return the names of the parts' files that a text includes, or mentions."""
    return frozenset(name.decode() for name in _FILE.findall(text))


def unlabelled(text: str) -> str:
    """Return the text of a part without its label."""
    return text.rpartition(_LABEL.decode())[0] + "\n"


def file_name(kind: PartKind, text: bytes) -> str:
    """Return the name of the file of a part with this content."""
    return f"{kind[0]}-{hashlib.sha256(text).hexdigest()[:16]}.{_ENDINGS[kind]}"
