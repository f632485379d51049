"""Deaths, stop signals and the times of lists, without any engine: time is a number."""

from __future__ import annotations

import math
import signal
from dataclasses import replace

import pytest

from proxyconf.model import Container
from proxyconf.sources._docker_events import Mirror
from proxyconf.sources._docker_reading import Details, Event, Stop

WEB = Container("web", "web", {}, "running", networks={"bridge": "198.18.0.2"}, ports=(8080,))
DEAD = replace(WEB, state="exited", networks={}, ports=())


def mirror_of(*containers: Container) -> Mirror:
    """Return a mirror that listed *containers* at 0 s, lists again at 60 s, and told the news."""
    mirror = Mirror(env=False)
    assert mirror.ask(0)
    mirror.take(containers, 0, relist_s=60)
    assert mirror.news(0) == (containers, False)
    return mirror


def relist(mirror: Mirror, *containers: Container, asked: float) -> None:
    assert mirror.ask(asked)
    mirror.take(containers, asked, relist_s=60)


def remove(mirror: Mirror, *, at: float) -> None:
    mirror.hear(Event("destroy", "web", 2), at)
    relist(mirror, asked=at)


def kill(sig: int) -> Event:
    return Event("kill", "web", 1, sig)


def test_unknown_is_not_empty() -> None:
    """Before the first list nothing is told, even after events; an empty list is news."""
    mirror = Mirror(env=False)
    mirror.hear(Event("die", "web", 1), 0)
    assert mirror.news(0) is None
    relist(mirror, asked=0.0)
    assert mirror.news(0) == ((), False)


def test_equal_lists_are_no_news() -> None:
    """Neither the same list again nor the same in another order."""
    other = replace(WEB, id="api")
    mirror = mirror_of(other, WEB)
    relist(mirror, WEB, other, asked=60)
    assert mirror.news(60) is None


def test_a_death_counts_at_once_and_is_urgent() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 1), 1)
    assert mirror.news(1) == ((DEAD,), True)


@pytest.mark.parametrize("died", [True, False], ids=["died first", "not seen to die"])
def test_a_removed_container_is_remembered_for_a_minute(died: bool) -> None:  # noqa: FBT001
    """It is no container any more, and has no address; that it is forgotten is news."""
    mirror = mirror_of(WEB)
    if died:
        mirror.hear(Event("die", "web", 1), 1)
        mirror.news(1)
    remove(mirror, at=2)
    assert (mirror.news(2), mirror.removed()) == (((), False), (DEAD,))
    relist(mirror, asked=2.25)
    assert (mirror.news(61.9), mirror.removed()) == (None, (DEAD,))
    assert mirror.wake() == 62
    assert (mirror.news(62), mirror.removed()) == (((), False), ())


def test_one_that_was_never_started_is_not_remembered() -> None:
    mirror = mirror_of(replace(WEB, state="created"))
    remove(mirror, at=1)
    assert (mirror.news(1), mirror.removed()) == (((), False), ())


def test_one_that_comes_back_was_not_removed() -> None:
    """An engine may leave out a container that it restarts."""
    mirror = mirror_of(WEB)
    remove(mirror, at=1)
    assert (mirror.news(1), mirror.removed()) == (((), False), (DEAD,))
    relist(mirror, WEB, asked=1.2)
    assert (mirror.news(1.2), mirror.removed()) == (((WEB,), False), ())


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_list_does_not_bring_the_dead_back(state: str) -> None:
    """The engine lists a dead container as running for a while, and that is still no news later."""
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 1), 1)
    mirror.news(1)
    relist(mirror, replace(WEB, state=state), asked=1)
    assert mirror.news(1) is None
    relist(mirror, WEB, asked=1.02)
    assert mirror.news(1.02) is None


def test_a_list_asked_for_before_the_death_proves_nothing() -> None:
    """Not even that the container is gone: it was asked for before the container was made."""
    mirror = mirror_of()
    assert mirror.ask(60)
    mirror.hear(Event("die", "web", 1), 60.1)
    mirror.take((), 60.2, relist_s=60)
    relist(mirror, WEB, asked=60.5)
    assert mirror.news(60.5) == ((DEAD,), False)


@pytest.mark.parametrize(
    "caught_up", [(), (DEAD,), (replace(WEB, state="restarting"),)], ids=["gone", "exited", "restarting"]
)
def test_a_list_that_knows_of_the_death_ends_it(caught_up: tuple[Container, ...]) -> None:
    """From then on the engine is right again, also when the event of the next start is lost."""
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 1), 1)
    mirror.news(1)
    relist(mirror, *caught_up, asked=1.02)
    mirror.news(1.02)
    relist(mirror, WEB, asked=1.25)
    assert mirror.news(1.25) == ((WEB,), False)


def test_a_newer_start_ends_a_death() -> None:
    """But only for lists asked for after it: an earlier one may have the old address."""
    moved = replace(WEB, networks={"bridge": "198.18.0.9"})
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 1), 1)
    mirror.news(1)
    assert mirror.ask(1)
    mirror.hear(Event("start", "web", 2), 1.1)
    assert mirror.news(1.1) is None
    mirror.take((WEB,), 1.2, relist_s=60)
    assert mirror.news(1.2) is None
    relist(mirror, moved, asked=1.5)
    assert mirror.news(1.5) == ((moved,), False)


def test_an_older_start_does_not_end_a_death() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 2), 1)
    mirror.news(1)
    mirror.hear(Event("start", "web", 1), 1.1)
    relist(mirror, WEB, asked=1.2)
    assert mirror.news(1.2) is None


def test_a_death_is_doubted_after_half_a_minute() -> None:
    """An engine that still says running by then is right: no lost event hides a container for ever."""
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 2), 1)
    mirror.news(1)
    relist(mirror, WEB, asked=30)
    assert mirror.news(30) is None
    relist(mirror, WEB, asked=90)
    assert mirror.news(90) == ((WEB,), False)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_told_to_stop_drains_at_once(sig: int) -> None:
    """Without asking the engine anything first."""
    mirror = mirror_of(WEB)
    mirror.hear(kill(sig), 1)
    assert mirror.questions(1) == []
    assert mirror.news(1) == ((replace(WEB, draining=True),), False)
    mirror.hear(Event("die", "web", 2), 2)
    assert mirror.news(2) == ((DEAD,), True)


def test_a_kill_asks_for_no_list() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGTERM), 1)
    assert not mirror.ask(1)


@pytest.mark.parametrize("sig", [signal.SIGHUP, signal.SIGUSR1])
def test_other_signals_change_nothing(sig: int) -> None:
    """The container is asked about once, and never again."""
    mirror = mirror_of(WEB)
    mirror.hear(kill(sig), 1)
    mirror.hear(kill(sig), 1)
    assert mirror.questions(1) == ["web"]
    assert mirror.questions(1) == []
    mirror.learn("web", Details())
    mirror.hear(kill(sig), 2)
    assert mirror.questions(2) == []
    assert mirror.news(2) is None
    assert mirror.wake() == 60


def test_its_own_stop_signal_drains() -> None:
    """Known only after the answer; counted from when the signal was sent."""
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGHUP), 1)
    mirror.hear(kill(signal.SIGQUIT), 2)
    assert mirror.questions(2) == ["web"]
    assert mirror.news(2) is None
    mirror.learn("web", Details(Stop(signal.SIGQUIT, 10)))
    assert mirror.news(3) == ((replace(WEB, draining=True),), False)
    assert mirror.wake() == 2 + 10 + 5
    assert mirror.news(17) == ((WEB,), False)
    mirror.hear(kill(signal.SIGQUIT), 20)
    assert mirror.news(20) == ((replace(WEB, draining=True),), False)


@pytest.mark.parametrize(
    ("stop", "lapse"),
    [
        pytest.param(Stop(), 1 + 10 + 5, id="default"),
        pytest.param(Stop(timeout_s=30), 1 + 30 + 5, id="own time-out"),
        pytest.param(Stop(timeout_s=math.inf), 1 + 3600 + 5, id="never killed"),
    ],
)
def test_draining_lapses_without_a_death(stop: Stop, lapse: float) -> None:
    """After the container's own time and 5 s; it is asked about only when the default time has passed."""
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGTERM), 1)
    mirror.news(1)
    assert mirror.wake() == 11
    assert mirror.questions(11) == ["web"]
    mirror.learn("web", Details(stop))
    assert mirror.wake() == min(lapse, 60)
    assert mirror.news(lapse - 0.01) is None
    assert mirror.news(lapse) == ((WEB,), False)


def test_a_second_signal_extends_the_draining() -> None:
    """As docker stop does, which kills at the end of its time."""
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGTERM), 1)
    mirror.news(1)
    mirror.hear(kill(signal.SIGKILL), 11)
    assert mirror.news(16) is None
    assert mirror.news(26) == ((WEB,), False)


def test_a_signal_told_after_the_death_is_not_for_the_next_life() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(Event("die", "web", 2), 1)
    mirror.hear(kill(signal.SIGKILL), 1)
    mirror.hear(Event("start", "web", 3), 1.1)
    relist(mirror, WEB, asked=1.2)
    assert mirror.news(1.2) is None


def test_a_start_ends_draining() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGTERM), 1)
    mirror.hear(Event("start", "web", 3), 2)
    assert mirror.news(2) is None


@pytest.mark.parametrize(
    "action", ["start", "pause", "unpause", "health_status", "rename", "destroy", "connect", "disconnect"]
)
def test_events_ask_for_lists_at_once_and_later(action: str) -> None:
    """The engine tells before its list shows it."""
    mirror = mirror_of(WEB)
    mirror.hear(Event(action, "web", 1), 1)
    relist(mirror, WEB, asked=1)
    assert mirror.wake() == 1.02
    relist(mirror, WEB, asked=1.02)
    assert mirror.wake() == 1.25
    relist(mirror, WEB, asked=1.25)
    assert mirror.wake() == 1.25 + 60


def test_other_events_ask_for_nothing() -> None:
    """Podman sends what it was not asked for."""
    mirror = mirror_of(WEB)
    mirror.hear(Event("exec_start", "web", 1), 1)
    assert mirror.wake() == 60


def test_events_while_a_list_is_on_its_way_make_one_more() -> None:
    mirror = mirror_of(WEB)
    mirror.look(1)
    assert mirror.ask(1)
    for number in range(20):
        mirror.hear(Event("start", f"c{number}", 1), 1.001)
        assert not mirror.ask(1.001)
    mirror.take((WEB,), 1.005, relist_s=60)
    assert mirror.wake() == pytest.approx(1.01)


def test_lists_rest_as_long_as_they_took() -> None:
    """At most a second, so that no storm of events keeps the engine busy with lists alone."""
    mirror = mirror_of(WEB)
    for asked, took, rest in ((60, 0.05, 0.05), (61, 5, 1)):
        assert mirror.ask(asked)
        mirror.hear(Event("start", "web", 1), asked)
        mirror.take((WEB,), asked + took, relist_s=60)
        assert mirror.wake() == pytest.approx(asked + took + rest)


def test_a_new_connection_expects_no_old_answers() -> None:
    """What was known of a container stays known; what was asked is asked again."""
    mirror = mirror_of(WEB)
    mirror.learn("web", Details())
    mirror.hear(Event("kill", "api", 1, signal.SIGHUP), 1)
    assert mirror.ask(60)
    assert mirror.questions(60) == ["api"]
    mirror.forget_question()
    assert mirror.ask(60)
    assert mirror.questions(60) == ["api"]


def test_nothing_is_kept_of_containers_that_are_gone() -> None:
    mirror = mirror_of(WEB)
    mirror.hear(kill(signal.SIGHUP), 1)
    mirror.questions(1)
    mirror.learn("web", Details())
    mirror.hear(Event("die", "web", 1), 2)
    relist(mirror, asked=3)
    mirror.hear(kill(signal.SIGHUP), 4)
    assert mirror.questions(4) == ["web"]


ROUTED = Details(env={"VIRTUAL_HOST": "a.test"})
WEB_ROUTED = replace(WEB, env=ROUTED.env)
API = replace(WEB, id="api", name="api")


def inspecting(*containers: Container) -> Mirror:
    """Return a mirror that inspected all of *containers*, with `ROUTED` for an answer, and told the news."""
    mirror = Mirror(env=True)
    relist(mirror, *containers, asked=0)
    for container in mirror.questions(0):
        mirror.learn(container, ROUTED)
    assert mirror.news(0) is not None
    return mirror


def test_the_first_news_wait_for_all_variables() -> None:
    """A container without its variables would be another one, and its host would vanish for a moment."""
    mirror = Mirror(env=True)
    relist(mirror, API, WEB, asked=0)
    assert mirror.questions(0) == ["api", "web"]
    assert mirror.questions(0) == []
    mirror.learn("web", ROUTED)
    assert mirror.news(0) is None
    mirror.learn("api", Details())
    assert mirror.news(0) == ((API, WEB_ROUTED), False)


def test_a_container_is_inspected_once() -> None:
    """Whatever the next lists say of it; a kill asks no more either, as its stop signal is known."""
    mirror = inspecting(WEB)
    relist(mirror, replace(WEB, name="renamed"), asked=60)
    mirror.hear(kill(signal.SIGHUP), 60)
    assert mirror.questions(60) == []
    assert mirror.news(60) == ((replace(WEB_ROUTED, name="renamed"),), False)


def test_a_new_container_is_inspected_beside_the_list() -> None:
    """And shown with its variables; meanwhile the others are shown as they are."""
    mirror = inspecting(WEB)
    mirror.hear(Event("start", "api", 1), 1)
    mirror.hear(Event("start", "web", 1), 1)
    assert mirror.questions(1) == ["api"]
    relist(mirror, API, replace(WEB, state="paused"), asked=1)
    assert mirror.questions(1) == []
    assert mirror.news(1) == ((replace(WEB_ROUTED, state="paused"),), False)
    mirror.learn("api", Details())
    assert mirror.news(1) == ((API, replace(WEB_ROUTED, state="paused")), False)


def test_what_is_gone_before_it_is_listed_is_forgotten() -> None:
    mirror = inspecting(WEB)
    mirror.hear(Event("start", "api", 1), 1)
    assert mirror.questions(1) == ["api"]
    relist(mirror, WEB, asked=1)
    mirror.learn("api", Details())
    assert mirror.news(1) is None


def test_a_refused_inspect_is_asked_for_again_with_the_next_list() -> None:
    """The container is shown with what the list says; that it is known now is news even without variables."""
    mirror = Mirror(env=True)
    relist(mirror, WEB, asked=0)
    assert mirror.questions(0) == ["web"]
    mirror.learn("web", Details(refused="500 on fire"))
    assert mirror.news(0) == ((WEB,), False)
    assert mirror.refused() == {"web": "500 on fire"}
    assert mirror.questions(1) == []
    relist(mirror, WEB, asked=60)
    assert mirror.questions(60) == ["web"]
    assert mirror.news(60) is None
    mirror.learn("web", Details())
    assert mirror.news(60) == ((WEB,), False)
    assert mirror.refused() == {}


def test_a_new_connection_asks_again_for_what_was_not_answered() -> None:
    mirror = inspecting(WEB)
    mirror.hear(Event("start", "api", 1), 1)
    assert mirror.questions(1) == ["api"]
    mirror.forget_question()
    relist(mirror, API, WEB, asked=1)
    assert mirror.questions(1) == ["api"]


def test_a_dead_container_keeps_its_variables() -> None:
    """Its host is known as long as it exists."""
    mirror = inspecting(WEB)
    mirror.hear(Event("die", "web", 1), 1)
    assert mirror.news(1) == ((replace(DEAD, env=ROUTED.env),), True)


@pytest.mark.parametrize(
    ("state", "ports"), [("exited", (8080,)), ("created", (8080,)), ("restarting", (8080,)), ("running", ())]
)
def test_the_ports_of_one_that_does_not_run_are_those_of_its_inspect(
    state: str, ports: tuple[int, ...]
) -> None:
    """Lists have them only while it runs: that is what the host rule would forget its host by."""
    mirror = Mirror(env=True)
    relist(mirror, replace(DEAD, state=state), asked=0)
    mirror.questions(0)
    mirror.learn("web", Details(ports=(8080,)))
    assert mirror.news(0) == ((replace(DEAD, state=state, ports=ports),), False)
