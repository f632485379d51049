"""Containers that end again and again, without any engine: time is a number."""

from __future__ import annotations

import math
import signal
from dataclasses import replace

import pytest

from proxyconf.model import Container
from proxyconf.sources._docker_events import Mirror
from proxyconf.sources._docker_lives import LIFE_S, Lives
from proxyconf.sources._docker_reading import Details, Event, Stop

WEB = Container("web", "web", {}, "running", networks={"bridge": "198.18.0.2"}, ports=(8080,))
SET_ASIDE = replace(WEB, probation_s=10)
OTHER = replace(WEB, id="api", name="api")
START_NS = 1_700_000_000_000_000_000


def ns(second: float) -> int:
    """Return what an engine's clock says at *second* of ours."""
    return START_NS + int(second * 1e9)


class Life:
    """Lives through hours in no time.

    Attributes:
        now: Our clock.
    """

    def __init__(self, *containers: Container) -> None:
        self.mirror = Mirror(env=False)
        self.now = 0.0
        self._shown: tuple[Container, ...] = ()
        self.relist(*containers)

    def relist(self, *containers: Container) -> None:
        assert self.mirror.ask(self.now)
        self.mirror.take(containers, self.now, relist_s=1000)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def hear(self, action: str, *, sig: int = 0) -> None:
        self.mirror.hear(Event(action, "web", ns(self.now), sig), self.now)

    def start(self) -> None:
        """Start, and be listed as running once the engine's list has caught up."""
        self.hear("start")
        self.wait(0.3)
        self.relist(WEB)

    def live(self, seconds: float, *, told: int = 0) -> None:
        """Start, and end *seconds* later, by itself or by the signal *told*."""
        self.start()
        self.wait(seconds - 0.3)
        if told:
            self.hear("kill", sig=told)
        self.hear("die")
        self.wait(0.1)

    def shown(self) -> Container:
        """Return the container as it is in the latest news."""
        if news := self.mirror.news(self.now):
            self._shown, _ = news
        (container,) = self._shown
        return container


def flapping() -> Life:
    """Return a life of which three in a row were short; that has been told."""
    life = Life(WEB)
    for _ in range(3):
        life.live(1)
    life.shown()
    return life


def test_the_fourth_life_has_to_last_before_it_counts() -> None:
    """It is shown as one that gets no requests, and 10 s after its start as any other: for that one waits."""
    life = Life(WEB)
    for _ in range(3):
        life.start()
        assert life.shown() == WEB
        life.wait(1)
        life.hear("die")
        life.wait(0.1)
    started = life.now
    life.start()
    assert life.shown() == SET_ASIDE
    assert life.mirror.news(started + 9.99) is None
    assert life.mirror.wake() <= started + LIFE_S
    life.now = started + LIFE_S
    assert life.shown() == WEB
    assert life.mirror.wake() > life.now


def test_while_it_flaps_it_is_said_and_no_death_is_urgent() -> None:
    """It gets no requests, so that nobody has to hurry on its account."""
    life = flapping()
    for _ in range(3):
        life.start()
        assert life.shown() == SET_ASIDE
        life.hear("die")
        news = life.mirror.news(life.now)
        assert news
        (web,), urgent = news
        assert (web.state, web.probation_s, urgent) == ("exited", 10, False)
        life.wait(5)


def test_the_death_that_makes_it_known_is_urgent() -> None:
    """It did get requests until then."""
    life = Life(WEB)
    life.live(1)
    life.live(1)
    life.start()
    life.shown()
    life.hear("die")
    news = life.mirror.news(life.now)
    assert news
    (web,), urgent = news
    assert (web.probation_s, urgent) == (10, True)


def test_a_long_life_starts_the_count_again() -> None:
    life = flapping()
    life.live(10.1)
    for _ in range(2):
        life.live(1)
    life.start()
    assert life.shown() == WEB


def test_others_are_shown_as_ever() -> None:
    life = flapping()
    life.start()
    life.wait(0.1)
    life.hear("rename")
    life.relist(OTHER, WEB)
    news = life.mirror.news(life.now)
    assert news == ((OTHER, SET_ASIDE), False)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_that_was_ordered_is_not_its_own(sig: int) -> None:
    """A restart by hand, however often, is no flapping, and gives one that flaps another chance."""
    life = Life(WEB)
    for _ in range(5):
        life.live(1, told=sig)
    life.start()
    assert life.shown() == WEB
    life = flapping()
    life.live(1, told=sig)
    assert life.shown().probation_s == 0
    life.start()
    assert life.shown() == WEB


def test_an_order_that_is_told_after_the_death_counts() -> None:
    """Engines do that at times; a signal that means no end changes nothing."""
    life = flapping()
    life.start()
    life.hear("die")
    life.hear("kill", sig=signal.SIGHUP)
    assert life.shown().probation_s == 10
    life.hear("kill", sig=signal.SIGKILL)
    assert life.shown().probation_s == 0


def test_a_stop_signal_that_is_not_known_yet_may_have_been_an_order() -> None:
    life = Life(WEB)
    for _ in range(3):
        life.live(1, told=signal.SIGQUIT)
    life.start()
    assert life.shown() == WEB
    life.mirror.learn("web", Details(Stop(signal.SIGQUIT)))
    for _ in range(3):
        life.live(1, told=signal.SIGHUP)
    life.start()
    assert life.shown() == SET_ASIDE, "this one is known to mean no end"


def test_what_was_heard_late_was_no_shorter_for_that() -> None:
    """Of the engine's clock: all at once after we were frozen."""
    lives = Lives()
    for number in range(5):
        lives.start("web", ns(30 * number), 1000)
        lives.end("web", ns(30 * number + 20))
    assert not lives.flaps("web")


def test_a_life_of_which_an_end_was_missed_does_not_count() -> None:
    lives = Lives()
    for number in range(3):
        lives.end("web", ns(number))
        lives.start("web", 0, number)  # the engine does not say when
        lives.end("web", ns(number + 0.5))
    assert not lives.flaps("web")
    for number in range(3):
        lives.start("web", ns(number), number)
        lives.end("web", ns(number + 0.5))
        lives.end("web", ns(number + 0.6))
        assert lives.flaps("web") == (number == 2), "the second one had no start"


def test_one_that_does_not_run_is_not_pardoned() -> None:
    """However long it waits for its next start."""
    life = flapping()
    life.wait(100)
    assert life.mirror.news(life.now) is None
    life.start()
    assert life.shown() == SET_ASIDE


def test_a_start_that_was_missed_does_not_keep_requests_away_for_ever() -> None:
    """What a list says runs has to last from when it was asked for: no later list makes that longer."""
    life = flapping()
    life.wait(31)  # until the list is believed against the death that was heard last
    life.mirror.look(life.now)
    life.relist(WEB)
    assert life.shown() == SET_ASIDE
    due = life.now + LIFE_S
    life.wait(5)
    life.mirror.look(life.now)
    life.relist(WEB)
    assert life.mirror.news(due - 0.01) is None
    assert life.mirror.wake() <= due
    life.now = due
    assert life.shown() == WEB


def test_a_life_whose_start_was_missed_is_no_short_one_when_it_ends() -> None:
    """Nobody knows how long it was; it does not end the count, either, and waits for its next start."""
    lives = Lives()
    for second in range(3):
        lives.start("web", ns(second), second)
        lives.end("web", ns(second + 0.5))
    lives.see("api", asked=3)
    lives.see("web", asked=3)
    assert lives.wake() == 13
    lives.end("web", ns(4))
    assert lives.wake() == math.inf
    assert lives.flaps("web")
    lives.start("web", 0, 5)  # the engine does not say when
    assert lives.wake() == 15


def test_what_is_gone_is_forgotten() -> None:
    """Not so by a list that was asked for before its start."""
    lives = Lives()
    for second in range(3):
        lives.start("web", ns(second), second)
        lives.end("web", ns(second + 0.5))
    lives.keep({"web": 0}, asked=3)
    lives.keep({}, asked=2)
    assert lives.flaps("web")
    lives.keep({}, asked=2.1)
    assert not lives.flaps("web")


def test_nothing_is_waited_for_without_flapping() -> None:
    """Nor while the one that flaps does not run."""
    lives = Lives()
    assert lives.wake() == math.inf
    for second in range(3):
        lives.start("web", ns(second), second)
        assert lives.wake() == math.inf
        lives.end("web", ns(second + 0.5))
    assert lives.wake() == math.inf
    lives.start("web", ns(3), 3)
    assert lives.wake() == 13


HEALTHY, UNHEALTHY, FLAPPING = (
    replace(WEB, health=health) for health in ("healthy", "unhealthy", "flapping")
)


def check(life: Life, container: Container) -> None:
    """Let the health check turn to what is said of *container*."""
    life.hear("health_status")
    life.relist(container)


def turning(life: Life, *, healthy_s: float = 2) -> None:
    """Pass three times for *healthy_s*, and fail for a second before each."""
    for _ in range(3):
        check(life, UNHEALTHY)
        life.wait(1)
        check(life, HEALTHY)
        assert life.shown() == HEALTHY
        life.wait(healthy_s)
    check(life, UNHEALTHY)


def test_a_health_check_that_flaps_has_to_pass_for_a_while() -> None:
    """It is the same thing in both of its turns, so that no further one costs a reload."""
    life = Life(replace(WEB, health="starting"))
    life.wait(1)
    turning(life)
    assert life.shown() == FLAPPING
    for _ in range(3):
        life.wait(1)
        check(life, HEALTHY)
        assert life.mirror.news(life.now) is None
        life.wait(9.9)
        check(life, UNHEALTHY)
        assert life.mirror.news(life.now) is None
    check(life, HEALTHY)
    life.wait(1)
    life.relist(HEALTHY)
    assert life.mirror.wake() == life.now + LIFE_S - 1
    life.wait(LIFE_S - 1)
    assert life.shown() == HEALTHY


def test_a_health_check_that_passes_for_long_does_not_flap() -> None:
    life = Life(HEALTHY)
    life.wait(1)
    turning(life, healthy_s=LIFE_S)
    assert life.shown() == UNHEALTHY


def test_an_end_is_no_turn_of_the_health_check() -> None:
    """The next life has a count of its own."""
    life = Life(HEALTHY)
    life.wait(1)
    turning(life)
    life.hear("die")
    life.wait(1)
    life.hear("start")
    life.relist(replace(WEB, health="starting"))
    life.wait(1)
    check(life, HEALTHY)
    assert life.shown() == HEALTHY
