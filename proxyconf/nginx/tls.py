"""Https: how a host is on it, and nginx's words for that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.model import Problem
from proxyconf.nginx import quoting
from proxyconf.nginx.certificates import DEFAULT
from proxyconf.nginx.quoting import word
from proxyconf.nginx.writing import Lines, block, directive, joined
from proxyconf.options import HostOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from proxyconf.nginx.certificates import Certificate, CertificateSet
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.nginx.part import Part
    from proxyconf.nginx.quoting import Token
    from proxyconf.options import Https

AS_USUAL = HostOptions()
_PROTOCOLS = {
    "modern": directive("ssl_protocols TLSv1.3"),
    "intermediate": directive("ssl_protocols TLSv1.2 TLSv1.3"),
}
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a host is, and with what.

    Attributes:
        https: ``off`` for one that is on http only.
        certificate: Of one that is on https.
        authority: Whose certificates its clients show.
        closed: It answers 503, for what would keep the wrong ones out is missing.
        problems: What is asked for and not done.
    """

    https: Https = "off"
    certificate: Part | None = None
    authority: Part | None = None
    closed: bool = False
    problems: tuple[Problem, ...] = ()


ON_HTTP = Standing()


def standing(host: str, asked: HostOptions, certificates: CertificateSet, dialect: Dialect) -> Standing:
    """Return where *host* is, by what its routes have *asked* for and the settings."""
    https = asked.https or dialect.settings.tls.https
    if https == "off":
        why = (
            "clients show certificates on https, and it is to be on http only (allow https, or ask for none)"
        )
        return _without(host, asked, why, https=https) if asked.verify_client else ON_HTTP
    if why := dialect.no_https or _unnamed(host):
        wished = bool(asked.https or asked.certificate or asked.verify_client) or https == "only"
        return _without(host, asked, why, https=https) if wished else ON_HTTP
    problems: list[Problem] = []
    certificate = _choose(host, asked, certificates, problems)
    missing = asked.missing or dialect.settings.tls.missing
    if certificate is None and missing == "default":
        certificate = certificates.by_name.get(DEFAULT)
    if certificate is None:
        why = f"no certificate is for {host} (put one into {dialect.settings.tls.certificates})"
        found = _without(host, asked, why, https=https)
        wished = bool(asked.https or asked.verify_client) or found.closed or missing == "default"
        return replace(found, problems=(*problems, *(found.problems if wished else ())))
    if asked.verify_client == "on" and https == "both":
        https = "redirect"
        why = "is sent to https, for on http no client shows a certificate (let https be redirect, or only)"
        problems.append(Problem("host", host, why))
    authority = certificates.authority(host, asked.certificate) if asked.verify_client else None
    closed = bool(asked.verify_client) and authority is None
    if closed:
        why = f"answers 503, for nobody is known whose certificates clients may show (put {certificate.name}"
        why += f".ca.crt into {dialect.settings.tls.certificates})"
        problems.append(Problem("host", host, why))
    if asked.verify_client is None and certificates.has_own_authority(host, asked.certificate):
        why = f"asks no client for a certificate, though there is {certificate.name}.ca.crt"
        problems.append(Problem("host", host, f"{why} (set verify_client to on, or to off)"))
    problems += [Problem("host", host, why) for why in (*_shared(asked, dialect), *_unsent(asked, https))]
    return Standing(https, certificate.part, authority, closed, tuple(problems))


def _unnamed(host: str) -> str:
    """Return why *host* can't be on https, if it is an address: nobody names one when a connection begins.

    See RFC 6066, section 3. A host whose last label is a number is an address.
    """
    return "nobody can ask for an address on https (use a name)" if host.rpartition(".")[2].isdigit() else ""


def _shared(asked: HostOptions, dialect: Dialect) -> Iterator[str]:
    """Yield what a host asks for and does not have, for all hosts of an address have the same."""
    shared = dialect.settings.tls.policy
    policy = asked.tls_policy or shared
    if policy != shared:
        # measured on 1.22: a connection's protocols are those of the address's default server
        yield f"has the TLS policy {shared!r}, as all others (set [nginx.tls] policy to {policy!r}, for all)"
    if asked.http2 is False and dialect.settings.tls.http2 and not dialect.build.http2_by_host:
        yield "speaks HTTP/2 as all others: this nginx knows it by address only (install 1.25.1 or newer)"


def _unsent(asked: HostOptions, https: Https) -> Iterator[str]:
    """Yield what a host asks for and does not have, for nobody is sent to https."""
    if https == "both":
        mend = "for https is 'both': nobody is sent there (let https be redirect, or only, or ask for none)"
        if asked.hsts:
            yield f"sends no Strict-Transport-Security (hsts), {mend}"
        if asked.other_redirect_status != AS_USUAL.other_redirect_status:
            yield f"has no redirect to https (https_redirect_status), {mend}"


def _without(host: str, asked: HostOptions, why: str, *, https: Https) -> Standing:
    """Return where a host is that can't be on https: nowhere, if it must not be without."""
    closed = https == "only" or asked.verify_client == "on"
    so = "answers 503" if closed else "is on http only"
    return Standing(closed=closed, problems=(Problem("host", host, f"{so}, for {why}"),))


def _choose(
    host: str, asked: HostOptions, certificates: CertificateSet, problems: list[Problem]
) -> Certificate | None:
    """Return the certificate that is named, else the one that fits best."""
    if not asked.certificate:
        return certificates.best(host)
    named = certificates.by_name.get(asked.certificate)
    if named is None:
        hint = values.spelling(asked.certificate, certificates.by_name)
        problems.append(Problem("host", host, f"there is no certificate {asked.certificate!r} ({hint})"))
        return certificates.best(host)
    if not named.covers(host):
        why = f"has the certificate {named.name!r}, which is for {', '.join(named.names)} (get another)"
        problems.append(Problem("host", host, why))
    return named


def speaks_http2(asked: HostOptions, dialect: Dialect) -> bool:
    """Tell whether a host on https speaks HTTP/2, too."""
    if not dialect.build.http2:
        return False
    wanted = dialect.settings.tls.http2
    return wanted if asked.http2 is None or not dialect.build.http2_by_host else asked.http2


def https_listens(dialect: Dialect, *more: Token, but: AbstractSet[str] = frozenset()) -> Iterator[Lines]:
    """Yield the listeners of a server on https, *but* for some addresses, each with *more* options."""
    by_address = dialect.build.http2 and dialect.settings.tls.http2 and not dialect.build.http2_by_host
    http2 = (word("http2"),) if by_address else ()
    for address in dialect.https_addresses:
        if address not in but:
            yield directive("listen", quoting.listen(address), word("ssl"), *http2, *more)


def tls_lines(dialect: Dialect) -> Lines:
    """Return what all servers on https have in common.

    Sessions are kept in memory that nginx's workers share and that outlives a reload. Tickets have keys of
    one generation, and are not taken any more after the next reload.
    """
    return joined(
        (
            _PROTOCOLS[dialect.settings.tls.policy],
            directive("ssl_ciphers", quoting.quote_plain(_CIPHERS)),
            directive("ssl_prefer_server_ciphers off"),
            directive("ssl_session_cache shared:pc_tls:10m"),
            directive("ssl_session_timeout 1d"),
            directive("ssl_session_tickets off"),
        )
    )


def certificate_lines(found: Standing, asked: HostOptions, dialect: Dialect) -> Iterator[Lines]:
    """Yield what a server of a host on https has of its own."""
    if found.certificate:
        file = quoting.file(dialect.parts_folder / found.certificate.file)
        yield directive("ssl_certificate", file)
        yield directive("ssl_certificate_key", file)
    if asked.verify_client == "":  # what theirs says for all must not count here
        yield directive("ssl_verify_client off")
    if found.authority and asked.verify_client:
        yield directive("ssl_client_certificate", quoting.file(dialect.parts_folder / found.authority.file))
        yield directive("ssl_verify_client", quoting.identifier(asked.verify_client))
        yield directive("ssl_verify_depth 3")
    if dialect.build.http2_by_host and speaks_http2(asked, dialect):
        yield directive("http2 on")


def hsts_lines(asked: HostOptions, dialect: Dialect) -> tuple[Lines, ...]:
    """Return the header that answers on https have, if any."""
    value = values.hsts(dialect.settings.tls.hsts) if asked.hsts is None else asked.hsts
    if not value:
        return ()
    return (directive("add_header Strict-Transport-Security", quoting.quote(value), word("always")),)


def redirect_to_https(asked: HostOptions, dialect: Dialect) -> Lines:
    """Write the location that sends everybody to https."""
    target = quoting.https_target(dialect.settings.listen.https[0].port)
    permanent = directive("return 301", target)
    if asked.other_redirect_status == 301:
        return block("location /", body=(permanent,))
    other = directive("return", quoting.status(asked.other_redirect_status), target)
    return block(
        "location /",
        body=(
            block("if ($request_method = GET)", body=(permanent,)),
            block("if ($request_method = HEAD)", body=(permanent,)),
            other,
        ),
    )
