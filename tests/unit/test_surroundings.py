"""Somebody else's nginx.conf: what of it matters to us."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import CommandError
from proxyconf.nginx.surroundings import read_surroundings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Return a main file that includes two others, the second of which includes us."""
    (tmp_path / "conf.d").mkdir()
    main = tmp_path / "nginx.conf"
    main.write_text(
        "pid run/nginx.pid; error_log /var/log/e.log; error_log stderr;\n"
        "http { gzip on; include conf.d/*.conf; include /nowhere/*; include missing.conf; }\n"
    )
    (tmp_path / "conf.d" / "a.conf").write_text(
        "sendfile on; server { listen 127.0.0.1:80 default_server; listen 443 ssl; gzip_static on; }"
    )
    (tmp_path / "conf.d" / "b.conf").write_text(f"include '{tmp_path}/ours/http.con[f]'; tcp_nopush on;")
    return main


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return tmp_path / "ours" / "http.conf"


def test_what_matters_is_found(conf: Path, ours: Path) -> None:
    found = read_surroundings(conf, ours)
    assert {"gzip", "sendfile", "tcp_nopush", "server"} == found.present
    assert found.default_servers == {"127.0.0.1:80", "443"}
    assert (found.pid, found.error_log) == ("run/nginx.pid", "/var/log/e.log")


def test_the_first_that_listens_is_the_default_server(conf: Path, ours: Path) -> None:
    """Unless it comes after us: then nginx would take one of ours."""
    (conf.parent / "conf.d" / "a.conf").write_text("server { listen 80; listen [::]:80 ipv6only=on; }")
    (conf.parent / "conf.d" / "c.conf").write_text(
        "server { listen 81; } server { listen 82 default_server; }"
    )
    assert read_surroundings(conf, ours).default_servers == {"80", "[::]:80", "82"}


def test_our_own_file_is_not_theirs(conf: Path, ours: Path) -> None:
    ours.parent.mkdir()
    ours.write_text("server_names_hash_bucket_size 512; server { listen 81 default_server; }")
    found = read_surroundings(conf, ours)
    assert "server_names_hash_bucket_size" not in found.present
    assert found.default_servers == {"127.0.0.1:80", "443"}


def test_alone_only_the_main_context_is_read(conf: Path) -> None:
    """Where pid file and log are is asked before every change, and http blocks may be large."""
    (conf.parent / "main.conf").write_text("pid other.pid; user nobody;")
    conf.write_text("include main.conf; " + conf.read_text())
    found = read_surroundings(conf)
    assert (found.pid, found.error_log) == ("other.pid", "/var/log/e.log")
    assert found.present == {"gzip"}
    assert str(conf.parent / "conf.d") not in dict(found.stamps)


def test_files_that_include_each_other_are_read_to_an_end(conf: Path, ours: Path) -> None:
    """However many: nginx refuses them."""
    for number in range(20):
        (conf.parent / "conf.d" / f"c{number}.conf").write_text("include conf.d/*.conf; aio on;")
    (conf.parent / "conf.d" / "d.conf").write_text("server { include conf.d/d.conf; listen 81; listen; }")
    found = read_surroundings(conf, ours)
    assert "aio" in found.present
    assert "81" not in found.default_servers


def test_a_main_file_that_is_missing_is_named(tmp_path: Path, ours: Path) -> None:
    with pytest.raises(CommandError, match=r"read .*/none: No such file.*set \[nginx\] conf"):
        read_surroundings(tmp_path / "none", ours)


def test_an_included_file_that_cannot_be_read_is_left_to_nginx(conf: Path, ours: Path) -> None:
    (conf.parent / "conf.d" / "0.conf").mkdir()
    assert "tcp_nopush" in read_surroundings(conf, ours).present


@pytest.mark.parametrize(
    "name", [pytest.param("conf.d/a.conf", id="changed"), pytest.param("conf.d/new.conf", id="added")]
)
def test_a_change_among_the_files_is_noticed(conf: Path, ours: Path, name: str) -> None:
    found = read_surroundings(conf, ours)
    assert found.is_current()
    file = conf.parent / name
    file.write_text("aio on;")
    os.utime(file, (1, 1))
    os.utime(file.parent, (1, 1))
    assert not found.is_current()
