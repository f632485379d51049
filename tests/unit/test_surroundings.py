"""Somebody else's nginx.conf: what of it matters to us, and the copies by which a candidate is checked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import CommandError, StateError
from proxyconf.nginx.surroundings import Shadow, read_surroundings

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
    assert [file.name for file, _ in found.chain] == ["nginx.conf", "b.conf"]


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


def test_without_our_include_there_is_no_chain(conf: Path, ours: Path) -> None:
    (conf.parent / "conf.d" / "b.conf").unlink()
    assert read_surroundings(conf, ours).chain == ()


def test_files_that_include_themselves_are_read_to_an_end(conf: Path, ours: Path) -> None:
    (conf.parent / "conf.d" / "a.conf").write_text("include conf.d/*.conf; aio on;")
    assert "aio" in read_surroundings(conf, ours).present


def test_a_main_file_that_is_missing_is_named(tmp_path: Path, ours: Path) -> None:
    with pytest.raises(CommandError, match=r"read .*/none: No such file.*set \[nginx\] conf"):
        read_surroundings(tmp_path / "none", ours)


def test_an_included_file_that_cannot_be_read_is_left_to_nginx(conf: Path, ours: Path) -> None:
    (conf.parent / "conf.d" / "c.conf").mkdir()
    assert read_surroundings(conf, ours).chain


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


def test_the_shadow_leads_to_the_candidate(conf: Path, ours: Path, tmp_path: Path) -> None:
    """Only the files on the way are copied; all else is included as it is."""
    shadow = Shadow(read_surroundings(conf, ours), tmp_path / "candidate")
    shadow.write()
    assert shadow.main == tmp_path / ".nginx.conf.proxyconf-check"
    copy = tmp_path / "conf.d" / ".b.conf.proxyconf-check"
    assert f'include "{tmp_path}/conf.d/a.conf"; include "{copy}";' in shadow.main.read_text()
    assert "include /nowhere/*;" in shadow.main.read_text()
    assert copy.read_text() == f'include "{tmp_path}/candidate"; tcp_nopush on;'
    assert shadow.in_real_names(f"emerg in {copy}:1 and {shadow.main}:2") == (
        f"emerg in {tmp_path}/conf.d/b.conf:1 and {conf}:2"
    )
    shadow.remove()
    assert sorted(path.name for path in tmp_path.rglob(".*")) == []


def test_the_copy_is_no_more_readable_than_the_file(conf: Path, ours: Path, tmp_path: Path) -> None:
    conf.chmod(0o600)
    shadow = Shadow(read_surroundings(conf, ours), tmp_path / "candidate")
    shadow.write()
    assert shadow.main.stat().st_mode & 0o777 == 0o600
    shadow.remove()


def test_a_file_that_went_meanwhile_is_named(conf: Path, ours: Path, tmp_path: Path) -> None:
    shadow = Shadow(read_surroundings(conf, ours), tmp_path / "candidate")
    conf.unlink()
    with pytest.raises(StateError, match=r"copy .*/nginx\.conf to check it: No such file"):
        shadow.write()
    shadow.remove()


def test_a_copy_that_can_not_be_made_nor_removed_is_named(conf: Path, ours: Path, tmp_path: Path) -> None:
    """As one that a killed run has left in a folder that is read-only now."""
    shadow = Shadow(read_surroundings(conf, ours), tmp_path / "candidate")
    shadow.main.mkdir()
    with pytest.raises(StateError, match=r"copy .*/nginx\.conf to check it: Is a directory"):
        shadow.write()
    shadow.remove()
