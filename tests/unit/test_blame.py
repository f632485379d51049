"""Blame: the part that nginx points at, or that must go so that the rest passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconf.model import Problem
from proxyconf.nginx.blame import accused, conflicts, guilty
from proxyconf.nginx.part import Part

if TYPE_CHECKING:
    from collections.abc import Sequence


def host(number: int, name: str = "") -> Part:
    return Part("host", name or f"{number}.test", f"h-{number:016x}.conf", b"")


def service(number: int, name: str = "") -> Part:
    return Part("service", name or f"s{number}", f"s-{number:016x}.conf", b"")


HOSTS = tuple(host(number) for number in range(20))
ONE, TWO = HOSTS[1], HOSTS[2]
PLACE = "nginx: [emerg] unknown directive in /state/nginx/parts/{}:3"


@pytest.mark.parametrize(
    ("output", "found"),
    [
        pytest.param(PLACE.format(ONE.file), (ONE,), id="place"),
        pytest.param(f"{PLACE.format(TWO.file)}\n{PLACE.format(ONE.file)}", (ONE, TWO), id="two places"),
        pytest.param(PLACE.format("h-ffffffffffffffff.conf"), (), id="a place of another site"),
        pytest.param(PLACE.format(HOSTS[9].file), (), id="the place of an old part"),
        pytest.param('[emerg] zero size in "1.test"', (ONE,), id="name"),
        pytest.param('[emerg] zero size in "9.test"', (), id="the name of an old part"),
        pytest.param('[emerg] "1.test" against "2.test"', (), id="two names"),
        pytest.param("[emerg] 1.test will not do", (), id="a name that is not quoted"),
        pytest.param(
            'nginx: [emerg] unknown directive "1.test" in /etc/nginx/http.d/a.conf:1', (), id="elsewhere"
        ),
        pytest.param("", (), id="nothing"),
    ],
)
def test_accused(output: str, found: tuple[Part, ...]) -> None:
    """Only what has changed is found: an operator's file may quote, or clash with, anything of ours."""
    assert accused(output, HOSTS[:5]) == found


def test_for_a_file_of_hosts_they_are_to_blame() -> None:
    """They can't be written without it."""
    users = Part("users", "u", "u-0123456789abcdef.users", b"")
    mine, other = (replace(one, files=(users,)) for one in HOSTS[:2])
    output = f'[emerg] open() "/state/nginx/parts/{users.file}" failed'
    assert accused(output, [mine, HOSTS[2], users, other]) == (mine, other)


def test_conflicts_are_told_once_and_only_of_ours() -> None:
    warning = 'nginx: [warn] conflicting server name "{}" on 0.0.0.0:80, ignored'
    output = "\n".join(warning.format(name) for name in ("1.test", "x.test", "1.test", "s1"))
    why = (
        "another server block has it on 0.0.0.0:80, and nginx takes the one that is read first"
        " (remove it from one of them)"
    )
    assert conflicts(output, [*HOSTS, service(1)]) == (Problem("host", "1.test", why),)


class Nginx:
    """Refuses what has any of these sets in it; counts how often it is asked."""

    def __init__(self, *bad: set[Part]) -> None:
        self._bad = bad
        self.asked = 0

    async def passes(self, parts: Sequence[Part]) -> bool:
        self.asked += 1
        return not any(bad <= set(parts) for bad in self._bad)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        pytest.param([{HOSTS[0]}], {HOSTS[0]}, id="the first"),
        pytest.param([{HOSTS[19]}], {HOSTS[19]}, id="the last"),
        pytest.param([{HOSTS[7]}, {HOSTS[8]}], {HOSTS[7], HOSTS[8]}, id="two"),
        pytest.param([{ONE, HOSTS[15]}], {HOSTS[15]}, id="two that contradict each other"),
        pytest.param([{part} for part in HOSTS], set(HOSTS), id="all"),
    ],
)
async def test_guilty(bad: list[set[Part]], found: set[Part]) -> None:
    """Exactly those that must go; of two that contradict each other, the later one."""
    assert set(await guilty(HOSTS, Nginx(*bad).passes)) == found


async def test_one_of_many_is_found_by_halving() -> None:
    nginx = Nginx({HOSTS[13]})
    await guilty(HOSTS, nginx.passes)
    assert nginx.asked <= 2 + math.ceil(math.log2(len(HOSTS)))


@pytest.mark.parametrize(
    ("changed", "bad"),
    [pytest.param((), set(), id="nothing has changed"), pytest.param(HOSTS, set(), id="fails without any")],
)
async def test_where_it_is_none_of_them_nobody_is_blamed(changed: tuple[Part, ...], bad: set[Part]) -> None:
    nginx = Nginx(bad)
    assert await guilty(changed, nginx.passes) == ()
    assert nginx.asked <= 1


async def test_a_service_is_found_though_alone_it_is_not_looked_at() -> None:
    """What no host leads to is not rendered, so the services alone pass, and so do the hosts."""
    parts = [*(service(number) for number in range(3)), *(host(number) for number in range(3))]
    nginx = Nginx({service(1), host(1)})
    assert await guilty(parts, nginx.passes) == (service(1),)


@given(st.sets(st.sampled_from(HOSTS)), st.sets(st.sampled_from(HOSTS), min_size=2, max_size=2))
async def test_without_the_guilty_it_passes_and_with_any_of_them_it_does_not(
    bad: set[Part], pair: set[Part]
) -> None:
    nginx = Nginx(*({part} for part in bad), pair)
    found = set(await guilty(HOSTS, nginx.passes))
    left = [part for part in HOSTS if part not in found]
    assert await nginx.passes(left)
    assert bad <= found
    assert all([not await nginx.passes([*left, part]) for part in found])
