"""Templates without a site, from every kind of source: services, routes, containers and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.site_lab import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.docker_engine import DockerEngine
    from tests.live.etcd_server import EtcdServer

TEXT = """\
{% for route in routes %}
{{ route.host }}{{ route.path }}: {{ services[route.service]|map(attribute="address")|join(" ") }}
{% endfor %}
{% for container in containers %}
{{ container.name }} {{ container.state }} {{ container.labels.get("tier", "-") }}
{% endfor %}
{{ getv("/title", "untitled") }}
"""


@pytest.fixture
def site(tmp_path: Path, etcd: EtcdServer) -> Iterator[Site]:
    site = Site(tmp_path, etcd, "-s", "nginx.mode=none")
    site.dest = tmp_path / "text"
    site.template("text", TEXT)
    with site.proxy:
        yield site


def until_text(site: Site, text: str) -> None:
    until(lambda: site.dest.exists() and site.dest.read_text() == text, text)


def test_services_and_routes(site: Site, etcd: EtcdServer) -> None:
    """Of several sources; a bad value is a problem, and no more."""
    more = site.folder / "more.toml"
    more.write_text('[services.b]\nendpoints = ["10.0.0.9:80"]\n[routes.b]\nhost = "b.test"\npath = "/x"\n')
    site.keys.put("routes/web", {"host": "a.test"})
    site.keys.put("services/web/1", "10.0.0.1:80")
    reload = f"echo >> {site.folder}/reloads"
    text = site.resource("text", keys=["/title"], check_cmd="", reload_cmd=reload)
    site.configure(text, more=f'[file]\npath = ["{more}"]\n')
    site.proxy.start()
    until_text(site, "a.test/: 10.0.0.1:80\nb.test/x: 10.0.0.9:80\nuntitled\n")
    etcd.put("/title", "titled")
    until_text(site, "a.test/: 10.0.0.1:80\nb.test/x: 10.0.0.9:80\ntitled\n")
    site.keys.put("services/web/2", "no address")
    site.keys.put("services/web/3", "10.0.0.3:80")
    until_text(site, "a.test/: 10.0.0.1:80 10.0.0.3:80\nb.test/x: 10.0.0.9:80\ntitled\n")
    status = site.proxy.until_state("applied")
    assert (status.state, status.nginx.mode, status.applied) == ("applied", "none", None)
    assert [problem.what for problem in status.problems] == ["endpoint"]
    assert len(status.routes) == 2
    assert (site.folder / "reloads").read_text() == "\n\n\n"
    assert "no address" in site.proxy.cli("status").stdout
    once = site.proxy.cli("once", "--state", str(site.folder / "other"))
    assert (once.returncode, once.stdout) == (0, "1 applied\n")


@pytest.mark.needs("root")
async def test_containers(site: Site, etcd: EtcdServer, docker_engine: DockerEngine) -> None:
    """All of the engine, whether they are labelled for us or not."""
    etcd.put("/title", "titled")
    text = site.resource("text", keys=["/title"], check_cmd="")
    site.configure(text, more=f'[docker]\nurl = "{docker_engine.url}"\n')
    site.proxy.start()
    until_text(site, "titled\n")
    await docker_engine.run("one", labels={"tier": "front"})
    until_text(site, "one running front\ntitled\n")
    await docker_engine.remove("one")
    until_text(site, "titled\n")
