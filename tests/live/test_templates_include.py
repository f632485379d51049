"""Templates in the folders of an nginx that somebody else configures, and that includes our site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.site_lab import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.etcd_server import EtcdServer

pytestmark = pytest.mark.needs("nginx")

THEIRS = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 2;
events {{}}
http {{
    access_log off;
    include conf.d/*.conf;
    include '{state}/nginx/http.con[f]';
}}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The folder of their nginx."""
    (tmp_path / "nginx" / "conf.d").mkdir(parents=True)
    return tmp_path / "nginx"


@pytest.fixture
def site(tmp_path: Path, theirs: Path, etcd: EtcdServer) -> Iterator[Site]:
    """A site that is included by theirs, which runs; its templates go to their conf.d."""
    flags = ("-s", "nginx.mode=include", "-s", f"nginx.conf={theirs}/nginx.conf")
    site = Site(tmp_path, etcd, *flags)
    site.dest = theirs / "conf.d" / "extra.conf"
    with site.proxy:
        (theirs / "nginx.conf").write_text(THEIRS.format(folder=theirs, state=site.proxy.state))
        site.keys.put("routes/web", {"host": "a.test"})
        site.keys.put("services/web/1", site.proxy.backend("one"))
        etcd.put("/extra/status", "418")
        yield site


def reloads(theirs: Path) -> int:
    return (theirs / "error.log").read_text().count("(SIGHUP) received")


def test_one_reload_for_both(site: Site, theirs: Path) -> None:
    """A key that the site and a template need: checked one after the other, loaded together."""
    proxy = site.proxy
    address = proxy.backend("one")
    status = f'{{{{ "418" if getv("/site/services/web/1") == "{address}" else "410" }}}}'
    text = f"server {{ listen 127.0.0.1:{proxy.port}; server_name extra.test; return {status}; }}\n"
    site.template("extra", text)
    usual = site.resource(check_cmd=f"nginx -t -c {theirs}/nginx.conf", reload_cmd="service nginx reload")
    site.configure(usual | {"keys": ["/site/services"]})
    proxy.start()
    site.until_template("installed")
    proxy.start_nginx(f"nginx -c {theirs}/nginx.conf")
    proxy.until_serves("a.test", "one")
    site.until_template("applied")
    assert proxy.ask("extra.test") == "418"
    before = reloads(theirs)
    site.keys.put("services/web/1", proxy.backend("two"))
    proxy.until_serves("a.test", "two")
    assert (proxy.ask("extra.test"), reloads(theirs)) == ("410", before + 1)


def test_one_transaction(site: Site, theirs: Path, etcd: EtcdServer) -> None:
    """What reloads their nginx in one of the usual ways is left to us: one reload, proved by the nonce."""
    proxy = site.proxy
    check = f"nginx -t -c {theirs}/nginx.conf"
    site.configure(site.resource(check_cmd=check, reload_cmd="service nginx reload"))
    proxy.start()
    site.until_template("installed")
    proxy.start_nginx(f"nginx -c {theirs}/nginx.conf")
    proxy.until_serves("a.test", "one")
    site.until_template("applied")
    assert proxy.ask("extra.test") == "418"
    etcd.transact({"/extra/status": "410", "/site/services/web/1": proxy.backend("two")})
    proxy.until_serves("a.test", "two")
    until(lambda: proxy.ask("extra.test") == "410", "the template is loaded")
    etcd.transact({"/extra/status": "nonsense", "/site/services/web/1": proxy.backend("three")})
    proxy.until_serves("a.test", "three")
    assert f'invalid return code "nonsense" in {site.dest}:4' in site.until_template("refused")
    assert proxy.ask("extra.test") == "410"
    assert proxy.status().templates[0].proof == "nonce"
    until(lambda: list(theirs.rglob(".*")) == [], "no copy and no staged file is left")


def test_a_reload_of_their_own(site: Site, theirs: Path, etcd: EtcdServer) -> None:
    """It is run as they wrote it, beside the site's: neither disturbs the other, and both are proved."""
    proxy = site.proxy
    reload = f"kill -HUP $(cat {theirs}/nginx.pid) && echo >> {site.folder}/runs"
    site.configure(site.resource(check_cmd=f"nginx -t -c {theirs}/nginx.conf", reload_cmd=reload))
    (theirs / "conf.d" / "first.conf").write_text(f"server {{ listen 127.0.0.1:{proxy.port}; return 404; }}")
    proxy.start_nginx(f"nginx -c {theirs}/nginx.conf")
    proxy.start()
    proxy.until_serves("a.test", "one")
    until(lambda: proxy.ask("extra.test") == "418", "the template is served")
    for status in ("401", "402", "403", "410"):
        etcd.transact({"/extra/status": status, "/site/services/web/1": proxy.backend(f"b{status}")})
    proxy.until_serves("a.test", "b410")
    until(lambda: proxy.ask("extra.test") == "410", "the template is served")
    site.until_template("applied")
    assert proxy.until_state("applied").templates[0].proof == "workers"
    assert (site.folder / "runs").exists()
