"""The text of the root file: the one that names the parts, and answers the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxyconf.nginx import quoting
from proxyconf.nginx.challenge import challenge_location
from proxyconf.nginx.client import client_lines, client_variables
from proxyconf.nginx.passing import proxy_lines
from proxyconf.nginx.quoting import word
from proxyconf.nginx.tls import https_listens, tls_lines
from proxyconf.nginx.writing import Lines, block, comment, directive, includes, joined, mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxyconf.nginx.dialect import Dialect

_OTHER_FILES = 512  # listeners, logs, temporary files
_EMPTY = quoting.quote("")
_OWN = (
    comment("Written by proxyconf, again and again: what you change here is lost."),
    comment("Yours go to files beside this one: main.d/*.conf for what stands outside the http block,"),
    comment("http.d/*.conf for what stands inside it, host.d/HOST.conf for a host, location.d/HOST.conf for"),
    comment("each of its routes."),
)
_INCLUDED = (comment("Written by proxyconf, again and again: what you change here is lost."),)

# what is not said by every request at all times is a text: there may be several upstreams, or none
_LOGGED = {
    "time": word("$time_iso8601"),
    "remote_addr": word("$remote_addr"),
    "method": word("$request_method"),
    "host": word("$host"),
    "uri": word("$request_uri"),
    "protocol": word("$server_protocol"),
    "route_host": word("$server_name"),
    "upstream_addr": word("$upstream_addr"),
    "upstream_status": word("$upstream_status"),
    "upstream_response_time": word("$upstream_response_time"),
    "referer": word("$http_referer"),
    "user_agent": word("$http_user_agent"),
}
_LOGGED_NUMBERS = {
    "status": word("$status"),
    "bytes": word("$body_bytes_sent"),
    "request_time": word("$request_time"),
}


class Hosts(NamedTuple):
    """What the root file depends on besides the names of parts.

    Attributes:
        number: How many hosts there are.
        answer_unknown: One of them has the requests for unknown hosts, too.
        page_lines: What a server needs to have error pages.
    """

    number: int = 0
    answer_unknown: bool = False
    page_lines: tuple[Lines, ...] = ()


def files_needed(connections: int) -> int:
    """Return how many files a worker may have open: each connection may be passed on by another."""
    return 2 * connections + _OTHER_FILES


def root_text(
    dialect: Dialect, files: Iterable[str], *, mentioned: Iterable[str], hosts: Hosts, nonce: str
) -> bytes:
    """Write the root file.

    Args:
        dialect: For which nginx.
        files: Of services and hosts, in order.
        mentioned: Files that those refer to.
        hosts: What else there is to know of them.
        nonce: What the proof answers.

    Raises:
        BadValueError: A setting can't be written, such as a folder with a ``*`` in its name.
    """
    http = (
        *_hash_sizes(dialect, hosts.number + 1),
        *_variables(dialect),
        *(_http_of_our_own(dialect) if dialect.own else ()),
        *_default_server(dialect, hosts),
        _proof_server(dialect, nonce),
        includes(dialect.parts_folder, files),
        mentions(mentioned),
    )
    lines = (*_OWN, *_main(dialect), block("http", body=http)) if dialect.own else (*_INCLUDED, *http)
    return joined(lines).encode()


def _main(dialect: Dialect) -> Iterator[Lines]:
    """Write what stands outside the http block."""
    settings, folder = dialect.settings, dialect.folder
    if dialect.root and settings.user:
        yield directive("user", quoting.user_name(settings.user))
    if settings.worker_processes == "auto":
        yield directive("worker_processes auto")
    else:
        yield directive("worker_processes", quoting.number(settings.worker_processes, at_most=1024))
    yield directive("pid", quoting.file(folder / "nginx.pid"))
    level = quoting.identifier(settings.error_log_level)
    yield directive("error_log", quoting.file(folder / "error.log"), level)
    if dialect.root:  # the usual limit of 1,024 files would be 500 proxied connections
        files = files_needed(settings.worker_connections)
        yield directive("worker_rlimit_nofile", quoting.number(files, at_most=3_000_000))
    # refused inside http
    yield directive("worker_shutdown_timeout", quoting.duration(settings.worker_shutdown_timeout))
    yield directive("include", quoting.files(folder / "main.d"))
    connections = quoting.number(settings.worker_connections, at_most=1_000_000)
    yield block("events", body=(directive("worker_connections", connections),))


def _http_of_our_own(dialect: Dialect) -> Iterator[Lines]:
    """Write what the http block of somebody else's nginx has already, or must not inherit."""
    settings, folder = dialect.settings, dialect.folder
    for name in dialect.build.temp_paths:
        yield directive(quoting.identifier(f"{name}_temp_path"), quoting.file(folder / "temp" / name))
    yield from _access_log(dialect)
    if dialect.build.keepalive_min_timeout:
        yield directive("keepalive_min_timeout 3s")
    if settings.server_tokens is not None:  # else a file in http.d may say it, and twice is refused
        yield directive("server_tokens", quoting.switch(on=settings.server_tokens))
    yield proxy_lines(dialect)
    yield directive("include", quoting.files(folder / "http.d"))


def _access_log(dialect: Dialect) -> Iterator[Lines]:
    settings = dialect.settings
    if not settings.access_log:
        yield directive("access_log off")
        return
    log = quoting.file(settings.access_log)
    if settings.access_log_format == "combined":
        yield directive("access_log", log)
        return
    yield directive("log_format pc_json escape=json", quoting.json_object(_LOGGED, _LOGGED_NUMBERS))
    yield directive("access_log", log, word("pc_json"))


def _hash_sizes(dialect: Dialect, names: int) -> Iterator[Lines]:
    """Write the sizes of the table of names: with the default ONE of 47 characters fails everything."""
    if "server_names_hash_bucket_size" not in dialect.present:
        yield directive("server_names_hash_bucket_size 512")
    if "server_names_hash_max_size" not in dialect.present:
        size = max(512, 1 << (4 * names - 1).bit_length())  # a smaller one only costs a warning
        yield directive("server_names_hash_max_size", quoting.number(size, at_most=1 << 30))


def _variables(dialect: Dialect) -> Iterator[Lines]:
    """Write our variables; nginx computes one only where it is used."""
    yield block("geo $pc_dollar", body=(directive("default", quoting.quote_plain("$")),))
    # nothing but websockets: an upgrade to h2c would lead past the routes
    yield block(
        "map $http_upgrade $pc_upgrade",
        body=(directive("default", _EMPTY), directive("websocket websocket")),
    )
    unused = _EMPTY if dialect.settings.keepalive else word("close")
    yield block(
        "map $http_upgrade $pc_connection",
        body=(directive("default", unused), directive("websocket upgrade")),
    )
    yield block(
        "map $http_host $pc_port",
        body=(directive("default", _EMPTY), directive("~(?<pc_given_port>:[0-9]+)$ $pc_given_port")),
    )
    yield from client_variables(dialect)


def _default_server(dialect: Dialect, hosts: Hosts) -> Iterator[Lines]:
    """Write what answers an unknown host, on the addresses where nothing does yet."""
    answer: tuple[Lines, ...] = (
        directive("return", quoting.number(dialect.settings.default_status, at_most=999)),
    )
    challenge = challenge_location(dialect)  # also for a host whose container is yet to come
    if challenge or hosts.page_lines:
        answer = (*challenge, block("location /", body=answer), *hosts.page_lines)
    default = word("default_server")
    listens = [
        directive("listen", quoting.listen(address), default)
        for address in dialect.addresses
        if address not in dialect.default_servers and not hosts.answer_unknown
    ]
    if listens:
        yield block("server", body=(*listens, *client_lines(dialect), *answer))
    if listens := list(https_listens(dialect, default, but=dialect.default_servers)):
        # who got in by the name of one host may ask for another: browsers do, where its certificate has both
        elsewhere = block("location /", body=(directive("return", quoting.number(421, at_most=999)),))
        away = (tls_lines(dialect), directive("ssl_reject_handshake on"), *client_lines(dialect), elsewhere)
        yield block("server", body=(*listens, *away))


def _proof_server(dialect: Dialect, nonce: str) -> Lines:
    """Write what proves that nginx runs this very configuration."""
    # an address has its options once, and this server is on all of them
    options = (word("reuseport"),) if dialect.settings.listen.reuseport else ()
    listens = (directive("listen", quoting.listen(address), *options) for address in dialect.addresses)
    return block(
        "server",
        body=(
            *listens,
            directive("server_name", quoting.host_name(dialect.proof_name)),
            directive("access_log off"),
            directive("default_type text/plain"),
            directive("return 200", quoting.quote(nonce)),
        ),
    )
