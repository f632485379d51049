"""The program beside an nginx that somebody else configures: mode include."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.asking import ask, until
from tests.live.running import Running
from tests.live.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("nginx")

# with a default server and a table of names of its own, as Debian's nginx.conf may have
THEIRS = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    server_names_hash_bucket_size 128;
    access_log off;
    include conf.d/*.conf;
}}
"""
DEFAULT = "server {{ listen 127.0.0.1:{port} default_server; return 410; }}\n"
INCLUDE = "include '{state}/nginx/http.con[f]';\n"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Return the folder of somebody else's nginx."""
    (tmp_path / "nginx" / "conf.d").mkdir(parents=True)
    return tmp_path / "nginx"


@pytest.fixture
def proxy(theirs: Path, tmp_path: Path) -> Iterator[Running]:
    """proxyconf beside an nginx that runs and, so far, is only theirs."""
    conf = theirs / "nginx.conf"
    flags = ("-s", "nginx.mode=include", "-s", f"nginx.conf={conf}")
    with Running("--file", str(tmp_path / "sites.toml"), *flags) as proxy:
        conf.write_text(THEIRS.format(folder=theirs))
        (theirs / "conf.d" / "default.conf").write_text(DEFAULT.format(port=proxy.port))
        (theirs / "conf.d" / "proxyconf.conf").write_text(INCLUDE.format(state=proxy.state))
        route(proxy, "one")
        proxy.start_nginx(f"nginx -c {conf}")
        yield proxy


def route(proxy: Running, *names: str) -> None:
    """Let a.test lead to the backends *names*."""
    sites = Path(proxy.flags[proxy.flags.index("--file") + 1])
    addresses = [proxy.backend(name) for name in names]
    sites.write_text(f'[services.web]\nendpoints = {addresses}\n[routes.web]\nhost = "a.test"\n')


def test_our_hosts_join_theirs(proxy: Running, theirs: Path) -> None:
    """Their default server, their table of names and their files stay theirs."""
    before = {path: path.read_bytes() for path in theirs.rglob("*.conf")}
    proxy.start()
    proxy.until_serves("a.test", "one")
    assert proxy.ask("x.test") == "410"
    route(proxy, "two")
    proxy.until_serves("a.test", "two")
    status = proxy.until_state("applied")
    assert (status.nginx.mode, status.nginx.start) == ("include", f"nginx -c {theirs / 'nginx.conf'}")
    ours = (proxy.state / "nginx" / "http.conf").read_text()
    assert "default_server" not in ours
    assert "server_names_hash_bucket_size" not in ours
    assert {path: path.read_bytes() for path in theirs.rglob("*.conf")} == before
    assert list(theirs.rglob(".*")) == []
    proxy.stop()
    assert set(proxy.answers("a.test")) == {"two"}


def test_before_the_first_run_their_include_is_seen_too(proxy: Running, theirs: Path) -> None:
    """Though it leads nowhere yet: check, plan and doctor agree about it."""
    shutil.rmtree(proxy.state)
    for command in ("check", "plan", "doctor"):
        done = proxy.cli(command)
        assert "not include us" not in done.stdout + done.stderr, command
    assert "nginx takes it" in proxy.cli("check").stdout
    (theirs / "conf.d" / "proxyconf.conf").unlink()
    assert "does not include us" in proxy.cli("check").stderr


def test_their_first_server_stays_the_default(proxy: Running, theirs: Path) -> None:
    """It is one without the word as well: whoever asks their site by another name still gets it."""
    default = theirs / "conf.d" / "default.conf"
    default.write_text(default.read_text().replace(" default_server", ""))
    proxy.start()
    proxy.until_serves("a.test", "one")
    assert proxy.ask("x.test") == "410"


def test_what_they_change_is_respected(proxy: Running, theirs: Path) -> None:
    """They set what we had set, and give up their default server: no candidate contradicts them."""
    proxy.start()
    proxy.until_serves("a.test", "one")
    (theirs / "conf.d" / "names.conf").write_text("server_names_hash_max_size 1024;\n")
    (theirs / "conf.d" / "default.conf").unlink()
    route(proxy, "two")
    proxy.until_serves("a.test", "two")
    assert proxy.ask("x.test") == "404"
    assert proxy.events("site.refused") == []


def test_their_tree_is_broken_by_somebody(proxy: Running, theirs: Path) -> None:
    """It is refused under its own name, nothing is installed, and it heals when theirs is mended."""
    proxy.start()
    proxy.until_serves("a.test", "one")
    before = (proxy.state / "nginx" / "http.conf").read_bytes()
    broken = theirs / "conf.d" / "broken.conf"
    broken.write_text("nonsense on;\n")
    route(proxy, "two")
    refused = proxy.until_state("refused")
    assert f'unknown directive "nonsense" in {broken}:1' in refused.reason
    assert set(proxy.answers("a.test")) == {"one"}
    assert (proxy.state / "nginx" / "http.conf").read_bytes() == before
    broken.unlink()
    proxy.until_serves("a.test", "two")
    assert proxy.until_state("applied").problems == []


def test_a_main_file_that_is_broken_shows_the_real_name(proxy: Running, theirs: Path) -> None:
    """The main file is checked as a copy, which nobody knows."""
    proxy.start()
    proxy.until_serves("a.test", "one")
    conf = theirs / "nginx.conf"
    good = conf.read_text()
    conf.write_text(good.replace("access_log off;", "acess_log off;"))
    route(proxy, "two")
    refused = proxy.until_state("refused")
    assert f'unknown directive "acess_log" in {conf}:6' in refused.reason
    conf.write_text(good)
    proxy.until_serves("a.test", "two")


def test_a_host_that_is_theirs_already(proxy: Running, theirs: Path) -> None:
    """nginx only warns, and the first one wins: status says which host it is."""
    (theirs / "conf.d" / "a.conf").write_text(
        f"server {{ listen 127.0.0.1:{proxy.port}; server_name a.test; return 418; }}\n"
    )
    proxy.start()
    status = proxy.until_state("applied")
    assert [(problem.what, problem.where) for problem in status.problems] == [("host", "a.test")]
    proxy.until_serves("a.test", "418")


def test_nobody_includes_us(proxy: Running, theirs: Path) -> None:
    """It says what to add; when that is done, it goes on by itself."""
    include = theirs / "conf.d" / "proxyconf.conf"
    include.unlink()
    proxy.start()
    failed = proxy.until_state("failed")
    assert f"add 'include {proxy.state}/nginx/http.con[f];' to its http block" in failed.reason
    include.write_text(INCLUDE.format(state=proxy.state))
    proxy.until_serves("a.test", "one")


def test_somebody_takes_our_line_out(proxy: Running, theirs: Path) -> None:
    """Nothing of ours has changed, and no request comes to us any more: status must not say applied."""
    proxy.start()
    proxy.until_serves("a.test", "one")
    proxy.until_state("applied")
    include = theirs / "conf.d" / "proxyconf.conf"
    include.unlink()
    assert proxy.nginx
    proxy.nginx.send_signal(signal.SIGHUP)
    failed = proxy.until_state("failed")
    assert "it does not include us" in failed.reason
    assert failed.applied is None
    assert proxy.cli("explain", "a.test").stdout.startswith("a.test/ is not known to be served: failed: ")
    assert proxy.ask("a.test") == "410"
    include.write_text(INCLUDE.format(state=proxy.state))
    proxy.until_serves("a.test", "one")
    proxy.until_state("applied")


def test_a_port_of_theirs_that_is_taken(proxy: Running, theirs: Path) -> None:
    """The reload fails by no fault of ours: what is on disk is undone, and tried until it works."""
    proxy.start()
    proxy.until_serves("a.test", "one")
    proxy.until_state("applied")
    good = (proxy.state / "nginx" / "http.conf").read_bytes()
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        (theirs / "conf.d" / "more.conf").write_text(f"server {{ listen 127.0.0.1:{port}; return 418; }}\n")
        route(proxy, "two")
        failed = proxy.until_state("failed")
        assert "still could not bind()" in failed.reason
        ours = proxy.state / "nginx" / "http.conf"
        until(lambda: ours.read_bytes() == good, "the last good root is back between two attempts")
        assert set(proxy.answers("a.test")) == {"one"}
    proxy.until_serves("a.test", "two")
    assert ask(port, "x.test") == "418"


def test_files_for_a_host(proxy: Running) -> None:
    """They are beside ours, as in mode own."""
    file = proxy.state / "nginx" / "host.d" / "a.test.conf"
    file.parent.mkdir(parents=True)
    file.write_text("location = /own { return 418; }\n")
    proxy.start()
    proxy.until_serves("a.test", "one")
    assert proxy.ask("a.test", "/own") == "418"
    assert proxy.ask("x.test", "/own") == "410"
    proxy.until_state("applied")
    file.write_text("oops;\n")
    why = f'unknown directive "oops" in {file}:1 (its last good form serves)'
    proxy.until_status(lambda status: why in str(status.problems), "it is refused")
    plan = proxy.cli("plan")
    assert (plan.returncode, plan.stdout) == (0, "no files would change\n")
    assert why in plan.stderr
