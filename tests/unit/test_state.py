"""What outlives the process: the lock, the token, the listings, what was applied last."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from proxyconf.api import Pause
from proxyconf.errors import StateError
from proxyconf.model import Container, Entry, Listing, Problem
from proxyconf.state import Applied, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

APPLIED = Applied(digest="d" * 64, nonce="n-1", at=12.5, owners={"a.test/": ("etcd", "routes/a")})
ETCD = Listing(
    "etcd",
    revision=7,
    cluster="c",
    keys={"services/web/1": Entry(b"\xff\0", 3, "there")},
    problems=(Problem("file", "x", "bad"),),
    place="etcd /p/{key}",
    urgent=True,
    last_good={"services/web/1": Entry(b"10.0.0.1:80", 2, "there")},
)
DOCKER = Listing(
    "docker",
    containers=(Container("1" * 64, "web", {"a": "b"}, "running", "healthy", {"n": "10.0.0.1"}, (80,), 9),),
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Return a state whose lock is held."""
    made = State(tmp_path / "deep" / "state")
    with made.locked():
        yield made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_who_may_read_what(tmp_path: Path, mask: int) -> None:
    """nginx's workers get through to nginx's folder; the store's values are nobody else's business."""
    with umask(mask):
        state = State(tmp_path / "state")
        with state.locked():
            state.token()
            state.save_listings((ETCD,))
            state.save_applied(APPLIED)
    assert mode(state.path) == 0o755
    assert mode(state.path / "listings") == 0o700
    for name in ("token", "listings/etcd.msgpack", "applied.json"):
        assert mode(state.path / name) == 0o600
    assert mode(state.path / "lock") & 0o022 == 0


def test_the_lock_holds_our_pid(state: State) -> None:
    assert (state.path / "lock").read_text() == f"{os.getpid()}\n"


def hold(path: Path, held: Connection) -> None:
    """Hold the lock until told to go."""
    with State(path).locked():
        held.send(os.getpid())
        held.recv()


def test_a_second_one_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, theirs))
    other.start()
    try:
        pid = ours.recv()
        with pytest.raises(StateError, match=f"lock {tmp_path}: proxyconf with pid {pid} uses it"), \
                State(tmp_path).locked():  # fmt: skip
            pass
        assert (tmp_path / "lock").read_text() == f"{pid}\n"
    finally:
        ours.send("go")
        other.join(10)
    with State(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_without_a_pid_is_held_by_somebody_unknown(state: State) -> None:
    (state.path / "lock").write_text("")
    with pytest.raises(StateError, match="pid unknown uses it"), State(state.path).locked():
        pass


def test_the_lock_of_a_dead_one_is_free(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("99999999\n")
    with State(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "state"
    with pytest.raises(StateError) as caught, State(path).locked():
        pass
    assert str(caught.value) == (
        f"open state folder {path}: Not a directory (set [state] dir, or run as its owner)"
    )


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("uid", "name"), [pytest.param(65_534, "nobody", id="name"), pytest.param(4_242, "'#4242'", id="number")]
)
def test_root_is_not_to_take_the_place_of_another_user(tmp_path: Path, uid: int, name: str) -> None:
    """That one's proxyconf could not so much as open the lock again."""
    with State(tmp_path).locked():
        pass
    os.chown(tmp_path / "lock", uid, uid)
    with pytest.raises(StateError) as caught:
        State(tmp_path).refuse_root()
    assert f"(sudo -u {name} proxyconf ..., or set another [state] dir;" in str(caught.value)
    with State(tmp_path).locked():  # to end a pause, or put files back, leaves nothing of root's
        assert (tmp_path / "lock").stat().st_uid == uid


@pytest.mark.needs("root")
def test_root_may_begin_in_a_folder_of_another_user(tmp_path: Path) -> None:
    """As in a container: a new volume has the owner that its folder has in the image."""
    os.chown(tmp_path, 65_534, 65_534)
    for _ in "twice":
        State(tmp_path).refuse_root()
        with State(tmp_path).locked():
            assert (tmp_path / "lock").stat().st_uid == 0


def test_the_token_stays(state: State) -> None:
    token = state.token()
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert state.token() == State(state.path).token() == token


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"0123456789abcdef" * 2 + b"\n", id="a line"),
        pytest.param(b'"; return 200 "', id="something else"),
        pytest.param(b"\xff" * 32, id="no text"),
    ],
)
def test_a_damaged_token_is_made_anew(state: State, damaged: bytes) -> None:
    (state.path / "token").write_bytes(damaged)
    token = state.token()
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert state.token() == token


def test_tokens_differ(tmp_path: Path) -> None:
    tokens = set()
    for name in "abc":
        with State(tmp_path / name).locked():
            tokens.add(State(tmp_path / name).token())
    assert len(tokens) == 3


def test_listings_come_back_as_they_were(state: State) -> None:
    state.save_listings((ETCD, DOCKER))
    assert State(state.path).load_listings() == (DOCKER, ETCD)


def test_without_a_folder_nothing_is_known(tmp_path: Path) -> None:
    state = State(tmp_path / "none")
    assert (state.load_listings(), state.load_applied()) == ((), None)


def test_a_listing_of_a_version_that_noted_no_last_good_values(state: State) -> None:
    """An update of ours forgets nothing."""
    earlier = msgspec.to_builtins(ETCD, builtin_types=(bytes,))
    del earlier["last_good"]
    (state.path / "listings" / "etcd.msgpack").write_bytes(msgspec.msgpack.encode(earlier))
    assert state.load_listings() == (replace(ETCD, last_good={}),)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x81", id="half"),
        pytest.param(b"\x81\xa6source\x01", id="wrong type"),
        pytest.param(b"text", id="no msgpack"),
    ],
)
def test_a_damaged_listing_counts_as_none(state: State, content: bytes) -> None:
    state.save_listings((ETCD, DOCKER))
    (state.path / "listings" / "etcd.msgpack").write_bytes(content)
    again = State(state.path)
    assert again.load_listings() == (DOCKER,)
    again.save_listings((DOCKER, ETCD))
    assert State(state.path).load_listings() == (DOCKER, ETCD)


def test_only_what_differs_is_written(state: State) -> None:
    state.save_listings((ETCD, DOCKER))
    files = [state.path / "listings" / name for name in ("etcd.msgpack", "docker.msgpack")]
    before = [file.stat().st_ino for file in files]
    newer = Listing("docker", revision=1)
    state.save_listings((ETCD, newer))
    after = [file.stat().st_ino for file in files]
    assert after[0] == before[0]
    assert after[1] != before[1]
    again = State(state.path)
    assert again.load_listings() == (newer, ETCD)
    again.save_listings(again.load_listings())
    assert [file.stat().st_ino for file in files] == after


def test_a_source_that_is_not_followed_any_more_is_forgotten(state: State) -> None:
    """Its values are nobody's business, and must not count again when it comes back in a year."""
    state.save_listings((ETCD, DOCKER))
    again = State(state.path)
    again.load_listings()
    again.save_listings((DOCKER,))
    assert [file.name for file in (state.path / "listings").iterdir()] == ["docker.msgpack"]
    assert State(state.path).load_listings() == (DOCKER,)
    (state.path / "listings" / "docker.msgpack").unlink()
    again.save_listings(())


def test_what_was_applied_comes_back(state: State) -> None:
    state.save_applied(APPLIED)
    assert State(state.path).load_applied() == APPLIED


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"digest": "d"', id="half"),
        pytest.param(b'{"digest": "d"}', id="too little"),
        pytest.param(b"\xff", id="no text"),
    ],
)
def test_a_damaged_file_of_what_was_applied_counts_as_none(state: State, content: bytes) -> None:
    (state.path / "applied.json").write_bytes(content)
    assert state.load_applied() is None


def test_a_disk_that_takes_nothing_is_named(state: State) -> None:
    """What was there stays."""
    state.save_applied(APPLIED)
    (state.path / "applied.json.new").mkdir()
    with pytest.raises(StateError, match=r"write .*/applied\.json: Is a directory \(may we write there"):
        state.save_applied(Applied(digest="e", nonce="n", at=1.0))
    assert state.load_applied() == APPLIED


def test_a_listing_that_could_not_be_saved_is_saved_later(state: State) -> None:
    blocked = state.path / "listings" / "etcd.msgpack.new"
    blocked.mkdir()
    with pytest.raises(StateError):
        state.save_listings((ETCD,))
    blocked.rmdir()
    state.save_listings((ETCD,))
    assert State(state.path).load_listings() == (ETCD,)


def test_a_pause_outlives_the_process(state: State) -> None:
    assert state.load_pause() is None
    noted = state.save_pause("moving \N{SNOWMAN}")
    assert State(state.path).load_pause() == noted
    assert (noted.reason, mode(state.path / "paused")) == ("moving \N{SNOWMAN}", 0o600)
    state.end_pause()
    state.end_pause()
    assert state.load_pause() is None


def test_a_pause_may_be_noted_by_hand(state: State) -> None:
    (state.path / "paused").write_bytes(b"a \xff\n")
    os.utime(state.path / "paused", (5, 5))
    found = state.load_pause()
    assert found is not None
    assert (found.since, found.reason) == (5.0, "a \ufffd")


def test_a_pause_that_is_asked_for_again_keeps_its_time(state: State) -> None:
    """And its reason, unless there is a new one: who did not say why must not wipe why it was."""
    state.save_pause("moving")
    os.utime(state.path / "paused", (5, 5))
    assert state.save_pause("") == Pause(since=5.0, reason="moving")
    assert state.save_pause("still moving") == Pause(since=5.0, reason="still moving")
    assert state.load_pause() == Pause(since=5.0, reason="still moving")


def test_a_pause_that_can_not_be_ended(state: State) -> None:
    (state.path / "paused").mkdir()
    assert state.load_pause() is None
    with pytest.raises(StateError, match=r"remove .*/paused: .* \(run as its owner\)"):
        state.end_pause()


@pytest.mark.needs("root")
def test_root_goes_on_in_a_folder_that_another_user_left_to_it(tmp_path: Path) -> None:
    """As in a volume whose lock is older: a lock stays its first owner's."""
    with State(tmp_path).locked():
        State(tmp_path).save_applied(Applied(digest="d", nonce="n", at=1.0))
    os.chown(tmp_path / "lock", 1, 1)
    State(tmp_path).refuse_root()
    os.chown(tmp_path / "applied.json", 1, 1)
    with pytest.raises(StateError, match="in use by"):
        State(tmp_path).refuse_root()
