"""What nginx and its kin say about themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyconf.errors import UsageError
from proxyconf.nginx.build import Build, parse_build
from tests.golden.cases import build


def test_debian() -> None:
    assert build("debian") == Build(
        flavour="nginx",
        version=(1, 22, 1),
        prefix=Path("/usr/share/nginx"),
        conf_path=Path("/etc/nginx/nginx.conf"),
        pid_path=Path("/run/nginx.pid"),
        error_log_path="stderr",
        user="nobody",
        ssl=True,
        http2=True,
        realip=True,
    )


def test_nginx_org() -> None:
    assert build("nginx_org") == Build(
        flavour="nginx",
        version=(1, 30, 1),
        prefix=Path("/etc/nginx"),
        conf_path=Path("/etc/nginx/nginx.conf"),
        pid_path=Path("/run/nginx.pid"),
        error_log_path="/var/log/nginx/error.log",
        user="nginx",
        ssl=True,
        http2=True,
        realip=True,
    )


def test_without_options_nginx_has_its_own_defaults() -> None:
    assert parse_build("nginx version: nginx/1.26.3\nconfigure arguments:\n") == Build(version=(1, 26, 3))


def test_relative_paths_start_at_the_prefix() -> None:
    text = (
        "nginx version: nginx/1.26.3\nconfigure arguments: --prefix=/opt/n --conf-path=my.conf --pid-path=/p"
    )
    found = parse_build(text)
    assert (found.conf_path, found.pid_path) == (Path("/opt/n/my.conf"), Path("/p"))
    assert found.error_log_path == "/opt/n/logs/error.log"


@pytest.mark.parametrize(
    ("lines", "flavour", "version"),
    [
        pytest.param("nginx version: nginx/1.24.0 (Ubuntu)", "nginx", (1, 24, 0), id="Ubuntu"),
        pytest.param("nginx version: nginx/1.27.4 (no pool)", "nginx", (1, 27, 4), id="no pool"),
        pytest.param("nginx version: openresty/1.27.1.2", "openresty", (1, 27, 1), id="OpenResty"),
        pytest.param(
            "Tengine version: Tengine/3.1.0\nnginx version: nginx/1.24.0", "tengine", (1, 24, 0), id="Tengine"
        ),
        pytest.param(
            "Angie version: Angie/1.11.0\nnginx version: nginx/1.29.3", "angie", (1, 29, 3), id="Angie"
        ),
        pytest.param("Angie version: Angie/1.0.0", "angie", (), id="old Angie"),
        pytest.param("nginx version: freenginx/1.31.1", "freenginx", (), id="freenginx"),
    ],
)
def test_the_kin(lines: str, flavour: str, version: tuple[int, ...]) -> None:
    found = parse_build(f"{lines}\nbuilt by gcc\nconfigure arguments: --with-debug\n")
    assert (found.flavour, found.version) == (flavour, version)


@pytest.mark.parametrize(
    ("version", "has"), [((), False), ((1, 27, 3), False), ((1, 27, 4), True), ((1, 30, 0), True)]
)
def test_keepalive_min_timeout(version: tuple[int, ...], has: bool) -> None:  # noqa: FBT001 - a parameter
    assert Build(version=version).keepalive_min_timeout is has


@pytest.mark.parametrize(
    ("version", "without", "keeps"),
    [
        ((1, 29, 6), "", False),
        ((1, 29, 7), "", True),
        ((1, 29, 7), "http_upstream_keepalive_module", False),
        ((), "", False),
    ],
)
def test_who_keeps_connections_to_services_unasked(
    version: tuple[int, ...],
    without: str,
    keeps: bool,  # noqa: FBT001 - a parameter
) -> None:
    assert Build(version=version, without=frozenset({without})).keeps_by_itself is keeps


@pytest.mark.parametrize(
    ("version", "rejects", "by_host"),
    [
        ((1, 19, 3), False, False),
        ((1, 19, 4), True, False),
        ((1, 25, 0), True, False),
        ((1, 25, 1), True, True),
        ((), True, False),
    ],
)
def test_what_of_tls_it_can(version: tuple[int, ...], rejects: bool, by_host: bool) -> None:  # noqa: FBT001 - parameters
    """The kin of nginx of which no version is known are younger than the first, and take the older words."""
    build = Build(version=version)
    assert (build.rejects_handshakes, build.http2_by_host) == (rejects, by_host)


def test_only_modules_that_are_there_have_a_temp_path() -> None:
    left_out = "--without-http_scgi_module --without-http_uwsgi_module"
    text = f"nginx version: nginx/1.22.1\nconfigure arguments: {left_out}"
    assert parse_build(text).temp_paths == ("client_body", "proxy", "fastcgi")


def test_a_stray_quote_in_the_compilers_flags_does_no_harm() -> None:
    text = "nginx version: nginx/1.22.1\nconfigure arguments: --with-cc-opt='-DX=\" --prefix=/opt/n"
    assert parse_build(text).prefix == Path("/opt/n")


@pytest.mark.parametrize("text", ["", "nginx version: nginx/1.22.1\n", "configure arguments: --prefix=/x\n"])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nginx -V"):
        parse_build(text)
