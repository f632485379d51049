"""status --watch in a real terminal, while proxyconf comes, goes and comes back."""

from __future__ import annotations

import os
import sys

import pytest

from tests.live.running import REPOSITORY, Running
from tests.live.terminal import Terminal

pytestmark = pytest.mark.needs("nginx")

HOSTS = 40


def site(address: str) -> str:
    routes = [f'[routes.r{number}]\nhost = "h{number}.test"\nservice = "web"\n' for number in range(HOSTS)]
    return f'[services.web]\nendpoints = ["{address}"]\n' + "".join(routes)


def test_a_live_view() -> None:
    """It fits, it says what is cut, it outlives a restart, and leaves the terminal as it was."""
    with Running() as proxy:
        sites = proxy.folder / "sites.toml"
        sites.write_text(site("127.0.0.1:1"))
        proxy.flags = (*proxy.flags, "--file", str(sites))
        command = [sys.executable, "-m", "proxyconf", "status", "--watch", *proxy.flags]
        with Terminal(command, cwd=REPOSITORY) as terminal:
            terminal.until_shows("no answer for ")
            proxy.serve()
            shown = terminal.until_shows("state: applied")
            assert any(line.startswith("  file: watching") for line in shown)
            assert f"routes ({HOSTS})" in shown
            assert any(line.startswith("  ... and ") and line.endswith(" more") for line in shown)
            assert len(shown) <= 24
            assert not terminal.echoes()
            terminal.resize(60)
            terminal.until_shows("h39.test -> web")
            sites.write_text(site("127.0.0.1:2"))
            terminal.until_shows("s ago applied: - web 127.0.0.1:1, + web 127.0.0.1:2; served after")
            proxy.stop()
            terminal.until_shows("below is what it said last; asking again")
            proxy.start()
            terminal.until_shows("it has been started anew")
            assert terminal.interrupt() == os.EX_OK
            assert terminal.echoes()
            assert terminal.written.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l")
