"""Templates beside a site: in one transaction with it where they are of its nginx, else by themselves."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import ask, until
from tests.live.server import free_ports
from tests.live.site_lab import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.etcd_server import EtcdServer

pytestmark = pytest.mark.needs("nginx")


@pytest.fixture
def site(tmp_path: Path, etcd: EtcdServer) -> Iterator[Site]:
    """A site with one host, a.test, which leads to the backend one."""
    site = Site(tmp_path, etcd)
    with site.proxy:
        site.keys.put("routes/web", {"host": "a.test"})
        site.keys.put("services/web/1", site.proxy.backend("one"))
        yield site


def test_one_transaction(site: Site, etcd: EtcdServer) -> None:
    """One reload for a change of both, proved by the nonce; what is refused leaves the site going on.

    A group of its own whose reload hangs holds up neither.
    """
    proxy = site.proxy
    etcd.put("/extra/status", "418")
    site.template("hangs", "")
    goes_on, hangs = site.folder / "goes-on", site.folder / "hangs"
    reload = f"until test -e {goes_on}; do sleep 0.05; done"
    site.configure(site.resource(), site.resource("hangs", dest=str(hangs), check_cmd="", reload_cmd=reload))
    proxy.serve()
    proxy.until_serves("a.test", "one")
    assert proxy.ask("extra.test") == "418"
    until(hangs.exists, "the other one is in place")
    states = {one.dest: (one.state, one.proof) for one in proxy.until_state("applied").templates}
    assert states[str(site.dest)] == ("applied", "nonce")
    assert states[str(hangs)] == ("reloading", "")
    reloads = proxy.reloads()

    etcd.transact({"/extra/status": "410", "/site/services/web/1": proxy.backend("two")})
    proxy.until_serves("a.test", "two")
    until(lambda: proxy.ask("extra.test") == "410", "the template is loaded")
    # a transaction over two ranges comes as two changes, now and then
    assert proxy.reloads() in (reloads + 1, reloads + 2)

    etcd.transact({"/extra/status": "nonsense", "/site/services/web/1": proxy.backend("three")})
    proxy.until_serves("a.test", "three")
    assert proxy.ask("extra.test") == "410"
    assert f'invalid return code "nonsense" in {site.dest}:4' in site.until_template("refused")
    assert proxy.nginx_test() == ""
    assert proxy.reloads() == reloads + 2

    etcd.put("/extra/status", "418")
    until(lambda: proxy.ask("extra.test") == "418", "it heals")
    site.until_template("applied")
    assert proxy.status().state == "applied"
    goes_on.touch()
    site.until_template("applied", hangs)


def test_a_reload_that_nginx_refuses(site: Site, etcd: EtcdServer) -> None:
    """What ``nginx -t`` can't see: both go back to what was proved, and forth when it is mended."""
    proxy = site.proxy
    etcd.put("/extra/status", "418")
    site.configure(site.resource())
    proxy.serve()
    proxy.until_serves("a.test", "one")
    good = site.dest.read_bytes()
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        etcd.transact({"/extra/port": str(port), "/site/services/web/1": proxy.backend("two")})
        reason = site.until_template("failed")
        assert "still could not bind()" in reason
        assert "its last good file is in place again" in reason
        until(lambda: site.dest.read_bytes() == good, "it is")
        assert set(proxy.answers("a.test")) == {"one"}
    proxy.until_serves("a.test", "two")
    assert ask(port, "extra.test") == "418"
    site.until_template("applied")
    proxy.until_state("applied")


def test_before_there_is_a_site(site: Site, etcd: EtcdServer) -> None:
    """A template that is wrong from the start keeps nobody else from it; no nginx is a state.

    It has no check_cmd, but a file in a folder that the site's nginx reads could keep that from starting.
    """
    proxy = site.proxy
    etcd.put("/extra/status", "nonsense")
    other = site.folder / "other"
    site.template("other", '{{ services.web[0].host }} {{ routes[0].host }} {{ getv("/extra/status") }}\n')
    site.configure(site.resource(check_cmd=""), site.resource("other", dest=str(other), check_cmd=""))
    proxy.start()
    assert "invalid return code" in site.until_template("refused")
    assert not site.dest.exists()
    until(other.exists, "the other one is written")
    assert other.read_text() == "127.0.0.1 a.test nonsense\n"
    etcd.put("/extra/status", "418")
    assert "no nginx runs" in site.until_template("installed")
    proxy.start_nginx()
    proxy.until_state("applied")
    assert proxy.ask("extra.test") == "418"
    site.until_template("applied")
    assert {template.dest: template.proof for template in proxy.status().templates} == {
        str(site.dest): "nonce",
        str(other): "written",
    }


def test_a_hang_up(site: Site, etcd: EtcdServer) -> None:
    """Settings of nginx, sources and templates take effect without a restart; a mistake changes nothing."""
    proxy = site.proxy
    etcd.put("/extra/status", "418")
    site.configure()
    proxy.serve()
    proxy.until_serves("a.test", "one")
    assert proxy.ask("x.test") == "404"
    since = proxy.status().sources[0].since

    site.configure(more="[nginx]\ndefault_status = 444\n")
    site.hang_up()
    until(lambda: proxy.ask("x.test") not in ("404", "200"), "unknown hosts are hung up on")
    assert set(proxy.answers("a.test")) == {"one"}
    assert len(proxy.events("source.listed")) == 1

    site.configure(site.resource())
    site.hang_up()
    until(lambda: proxy.ask("extra.test") == "418", "the template is there")
    assert set(proxy.answers("a.test")) == {"one"}
    until(lambda: proxy.ask("x.test") == "404", "the default is the default")
    assert proxy.status().sources[0].since == since

    site.configure(site.resource(kyes=["/a"]), more="[nginx]\ndefault_satus = 444\n")
    site.hang_up("configuration.refused")
    refused = proxy.events("configuration.refused")[-1]["reason"]
    assert "default_satus: unknown key (did you mean 'default_status'?)" in refused
    assert "going on with the one before" in refused
    etcd.put("/extra/status", "410")
    until(lambda: proxy.ask("extra.test") == "410", "the one before is followed")
    assert set(proxy.answers("a.test")) == {"one"}

    site.configure()
    site.hang_up()
    proxy.until_status(lambda status: not status.templates, "the template is forgotten")
    assert proxy.ask("extra.test") == "410", "its file is the operator's now"


def test_other_endpoints_restart_only_that_source(site: Site, etcd: EtcdServer) -> None:
    """The other one keeps its watch, and what the first said counts until its successor speaks."""
    proxy = site.proxy
    extra = site.folder / "more.toml"
    extra.write_text(f'[services.b]\nendpoints = ["{proxy.backend("two")}"]\n[routes.b]\nhost = "b.test"\n')
    files = f'[file]\npath = ["{extra}"]\n'
    site.configure(more=files)
    proxy.serve()
    proxy.until_serves("b.test", "two")
    (dead,) = free_ports(1)
    site.configure(more=files)
    site.config.write_text(site.config.read_text().replace(etcd.url, f"http://127.0.0.1:{dead}"))
    site.hang_up()
    sources = proxy.until_status(lambda status: status.sources[0].state == "lost", "it is lost").sources
    assert [(source.name, source.state) for source in sources] == [("etcd", "lost"), ("file", "watching")]
    assert set(proxy.answers("a.test")) == {"one"}
    site.configure(more=files)
    site.hang_up()
    site.keys.put("services/web/1", proxy.backend("three"))
    proxy.until_serves("a.test", "three")
    listed = [event["source"] for event in proxy.events("source.listed")]
    assert (listed.count("file"), listed.count("etcd")) == (1, 2)


def test_the_other_commands(site: Site, etcd: EtcdServer) -> None:
    """check, render and status show templates as they show the site."""
    proxy = site.proxy
    etcd.put("/extra/status", "418")
    site.configure(site.resource(), site.resource("none", dest=str(site.folder / "none"), check_cmd=""))
    site.template("none", "{{ nonsense }}\n")
    assert "templates: 2\n" in proxy.cli("check").stdout
    rendered = proxy.cli("render")
    assert f"# ==> files{site.dest}\nserver {{" in rendered.stdout
    assert "return 418;" in rendered.stdout
    assert f"[[template]] {site.folder}/none: render " in rendered.stderr
    site.template("none", "well\n")
    proxy.serve()
    site.until_template("applied")
    text = proxy.cli("status").stdout
    assert f"{site.dest} <- extra: applied" in text
    assert "proved by nonce: its nginx answered with it" in text
    assert "written: there is nothing to reload" in text
