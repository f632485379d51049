"""What a host has besides its routes: a certificate, and files of its operator's."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from proxyconf.answers import closes
from proxyconf.explain.answer import Link
from proxyconf.explain.words import moment, problem_links, problems_at
from proxyconf.nginx.additions import HOST_D, LOCATION_D, piece_name
from proxyconf.nginx.tls import AS_USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxyconf.api import CertificateState
    from proxyconf.explain.answer import Known
    from proxyconf.nginx.part import Part


def certificate_links(host: Part, known: Known) -> Iterator[Link]:
    """Yield the certificate that a *host* is served with, or that there is none for it."""
    with_it = {part.name for part in host.files if part.kind == "certificate"}
    for one in known.status.certificates:
        if one.name in with_it:
            ended = one.not_after <= known.now
            until = f"{'expired' if ended else 'until'} {moment(one.not_after)}"
            problems = problem_links(problems_at(one.file, known.status.problems))
            says = f"{one.file}: for {', '.join(one.names)}, {until}"
            yield Link(what="certificate", says=says, is_bad=ended, links=tuple(problems))
    if not with_it and _wants_one(host.name, known):
        closed = any(map(closes, problems_at(host.name, host.problems)))
        so = "answers 503" if closed else "is on http only"
        problems = problem_links(
            one
            for one in known.status.problems
            if one.what == "certificate" and host.name in _names_of(one.where)
        )
        says = f"none is for it, so it {so}"
        yield Link(what="certificate", says=says, is_bad=closed or bool(problems), links=tuple(problems))


def _wants_one(host: str, known: Known) -> bool:
    """Tell whether *host* is to be on https, and would be if there were a certificate for it.

    Where one fits and is not used, it is nginx that lacks something, which is a problem of its own.
    """
    tls = known.settings.tls
    https = known.snapshot.hosts.get(host, AS_USUAL).https or tls.https
    fitting = any(_covers(one, host) for one in known.status.certificates)
    return tls.certificates is not None and https != "off" and not fitting


def _covers(certificate: CertificateState, host: str) -> bool:
    return host in certificate.names or f"*.{host.partition('.')[2]}" in certificate.names


def _names_of(file: str) -> tuple[str, str]:
    """Return what a certificate's file may be called by: ``NAME.crt``, or ``NAME/fullchain.pem``."""
    path = PurePath(file.strip("'"))  # of an odd name, which is shown in quotes
    return path.stem, path.parent.name


def file_links(host: Part, known: Known) -> Iterator[Link]:
    """Yield the operator's files for a *host*, also one that was refused."""
    used = [part.name for part in host.files if part.kind == "operator"]
    files = dict.fromkeys((*used, *(one.where for one in known.status.problems if one.what == "file")))
    for folder in (HOST_D, LOCATION_D):
        for name in (piece_name(host.name), "default.conf"):
            found = [file for file in files if PurePath(file).parts[-2:] == (folder, name)]
            for file in found:
                problems = problem_links(problems_at(file, known.status.problems, what="file"))
                says = file if file in used else f"{file}, left out"
                yield Link(what="file", says=says, is_bad=bool(problems), links=tuple(problems))
            if found:  # the default one is for hosts without their own
                break
