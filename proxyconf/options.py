"""What a route may ask for besides host, path and service: immutable, typed, and nothing by default.

Options are of three things. Those of a location are of one host and path. Those of a service are shared by
all its routes, and those of a host by all of its own. See `agreement` for what several routes come to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pairs = tuple[tuple[str, str], ...]
"""Names and values, in order."""
Https = Literal["redirect", "both", "only", "off"]
"""Where a host with a certificate is: on https, with http sent there; on both; on one of them only."""
Missing = Literal["http", "default"]
"""What a host without a certificate has: http alone, or the default certificate."""
VerifyClient = Literal["", "on", "optional", "optional_no_ca"]
"""Whether clients must, or may, show a certificate; "" for neither."""
Policy = Literal["modern", "intermediate"]
"""Which TLS clients may speak: 1.3 only, or 1.2 too."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests one client may make.

    Attributes:
        per_minute: At least 1.
        burst: How many more may come at once.
    """

    per_minute: int
    burst: int = 0


@dataclass(frozen=True, slots=True)
class LocationOptions:
    """Of one route.

    Attributes:
        replace: The path that takes the place of the route's own: ``/`` strips it. "": it is passed on whole.
        body_size: Of a request, in bytes; 0 for any. None: nginx's default.
        send_timeout: Between two writes to the endpoint, in seconds. None: nginx's default.
        read_timeout: Between two reads from it.
        buffering: Whether nginx takes the whole answer before the client has.
        request_buffering: Whether it takes the whole request before the endpoint gets any.
        allow: Networks; all others are refused where there are any.
        deny: Networks that are refused.
        users: Name and password hash, for basic authentication.
        request_headers: Set for the endpoint; an empty value takes the header away.
        response_headers: Added to every answer.
        rate: None for any number of requests.
        redirect: Where to send every request of the route, a whole URL with neither path nor query: those of
            the request are put behind it. Without a scheme, the request's is kept.
        redirect_status: 301, 302, 307 or 308.
        maintenance: Answer 503 and ask nobody.
    """

    replace: str = ""
    body_size: int | None = None
    send_timeout: float | None = None
    read_timeout: float | None = None
    buffering: bool = True
    request_buffering: bool = True
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    users: Pairs = ()
    request_headers: Pairs = ()
    response_headers: Pairs = ()
    rate: Rate | None = None
    redirect: str = ""
    redirect_status: int = 301
    maintenance: bool = False


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Of a service.

    Attributes:
        protocol: How the endpoints are spoken to.
        verify: With https and grpcs: whether their certificates must be good for `name`.
        name: With https and grpcs: the name that is asked for. "": the request's host.
        balance: ``round_robin``, ``least_conn``, ``ip_hash``, or a consistent hash of a key: ``hash:client``,
            ``hash:uri``, ``hash:header:NAME``, ``hash:cookie:NAME``.
        keepalive: Idle connections per worker; 0 for none. None: as in ``[nginx]``.
        max_fails: After so many failures an endpoint is left out for `fail_timeout`; 0 for never.
        fail_timeout: In seconds.
        root: With fastcgi: the folder of the scripts there.
    """

    protocol: Literal["http", "https", "grpc", "grpcs", "fastcgi", "uwsgi"] = "http"
    verify: bool = False
    name: str = ""
    balance: str = "round_robin"
    keepalive: int | None = None
    max_fails: int | None = None
    fail_timeout: float | None = None
    root: str = ""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Of a host; None: as in the settings.

    Attributes:
        https: Where it is.
        certificate: Name of its certificate. "": the one that fits best.
        missing: What it has without a certificate.
        hsts: What ``Strict-Transport-Security`` says on https; "" for nothing.
        http2: Whether https speaks HTTP/2, too.
        tls_policy: What it must have. All hosts of an address share one: to ask for another is a problem.
        other_redirect_status: Of the redirect to https for methods other than GET and HEAD.
        verify_client: Whether clients must, or may, show a certificate. None: neither, but nobody said so.
        www: Its name with ``www.``, or without if it has that, is redirected to it.
        server_tokens: Whether answers of nginx's own tell its version.
    """

    https: Https | None = None
    certificate: str = ""
    missing: Missing | None = None
    hsts: str | None = None
    http2: bool | None = None
    tls_policy: Policy | None = None
    other_redirect_status: int = 301
    verify_client: VerifyClient | None = None
    www: bool = False
    server_tokens: bool | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a route asks for."""

    location: LocationOptions = LocationOptions()
    service: ServiceOptions = ServiceOptions()
    host: HostOptions = HostOptions()


NONE = Options()
