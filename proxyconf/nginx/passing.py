"""How a request is passed on to a service: by which protocol, and with which headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.nginx import quoting
from proxyconf.nginx.client import said_of_client
from proxyconf.nginx.quoting import Token, word
from proxyconf.nginx.writing import Lines, directive, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxyconf.model import Route
    from proxyconf.nginx.dialect import Dialect
    from proxyconf.options import LocationOptions, Pairs, ServiceOptions

_NOTHING = quoting.quote("")
# not $http_host: a request with an absolute URL is routed by that, whatever its Host says
_HOST = {"Host": word("$host$pc_port")}
_CONNECTION = {"Upgrade": word("$pc_upgrade"), "Connection": word("$pc_connection")}
# a program that runs CGI scripts would take it for the variable HTTP_PROXY
_NO_PROXY = {"Proxy": _NOTHING}
# of the message and its way, not of what is asked: another value cuts a request in two, or its connection off
FIXED = frozenset(
    {"connection", "content-length", "keep-alive", "proxy", "te", "trailer", "transfer-encoding", "upgrade"}
)
_PROGRAM = {
    "QUERY_STRING": word("$query_string"),
    "REQUEST_METHOD": word("$request_method"),
    "CONTENT_TYPE": word("$content_type"),
    "CONTENT_LENGTH": word("$content_length"),
    "REQUEST_URI": word("$request_uri"),
    "REQUEST_SCHEME": word("$scheme"),
    "SERVER_PROTOCOL": word("$server_protocol"),
    "SERVER_NAME": word("$host"),  # not $server_name, which may be *.example.com
    "SERVER_PORT": word("$server_port"),
    "REMOTE_ADDR": word("$remote_addr"),
    "REMOTE_PORT": word("$remote_port"),
}
_SCRIPT = {
    "GATEWAY_INTERFACE": word("CGI/1.1"),
    "REDIRECT_STATUS": word("200"),  # PHP takes a request without it for one that did not come by a server
    "SCRIPT_NAME": word("$fastcgi_script_name"),
    "PATH_INFO": word("$fastcgi_path_info"),
    "DOCUMENT_URI": word("$document_uri"),
}
_FAMILIES = {
    "http": "proxy",
    "https": "proxy",
    "grpc": "grpc",
    "grpcs": "grpc",
    "fastcgi": "fastcgi",
    "uwsgi": "uwsgi",
}
_TLS = ("https", "grpcs")


def proxy_lines(dialect: Dialect) -> Lines:
    """Return what every proxied request needs: websockets, keepalive, forwarded headers.

    An http block of ours has them once, which saves nginx a fifth of its memory; in somebody else's each of
    our servers has them, since theirs must not inherit them.
    """
    return joined(
        (
            directive("proxy_http_version 1.1"),
            directive("proxy_connect_timeout", quoting.duration(dialect.settings.connect_timeout)),
            *_header_lines(dialect, ()),
        )
    )


def obstacle(asked: ServiceOptions, dialect: Dialect, *, http2: bool) -> str:
    """Return why requests can't be passed on as *asked*, with the mend; "" where they can.

    Args:
        asked: Of the service.
        dialect: For which nginx.
        http2: The host speaks HTTP/2.
    """
    if asked.protocol in ("grpc", "grpcs") and not http2:
        # by TLS only: `listen 80 http2` would shut out everybody else, before nginx 1.25.1
        return f"{asked.protocol}: needs HTTP/2, and so a certificate for the host ([nginx.tls] certificates)"
    module = f"http_{_FAMILIES[asked.protocol]}_module"
    if module in dialect.build.without:
        return f"{asked.protocol}: this nginx is built without {module} (install one that has it)"
    if asked.protocol in _TLS and not dialect.build.ssl:
        return f"{asked.protocol}: this nginx is built without http_ssl_module (install one that has it)"
    if asked.protocol in _TLS and asked.verify and not dialect.authorities:
        return "verify: the system has no certificate authorities (install ca-certificates)"
    if asked.protocol == "fastcgi" and not asked.root:
        return "fastcgi: no root (name the folder of the scripts, where the program is)"
    return ""


def passing_lines(
    route: Route, asked: ServiceOptions, dialect: Dialect, *, headers: Pairs
) -> tuple[list[Lines], list[Lines]]:
    """Return what passes the requests of *route* on: of its exact path, and of those below it.

    Args:
        route: To a service that has an upstream.
        asked: Of that service; there must be no `obstacle`.
        dialect: For which nginx.
        headers: The route's request headers, without those that are `FIXED`.

    Raises:
        BadValueError: Something can't be written.
    """
    options = route.options.location
    family = _FAMILIES[asked.protocol]
    lines = list(_tuning(family, options))
    if family == "proxy":
        if headers:  # one of its own, and a location inherits none
            lines += _header_lines(dialect, headers)
        lines += _tls_lines(family, asked, dialect)
        return [*lines, _proxy_pass(route, asked, "")], [*lines, _proxy_pass(route, asked, "/")]
    if options.replace:
        lines.append(directive("rewrite", *quoting.rewriting(route.path, options.replace), word("break")))
    if family == "grpc":
        lines += _grpc_lines(asked, dialect, headers)
        lines.append(
            directive("grpc_pass", quoting.grpc_target(route.service, tls=asked.protocol == "grpcs"))
        )
    else:
        lines += _program_lines(family, asked, dialect, headers)
        lines.append(directive(quoting.identifier(f"{family}_pass"), quoting.upstream(route.service)))
    return lines, lines


def _proxy_pass(route: Route, asked: ServiceOptions, end: str) -> Lines:
    """Write where to; with a path nginx passes on the DECODED one, encoded anew: its %2F becomes a slash."""
    replace = route.options.location.replace
    path = replace and (replace.rstrip("/") + end or "/")
    return directive("proxy_pass", quoting.proxy_target(route.service, path, tls=asked.protocol == "https"))


def _tuning(family: str, options: LocationOptions) -> Iterator[Lines]:
    for name, seconds in (("send_timeout", options.send_timeout), ("read_timeout", options.read_timeout)):
        if seconds is not None:
            yield directive(quoting.identifier(f"{family}_{name}"), quoting.duration(seconds))
    if family == "grpc":
        return  # it never buffers
    if not options.buffering:
        yield directive(quoting.identifier(f"{family}_buffering"), word("off"))
    if not options.request_buffering:
        yield directive(quoting.identifier(f"{family}_request_buffering"), word("off"))


def _with(ours: Mapping[str, Token], headers: Pairs) -> Iterator[tuple[str, Token]]:
    """Yield our headers, but for those that are given, and those given."""
    given = {name.lower() for name, _ in headers}
    yield from ((name, value) for name, value in ours.items() if name.lower() not in given)
    yield from ((name, quoting.quote(value)) for name, value in headers)


def _header_lines(dialect: Dialect, headers: Pairs) -> Iterator[Lines]:
    for name, value in _with({**_HOST, **_CONNECTION, **said_of_client(dialect), **_NO_PROXY}, headers):
        yield directive("proxy_set_header", quoting.header_name(name), value)


def _tls_lines(family: str, asked: ServiceOptions, dialect: Dialect) -> Iterator[Lines]:
    if asked.protocol not in _TLS:
        return
    said = {
        "server_name": word("on"),
        "name": quoting.host_name(asked.name) if asked.name else word("$host"),
        "protocols": word("TLSv1.2 TLSv1.3"),  # nginx before 1.23.4 leaves the newest out
    }
    if asked.verify and dialect.authorities:
        authorities = quoting.file(dialect.authorities)
        said |= {"verify": word("on"), "verify_depth": word("5"), "trusted_certificate": authorities}
    for name, value in said.items():
        yield directive(quoting.identifier(f"{family}_ssl_{name}"), value)


def _grpc_lines(asked: ServiceOptions, dialect: Dialect, headers: Pairs) -> Iterator[Lines]:
    yield directive("grpc_connect_timeout", quoting.duration(dialect.settings.connect_timeout))
    for name, value in _with({**_HOST, **said_of_client(dialect), **_NO_PROXY}, headers):
        yield directive("grpc_set_header", quoting.header_name(name), value)
    yield from _tls_lines("grpc", asked, dialect)


def _program_lines(family: str, asked: ServiceOptions, dialect: Dialect, headers: Pairs) -> Iterator[Lines]:
    """Write what a program is told that speaks no HTTP; a parameter HTTP_X replaces the client's header X."""
    parameter = f"{family}_param"
    yield directive(
        quoting.identifier(f"{family}_connect_timeout"), quoting.duration(dialect.settings.connect_timeout)
    )
    told = dict(_PROGRAM)
    if family == "fastcgi":
        yield directive("fastcgi_index index.php")
        yield directive("fastcgi_split_path_info", quoting.quote_plain(r"(?s)^(.+?\.php)(/.*)$"))
        root = quoting.script_root(asked.root)
        told |= {**_SCRIPT, "DOCUMENT_ROOT": root, "SCRIPT_FILENAME": quoting.script_file(asked.root)}
    else:
        told["PATH_INFO"] = word("$document_uri")
    for name, value in told.items():
        yield directive(quoting.identifier(parameter), quoting.parameter(name), value)
    # some take it for "yes" when it is there at all
    yield directive(quoting.identifier(parameter), word("HTTPS $https if_not_empty"))
    for name, value in _with({**_HOST, **said_of_client(dialect), **_NO_PROXY}, headers):
        also = word("if_not_empty")
        yield directive(quoting.identifier(parameter), quoting.header_parameter(name), value, also)
