"""A file that the kernel refuses to watch: its real limits, in a user namespace of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("unshare")


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_a_limit_of_the_kernel(tmp_path: Path, limit: str) -> None:
    """Polled and said, as long as it is reached; watched again after that."""
    namespace = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces (on a host, or in a container with --privileged)")
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.live.file_limits", str(tmp_path / "a.yaml"), limit],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    listed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[{")]
    assert [(pairs, len(problems)) for pairs, problems in listed] == [
        ({"/version": "1"}, 1),
        ({"/version": "2"}, 1),
        ({"/version": "2"}, 0),
        ({"/version": "3"}, 0),
    ]
    (problem,) = listed[0][1]
    assert problem.startswith("source file: can't be watched (")
    assert "so it is read every 0.05 s (raise fs.inotify.max_user_instances, max_user_watches" in problem
