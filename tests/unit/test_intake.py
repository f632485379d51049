"""What of the sources counts: saved listings, and the loss guard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxyconf.intake import Intake
from proxyconf.model import Change, Entry, Listing
from proxyconf.tables import SourcePolicy
from tests.unit.fakes import addresses, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

TEN, SIX, FIVE, FOUR = (listing(*addresses(count), revision=10) for count in (10, 6, 5, 4))
DOCKER = listing("10.0.1.1:80", source="docker")


def intake(*, max_loss: float = 0.5, required: bool = True) -> Intake:
    return Intake({"etcd": SourcePolicy(max_loss=max_loss, required=required), "docker": SourcePolicy()})


def seen(*listings: Listing, max_loss: float = 0.5) -> Intake:
    """Return an intake after these listings of one connection."""
    made = intake(max_loss=max_loss)
    for number, one in enumerate(listings):
        made.take(Change(one, fresh=number == 0))
    return made


def held_of(made: Intake) -> tuple[str, ...]:
    """Return the sources whose newest listing is held."""
    return tuple(problem.where for problem in made.problems())


def counts(made: Intake) -> Sequence[int]:
    """Return how many endpoints of each source count."""
    return [len(claims.members) for claims in made.claims()]


def test_nothing_is_known_at_first() -> None:
    made = intake()
    assert (made.claims(), made.listings(), made.problems()) == ((), (), ())
    assert made.unknown() == made.silent() == ("etcd", "docker")


def test_claims_come_in_the_order_of_the_configuration() -> None:
    made = intake()
    made.take(Change(DOCKER, fresh=True))
    made.take(Change(TEN, fresh=True))
    assert [claims.source for claims in made.claims()] == ["etcd", "docker"]
    assert made.listings() == (TEN, DOCKER)
    assert made.unknown() == made.silent() == ()


def test_an_empty_listing_is_not_unknown() -> None:
    made = intake()
    made.take(Change(Listing("etcd"), fresh=True))
    assert made.unknown() == made.silent() == ("docker",)
    assert counts(made) == [0]


def test_a_saved_listing_counts_until_the_source_speaks() -> None:
    made = intake()
    made.restore(TEN)
    assert (made.unknown(), made.silent()) == (("docker",), ("etcd", "docker"))
    assert made.listings() == (TEN,)
    made.take(Change(SIX, fresh=True))
    assert made.silent() == ("docker",)
    assert made.listings() == (SIX,)


def bad(count: int) -> Listing:
    """Return a listing of that many endpoints, whose route's value is bad."""
    made = listing(*addresses(count), revision=10)
    return replace(made, keys={**made.keys, "routes/web": Entry(b"bad")})


def test_a_last_good_value_counts_after_a_restart_too() -> None:
    """Until the value is good again, or the key is deleted."""
    before = seen(TEN, bad(10))
    (saved,) = before.listings()
    assert saved == replace(bad(10), last_good={"routes/web": TEN.keys["routes/web"]})
    made = intake()
    made.restore(saved)
    assert made.claims() == before.claims()
    assert made.claims()[0].problems[0].why.endswith("its last good form is kept")
    assert made.listings()[0] is saved, "nothing is to be saved again"
    made.take(Change(bad(10), fresh=True))
    assert (made.claims(), made.listings()) == (before.claims(), (saved,))
    made.take(Change(replace(TEN, keys={})))
    assert (made.claims()[0].routes, made.listings()[0].last_good) == ((), {})


def test_where_all_is_good_the_listing_itself_is_saved() -> None:
    made = seen(bad(10), TEN)
    assert made.listings()[0] is TEN


def test_a_listing_that_is_held_takes_no_last_good_value_away() -> None:
    """A store that comes back empty, and then with all it had."""
    made = seen(TEN, bad(10))
    before = made.claims()
    made.take(Change(listing(revision=10), fresh=True))
    assert (held_of(made), made.claims()) == (("etcd",), before)
    made.take(Change(bad(10)))
    assert (held_of(made), made.claims()) == ((), before)


def test_a_listing_that_is_confirmed_has_the_last_good_values() -> None:
    """Also of a key that the one before it did not have."""
    made = seen(replace(TEN, keys={key: entry for key, entry in TEN.keys.items() if key != "routes/web"}))
    made.take(Change(FOUR, fresh=True))
    made.confirm()
    made.take(Change(bad(4)))
    assert made.claims()[0].last_good == {"routes/web": FOUR.keys["routes/web"]}


def test_what_was_in_a_place_that_can_not_be_read_still_counts() -> None:
    """As in a file that is broken when we begin, beside others that are not; what moved is as it is now."""

    def of(unread: tuple[str, ...] = (), **files: str) -> Listing:
        keys = {
            f"services/{name}/1": Entry(b"10.0.0.1:80", where=f"{file}: {name}")
            for name, file in files.items()
        }
        return Listing("etcd", keys=keys, unread=unread)

    made = intake()
    made.restore(of(web="file a", api="file b", moved="file b"))
    made.take(Change(of(("file b:", "file c:"), web="file a", moved="file a"), fresh=True))
    (kept,) = made.listings()
    assert {key: entry.where for key, entry in kept.keys.items()} == {
        "services/web/1": "file a: web",
        "services/api/1": "file b: api",
        "services/moved/1": "file a: moved",
    }
    (claims,) = made.claims()
    why = "source file b: what was in it before still counts (mend it, or take it away)"
    assert list(map(str, claims.problems)) == [why]
    made.take(Change(of(web="file a")))
    assert list(made.listings()[0].keys) == ["services/web/1"]


def test_a_saved_listing_of_a_source_that_is_gone_is_passed_over() -> None:
    made = intake()
    made.restore(listing("10.0.0.1:80", source="etcd.old"))
    assert made.claims() == ()


def test_a_source_that_is_not_required_is_not_waited_for() -> None:
    made = intake(required=False)
    assert made.unknown() == made.silent() == ("docker",)


@pytest.mark.parametrize(
    ("after", "held"),
    [
        pytest.param(TEN, False, id="nothing lost"),
        pytest.param(listing(*addresses(10, 50), revision=10), False, id="all others"),
        pytest.param(FIVE, False, id="half lost"),
        pytest.param(FOUR, True, id="more than half lost"),
        pytest.param(listing(revision=10), True, id="all lost"),
    ],
)
def test_a_loss_right_after_an_outage_is_held(after: Listing, *, held: bool) -> None:
    made = seen(TEN)
    made.take(Change(after, fresh=True))
    assert made.listings() == ((TEN,) if held else (after,))
    assert held_of(made) == (("etcd",) if held else ())


def test_a_loss_against_what_was_saved_is_held() -> None:
    made = intake()
    made.restore(TEN)
    made.take(Change(FOUR, fresh=True))
    assert made.listings() == (TEN,)
    assert made.silent() == ("docker",)


def test_a_loss_in_normal_operation_is_not_held() -> None:
    assert held_of(seen(TEN, SIX, FOUR, listing(revision=11))) == ()


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(listing("10.0.0.1:80", revision=10, cluster="other"), id="another cluster"),
        pytest.param(listing("10.0.0.1:80", revision=9), id="a lower revision"),
    ],
)
def test_a_loss_in_another_store_is_held(after: Listing) -> None:
    """Even where no outage was seen."""
    assert seen(TEN, after).listings() == (TEN,)


def test_the_guard_stays_until_the_listing_is_accepted() -> None:
    """What follows a held listing on the same connection is compared with what counts."""
    made = seen(TEN)
    made.take(Change(listing(revision=10), fresh=True))
    made.take(Change(FOUR))
    assert made.listings() == (TEN,)
    made.take(Change(SIX))
    assert (made.listings(), held_of(made), made.problems()) == ((SIX,), (), ())
    made.take(Change(listing(revision=11)))
    assert held_of(made) == ()


def test_another_outage_does_not_release_it() -> None:
    made = seen(TEN)
    made.take(Change(FOUR, fresh=True))
    made.take(Change(FOUR, fresh=True))
    assert held_of(made) == ("etcd",)


def test_confirm_releases_what_is_held() -> None:
    made = seen(TEN)
    assert made.confirm() == ()
    made.take(Change(FOUR, fresh=True))
    assert made.confirm() == ("etcd",)
    assert (made.listings(), counts(made), made.problems()) == ((FOUR,), [4], ())
    assert made.confirm() == ()
    made.take(Change(listing(revision=11)))
    assert counts(made) == [0]


def test_the_newest_held_listing_is_confirmed() -> None:
    made = seen(TEN)
    made.take(Change(FOUR, fresh=True))
    made.take(Change(listing(revision=11)))
    made.confirm()
    assert counts(made) == [0]


def test_max_loss_1_holds_nothing() -> None:
    made = seen(TEN, max_loss=1)
    made.take(Change(listing(), fresh=True))
    assert held_of(made) == ()


def test_max_loss_0_holds_any_loss() -> None:
    made = seen(TEN, max_loss=0)
    made.take(Change(listing(*addresses(9), revision=10), fresh=True))
    assert held_of(made) == ("etcd",)
    made.take(Change(listing(*addresses(11), revision=10)))
    assert held_of(made) == ()


def test_what_is_held_is_a_problem_that_says_what_to_do() -> None:
    made = seen(TEN)
    made.take(Change(FOUR, fresh=True))
    (problem,) = made.problems()
    assert (problem.what, problem.where) == ("source", "etcd")
    assert problem.why.startswith("came back with 4 of 10 endpoints")
    assert "proxyconf confirm" in problem.why


def test_one_source_held_does_not_hold_the_other() -> None:
    made = seen(TEN)
    made.take(Change(DOCKER, fresh=True))
    made.take(Change(FOUR, fresh=True))
    more = listing(*addresses(2), source="docker")
    made.take(Change(more))
    assert made.listings() == (TEN, more)


def test_what_an_earlier_run_saved_is_for_routes_only() -> None:
    """Somebody else may have written the templates' files meanwhile."""
    made = Intake({"etcd": SourcePolicy()}, ("/a",))
    saved = replace(listing(*addresses(4)), pairs={"/a": Entry(b"1")}, needs=("/a",))
    made.restore(saved)
    assert (made.unknown(), made.behind()) == ((), ("etcd",))
    made.take(Change(saved, fresh=True))
    assert made.behind() == ()
    made.restore(listing())
    assert made.listings() == (saved,)


def test_other_needs_lose_nothing() -> None:
    """A template that was taken away is no loss of its keys."""
    made = Intake({"etcd": SourcePolicy()}, ("/a", "/b"))
    both = Listing("etcd", pairs={f"/a/{number}": Entry(b"") for number in range(9)}, needs=("/a", "/b"))
    made.take(Change(both, fresh=True))
    made.follow({"etcd": SourcePolicy()}, ("/b",))
    made.take(Change(Listing("etcd", needs=("/b",)), fresh=True))
    assert made.problems() == ()
    assert made.listings()[0].needs == ("/b",)


def test_a_sudden_loss_of_keys_is_held() -> None:
    made = Intake({"etcd": SourcePolicy()}, ("/a",))
    many = Listing("etcd", pairs={f"/a/{number}": Entry(b"") for number in range(9)}, needs=("/a",))
    made.take(Change(many))
    made.take(Change(Listing("etcd", needs=("/a",)), fresh=True))
    (problem,) = made.problems()
    assert "came back with 0 of 9 keys for templates, so what it had before still counts" in problem.why
    assert made.listings() == (many,)
