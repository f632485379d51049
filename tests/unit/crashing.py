"""Kill a run at each of its steps on the disk, and see what the next one makes of it.

``python -m tests.unit.crashing FOLDER STORY`` forks, for each step, a run that ends itself as by kill -9
before that step; then another one that recovers. A program of its own, for what has threads should not fork.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from proxyconf.groups.undo import recover
from tests.unit.grouping import NGINX_TEST, Bench, FakeBeside, command, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxyconf.groups.group import Group

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STEPS = frozenset(
    {"os.rename", "os.remove", "os.chmod", "os.chown", "os.truncate", "os.link", "subprocess.Popen"}
)
_KILLED, _BAD = 137, 1
_PASSES = 3

Texts = dict[str, str]


@dataclass(frozen=True)
class Story:
    """A change, in the middle of which a run is killed.

    Attributes:
        name: Of it.
        before: Values that are in effect; none where nothing is yet.
        change: The values that the killed run tries to bring.
        end: Those that the next run finds.
        check: Of each resource.
        on_nginx: An nginx checks and loads them.
        refuses: It refuses to load anything while the killed run lasts.
    """

    name: str
    before: Texts
    change: Texts
    end: Texts
    check: str = ""
    on_nginx: bool = False
    refuses: bool = False


IN_PLACE = "! grep bad {dest}"
STAGED = "! grep bad {src}"
ONE, TWO, BAD = {"a": "1"}, {"a": "2"}, {"a": "bad"}
PAIR, NEXT_PAIR = {"a": "1", "b": "1"}, {"a": "2", "b": "2"}

STORIES = (
    Story("checked", ONE, TWO, TWO, check=STAGED),
    Story("checked, and back", ONE, TWO, ONE, check=STAGED),
    Story("first", {}, ONE, ONE),
    Story("unchecked, and back", ONE, TWO, ONE),
    Story("in place", ONE, TWO, TWO, check=IN_PLACE),
    Story("refused in place", ONE, BAD, TWO, check=IN_PLACE),
    Story("first, refused in place", {}, BAD, ONE, check=IN_PLACE),
    Story("together", PAIR, NEXT_PAIR, NEXT_PAIR, on_nginx=True),
    Story("together, and back", PAIR, NEXT_PAIR, PAIR, on_nginx=True),
    Story("not loaded", PAIR, NEXT_PAIR, NEXT_PAIR, on_nginx=True, refuses=True),
)


class Host:
    """A run's view of the folder."""

    def __init__(self, path: Path, story: Story) -> None:
        self.bench = Bench(path)
        self.story = story
        self.nginx = FakeBeside(self.bench.etc) if story.on_nginx else None

    def group(self) -> Group:
        bench, story = self.bench, self.story
        load = f"test -e {bench.path}/refuse || cat {bench.etc}/*.conf >{bench.path}/loaded"
        line = story.check.format(src="{{.src}}", dest="{{.dest}}")
        check = NGINX_TEST if story.on_nginx else command(line) if line else None
        reload = command(f"{load}; echo >>{bench.path}/hup")
        resources = [bench.resource(name, check=check, reload=reload) for name in story.end]
        return bench.group(*resources, nginx=self.nginx)

    def refuse(self) -> None:
        if self.nginx:
            self.nginx.hup = "refuse"
        (self.bench.path / "refuse").touch()

    def mend(self) -> None:
        (self.bench.path / "refuse").unlink(missing_ok=True)


def killed_before(step: int) -> Callable[[str, tuple[object, ...]], None]:
    """Return a hook that ends this process before it changes the disk, or runs a command, for that time."""
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _STEPS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES):
            left -= 1
            if left == 0:
                os._exit(_KILLED)

    return hook


async def run(path: Path, story: Story, step: int) -> None:
    """Bring the change, and be killed."""
    host = Host(path, story)
    if story.before:
        await host.group().bring(view(**story.before))
    group = host.group()
    await group.resume()
    if story.refuses:
        host.refuse()
    sys.addaudithook(killed_before(step))
    await group.bring(view(**story.change))


async def run_again(path: Path, story: Story) -> None:
    """Recover, go on, and see that all is well."""
    host = Host(path, story)
    host.mend()
    recover(host.bench.state.undo)
    found = host.bench.texts()
    good = [texts for texts in (story.before, story.change) if "bad" not in texts.values()]
    assert found in good, f"after the recovery: {found}"
    group = host.group()
    await group.resume()
    for _ in range(_PASSES):
        await group.bring(view(**story.end))
    assert host.bench.texts() == story.end, f"in place: {host.bench.texts()}"
    loaded = (path / "loaded").read_text()
    assert loaded == "".join(story.end.values()), f"in effect: {loaded}"
    assert {state.state for state in host.bench.states.values()} == {"applied"}, host.bench.states
    assert host.bench.left_overs() == [], f"left over: {host.bench.left_overs()}"


def forked(work: Callable[[], None]) -> int:
    """Do *work* in another process; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing may go on behind the fork
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(_BAD)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tell(folder: Path, story: Story) -> int:
    """Kill a run at each step of *story*; return how many there were, 0 if not all ended well."""
    step, is_well = 0, True
    while True:
        step += 1
        path = folder / str(step)
        path.mkdir()
        ended = forked(lambda path=path, step=step: asyncio.run(run(path, story, step)))  # type: ignore[misc]
        if ended not in (0, _KILLED):
            return 0
        if forked(lambda path=path: asyncio.run(run_again(path, story))):  # type: ignore[misc]
            sys.stderr.write(f"{story.name}: killed before step {step}\n")
            is_well = False
        if ended == 0:
            return step if is_well else 0


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    (wanted,) = [story for story in STORIES if story.name == sys.argv[2]]
    sys.stdout.write(str(tell(Path(sys.argv[1]), wanted)))
