"""A kill -9 at any step: the next run recovers, and all ends well with nobody helping."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.crashing import STORIES

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("story", [pytest.param(story.name, id=story.name) for story in STORIES])
def test_killed(story: str, tmp_path: Path) -> None:
    """Before each change of the disk, and each command."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.crashing", tmp_path, story],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    steps = int(done.stdout or 0)
    assert steps > 10, done.stderr[-3000:]
