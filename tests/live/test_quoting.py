"""Every character in every context, read back through a real nginx."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote as percent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyconf.errors import BadValueError
from proxyconf.nginx import quoting
from proxyconf.nginx.quoting import word
from proxyconf.nginx.writing import block, directive, joined
from tests.live.nginx_server import NginxServer, check
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from proxyconf.nginx.quoting import Token
    from proxyconf.nginx.writing import Lines

pytestmark = pytest.mark.needs("nginx")

CHARACTERS = [*map(chr, range(0x100)), "€", "你", "\u2028", "😀"]
HOSTILE = [
    "a; } server { root /etc",
    "/ { root /etc; } location /y",
    'a"; return 200 "b',
    "a\\",
    'a\\"; x "',
    r"\n\r\t\x00",
    "a # b",
    "$http_authorization ${host} $1 $",
    "'a' \"b\" `c`",
    "{{a}}",
    "x" * quoting.TOKEN_BYTES_MAX,
]


def test_every_character_reads_back(tmp_path: Path) -> None:
    """Those that are not refused; each between two letters."""
    texts = [f"a{character}b" for character in CHARACTERS]
    written = _read_back(tmp_path, [*texts, *HOSTILE])
    assert [ord(text[1]) for text in texts if text not in written] == [*range(0x20), *range(0x7F, 0xA0)]
    assert set(HOSTILE) <= set(written)


@settings(max_examples=4, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8") | st.sampled_from("\"\\$;{}#/' "), max_size=40), max_size=80
    )
)
def test_any_texts_read_back(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _read_back(Path(folder), texts)


def test_every_character_of_a_host_name(tmp_path: Path) -> None:
    """A name is refused, or nginx knows the server by it; a plain character can't be lost on the way."""
    hosts = _allowed(quoting.host_name, [f"a{character}b" for character in CHARACTERS])
    assert "".join(host[1] for host in hosts) == "-.0123456789_abcdefghijklmnopqrstuvwxyz"

    def servers(port: int) -> Iterator[Lines]:
        for host in ["none", *hosts]:
            name = directive("server_name", quoting.host_name(host))
            yield block("server", body=[_listen(port), name, directive("return 200 $server_name")])

    with _serving(tmp_path, servers) as nginx:
        assert [nginx.get(host).body.decode() for host in hosts] == hosts


def test_every_character_of_a_service(tmp_path: Path) -> None:
    """Any name of a service gives an upstream that nginx takes, and no two the same."""
    services = [f"a{character}b" for character in CHARACTERS]
    closed = quoting.endpoint(f"127.0.0.1:{free_ports(1)[0]}")

    def servers(port: int) -> Iterator[Lines]:
        locations = []
        for number, service in enumerate(services):
            yield block("upstream", quoting.upstream(service), body=[directive("server", closed)])
            passed = directive("proxy_pass", quoting.proxy_target(service))
            locations.append(block("location =", quoting.location(f"/{number}"), body=[passed]))
        tell = directive("add_header X-Name $proxy_host always")
        yield block("server", body=[_listen(port), tell, *locations])

    with _serving(tmp_path, servers) as nginx:
        names = [nginx.get("a", f"/{number}").headers["x-name"] for number in range(len(services))]
    assert names == [quoting.upstream(service) for service in services]
    assert len(set(names)) == len(services)


def test_every_character_of_an_address(tmp_path: Path) -> None:
    """Whatever is let through is the one address that nginx connects to."""
    port = free_ports(1)[0]
    texts = [f"127.0.{character}1:{port}" for character in ["0.", "1.", *CHARACTERS]]
    addresses = _allowed(quoting.endpoint, [*texts, f"[::1]:{port}", f"[0:0::1]:{port}"])
    assert addresses == [f"127.0.0.1:{port}", f"127.0.1.1:{port}", f"[::1]:{port}", f"[0:0::1]:{port}"]

    def servers(port: int) -> Iterator[Lines]:
        locations = []
        for number, address in enumerate(addresses):
            server = directive("server", quoting.endpoint(address), quoting.weight(7))
            yield block("upstream", quoting.upstream(address), body=[server])
            passed = directive("proxy_pass", quoting.proxy_target(address))
            locations.append(block("location =", quoting.location(f"/{number}"), body=[passed]))
        tell = directive("add_header X-Address $upstream_addr always")
        yield block("server", body=[_listen(port), tell, *locations])

    with _serving(tmp_path, servers) as nginx:
        told = [nginx.get("a", f"/{number}").headers["x-address"] for number in range(len(addresses))]
    assert told == [quoting.endpoint(address) for address in addresses]


def test_every_character_of_a_path(tmp_path: Path) -> None:
    """The path is compared with the decoded one of the request."""
    # nginx resolves "/./" and merges "//" before it compares, and a request can't bring it a NUL
    paths = _allowed(quoting.location, [f"/a{character}b" for character in CHARACTERS])

    def servers(port: int) -> Iterator[Lines]:
        locations = [
            block(
                "location =",
                quoting.location(path),
                body=[directive("return 200", quoting.quote(f"{path}!"))],
            )
            for path in paths
        ]
        yield block("server", body=[_listen(port), directive("default_type text/plain"), *locations])

    with _serving(tmp_path, servers) as nginx:
        assert [nginx.get("a", percent(path)).body.decode() for path in paths] == [
            f"{path}!" for path in paths
        ]
    assert len(paths) == len(CHARACTERS) - 0x20 - 0x21


def _read_back(folder: Path, texts: Iterable[str]) -> list[str]:
    """Have nginx serve *texts* as bodies and headers; return those that were not refused."""
    allowed = _allowed(quoting.quote, texts)

    def servers(port: int) -> Iterator[Lines]:
        locations = []
        for number, text in enumerate(allowed):
            # the brackets keep white space at the ends, which HTTP would strip from a header
            header = directive("add_header X-Text", quoting.quote(f"<{text[:1000]}>"))
            body = [header, directive("return 200", quoting.quote(text))]
            locations.append(block("location =", quoting.location(f"/{number}"), body=body))
        yield block("server", body=[_listen(port), *locations])

    with _serving(folder, servers) as nginx:
        for number, text in enumerate(allowed):
            answer = nginx.get("a", f"/{number}")
            assert answer.body.decode() == text
            assert answer.headers["x-text"].encode("latin-1").decode() == f"<{text[:1000]}>"
    return allowed


def _allowed(typed: Callable[[str], Token], texts: Iterable[str]) -> list[str]:
    allowed = []
    for text in texts:
        try:
            typed(text)
        except BadValueError:
            continue
        allowed.append(text)
    return allowed


def _listen(port: int) -> Lines:
    return directive("listen", quoting.listen(f"127.0.0.1:{port}"))


def _serving(folder: Path, servers: Callable[[int], Iterable[Lines]]) -> NginxServer:
    """Return an nginx, not started, with *servers*, which ``nginx -t`` has nothing to say against."""
    nginx = NginxServer(folder, folder / "nginx.conf")
    dollar = block("geo $pc_dollar", body=[directive("default", quoting.quote_plain("$"))])
    http = (
        directive("access_log off"),
        directive("server_names_hash_bucket_size 512"),
        directive("client_body_temp_path", quoting.file(folder / "body")),
        directive("proxy_temp_path", quoting.file(folder / "proxy")),
        directive("fastcgi_temp_path", quoting.file(folder / "fastcgi")),
        directive("uwsgi_temp_path", quoting.file(folder / "uwsgi")),
        directive("scgi_temp_path", quoting.file(folder / "scgi")),
        dollar,
        *servers(nginx.port),
    )
    lines = (
        directive("worker_processes 1"),
        directive("pid", quoting.file(folder / "nginx.pid")),
        directive("error_log", quoting.file(folder / "error.log"), word("crit")),
        block("events", body=[]),
        block("http", body=http),
    )
    nginx.conf.write_text(joined(lines))
    assert check(nginx.conf) == ""
    return nginx
