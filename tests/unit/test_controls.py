"""The commands that steer what runs: on the real program in another process, and where none runs."""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from proxyconf.state import State
from tests.unit.calling import call, child, outcome
from tests.unit.installed import Installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@contextmanager
def running(installed: Installed) -> Iterator[None]:
    """Run it until the end of the block."""
    process = child("run", *installed.arguments())
    try:
        while said(installed, "status", "--json").get("state", "starting") == "starting":
            assert process.poll() is None
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        code, _, err = outcome(process)
    assert code == 0, err


def said(installed: Installed, *command: str) -> dict[str, object]:
    text = call(*command, "--state", str(installed.state)).stdout
    return dict(json.loads(text)) if text else {}


def test_explained(installed: Installed) -> None:
    """The exit code says whether it is served; what is no question is a mistake in use."""
    state = ("--state", str(installed.state))
    with running(installed):
        done = call("explain", "nobody.test", *state)
        assert done.exit_code == 1
        assert done.stdout.startswith("no route is for it, and nothing is proved: installed: ")
        assert not json.loads(call("explain", "nobody.test", "--json", *state).stdout)["is_served"]
        wrong = call("explain", "no host!", *state)
        assert wrong.exit_code == 2
        assert "write HOST, HOST/PATH" in wrong.stderr


def test_paused_and_resumed(installed: Installed) -> None:
    """It outlives the program; what has come meanwhile comes into effect at the end."""
    state = ("--state", str(installed.state))
    with running(installed):
        assert call("resume", *state).stdout == "nothing was paused\n"
        assert call("pause", *state, "--because", "moving").stdout.startswith("paused: nothing is applied")
        again = r"already paused: for \d+ s \(moving\); nothing is applied until proxyconf resume\n"
        assert re.fullmatch(again, call("pause", *state).stdout)
    root = installed.state / "nginx" / "nginx.conf"
    before = root.read_text()
    installed.sites.write_text(installed.sites.read_text().replace("web.test", "new.test"))
    once = call("once", *installed.arguments())
    assert once.exit_code == 1
    assert once.stdout.startswith("not applied: paused: ")
    with running(installed):
        shown = said(installed, "status", "--json")
        assert shown["state"] == "paused"
        assert "(moving); nothing is applied" in call("status", *state).stdout
        assert root.read_text() == before
        assert re.fullmatch(r"resumed after \d+ s \(moving\)\n", call("resume", *state).stdout)
        while said(installed, "status", "--json")["state"] == "paused":
            time.sleep(0.05)
        assert root.read_text() != before
        attempts = json.loads(call("history", *state, "--json").stdout)
        assert attempts[-1]["asked"] == ["resume", "start"]
        assert "installed, by file, resume, start\n" in call("history", *state, "-n", "1").stdout


def test_a_pause_can_be_ended_where_nothing_runs(installed: Installed) -> None:
    with State(installed.state).locked():
        State(installed.state).save_pause("")
        busy = call("resume", "--state", str(installed.state))
        assert (busy.exit_code, busy.stdout) == (1, "")
        assert "uses it" in busy.stderr
    assert call("resume", "--state", str(installed.state)).stdout == "resumed after 0 s\n"
    assert State(installed.state).load_pause() is None
