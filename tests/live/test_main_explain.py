"""What explain and the API say of a real nginx: that it serves, that it has gone, and that it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.asking import until
from tests.live.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("nginx")


@pytest.fixture
def proxy() -> Iterator[Running]:
    with Running() as made:
        write(made, "a.test", made.backend("one"))
        made.flags = (*made.flags, "--file", str(sites(made)))
        made.serve()
        made.until_serves("a.test", "one")
        made.until_state("applied")
        yield made


def sites(proxy: Running) -> Path:
    return proxy.folder / "sites.toml"


def write(proxy: Running, host: str, *addresses: str) -> None:
    quoted = ", ".join(f'"{address}"' for address in addresses)
    text = f'[services.web]\nendpoints = [{quoted}]\n[routes.web]\nhost = "{host}"\n'
    sites(proxy).write_text(text)


def said(proxy: Running, what: str) -> tuple[int, str]:
    """Return the exit code and the verdict."""
    done = proxy.cli("explain", what)
    return done.returncode, done.stdout.partition("\n")[0]


def test_an_nginx_that_has_gone_serves_nothing(proxy: Running) -> None:
    assert said(proxy, "a.test")[0] == 0
    proxy.kill_nginx()
    assert "no nginx runs" in said(proxy, "a.test")[1], "before it is looked at, too"
    gone = proxy.until_state("installed")
    assert (gone.nginx.running, gone.applied) == (False, None)
    for what in ("a.test", "services/web", f"file {sites(proxy)}: routes.web"):
        code, verdict = said(proxy, what)
        assert code == 1
        assert "no nginx runs" in verdict
        assert f"start it with: nginx -c {proxy.root}" in verdict
    assert "nothing is proved" in said(proxy, "nobody.test")[1]
    proxy.start_nginx()
    back = proxy.until_state("applied")
    assert back.applied is not None
    assert said(proxy, "a.test")[0] == 0
    assert said(proxy, "nobody.test")[1].startswith("no route is for it: the default server answers")


def test_what_is_removed_during_a_pause_is_served_on(proxy: Running) -> None:
    """It is told so, as well as what comes; and an nginx that goes meanwhile is noticed."""
    assert proxy.cli("pause").returncode == 0
    write(proxy, "b.test", proxy.backend("one"))
    proxy.until_state("paused")
    assert proxy.ask("a.test") == "one"
    code, verdict = said(proxy, "a.test")
    assert (code, "; its removal is not in effect: paused: " in verdict) == (0, True)
    code, verdict = said(proxy, "b.test")
    assert code == 1
    assert verdict.startswith("b.test/ is not served: paused: 2 changes wait")
    proxy.kill_nginx()
    proxy.until_status(lambda status: status.nginx.running is False, "that it has gone")
    assert said(proxy, "a.test")[0] == 1
    proxy.start_nginx()
    assert proxy.ask("a.test") == "one"
    assert proxy.cli("resume").returncode == 0
    proxy.until_serves("b.test", "one")
    until(lambda: said(proxy, "b.test")[0] == 0, "b.test is told as served")


def test_a_change_that_fails_is_told_where_it_is_its_own(proxy: Running) -> None:
    """One that nginx refuses as a whole keeps everything as it was."""
    (proxy.root.parent / "http.d" / "more.conf").write_text("nonsense;\n")
    write(proxy, "a.test", proxy.backend("two"))
    proxy.until_state("refused")
    code, verdict = said(proxy, "a.test")
    assert code == 0
    assert "; its last change is not in effect: refused: " in verdict
    write(proxy, "a.test", proxy.backend("one"))
    until(lambda: "last change" not in said(proxy, "a.test")[1], "what is served is what it should be")
    assert proxy.status().state == "refused"


def test_an_nginx_that_is_started_anew_during_a_pause_is_in_step(proxy: Running) -> None:
    """Nothing waits for the end of the pause, so it is as ready as before."""
    assert proxy.cli("pause").returncode == 0
    proxy.kill_nginx()
    proxy.until_state("paused")
    proxy.start_nginx()
    assert proxy.ask("a.test") == "one"
    back = proxy.until_state("applied")
    assert (back.nginx.running, back.behind_since) == (True, None)
    assert said(proxy, "a.test")[1].startswith("a.test/ is served, since ")
    proxy.stop()
    proxy.start()
    assert proxy.until_state("applied").behind_since is None
    write(proxy, "a.test", proxy.backend("two"))
    proxy.until_state("paused")


def test_an_nginx_that_ends_while_another_configuration_is_refused_is_missed(proxy: Running) -> None:
    (proxy.root.parent / "http.d" / "more.conf").write_text("nonsense;\n")
    proxy.until_state("refused")
    proxy.kill_nginx()
    gone = proxy.until_status(lambda status: status.nginx.running is False, "that it has gone")
    assert (gone.state, gone.applied) == ("refused", None)


def test_a_look_that_misses_nginx_for_a_moment_does_not_last(proxy: Running) -> None:
    pid_file = proxy.root.parent / "nginx.pid"
    pid = pid_file.read_text()
    pid_file.unlink()
    assert said(proxy, "a.test")[0] == 1
    pid_file.write_text(pid)
    proxy.until_status(lambda status: status.nginx.running is True, "that it runs")
    until(lambda: "is served, since" in said(proxy, "a.test")[1], "what it serves is known")
