"""Starts with much to do: from a small site to a large one, again and again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.floor import Floor
from bench.pair import Pair
from bench.poller import Task
from bench.product import Product, SiteJob
from bench.site import PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.lab import Lab
    from bench.product import Job, Place, Tree
    from bench.site import Site


class Starts:
    """What one program, and its floor, need for it; both run on the small site at first.

    Args:
        small: The prefix of its keys, and itself; likewise *large*.

    Attributes:
        ms: From each start of the program to the first answer that is of the large site.
        floor_ms: The same from each time that the floor was given the files.
    """

    def __init__(
        self, lab: Lab, product: Product, floor: Floor, small: tuple[str, Site], large: tuple[str, Site]
    ) -> None:
        self.ms: list[float] = []
        self.floor_ms: list[float] = []
        self._lab = lab
        self._product = product
        self._floor = floor
        self._small = small
        self._large = large
        self._small_tree = floor.like(product)

    def to_large(self) -> None:
        """Exchange the small site for the large one."""
        self._product.stop()
        self.ms.append(self._start_ms(*self._large))
        self._product.wait_until("applied")
        self.floor_ms.append(self._load_ms(self._floor.like(self._product), self._large[1]))

    def to_small(self) -> None:
        """Go back."""
        self._product.stop()
        self._start_ms(*self._small)
        self._load_ms(self._small_tree, self._small[1])

    def _start_ms(self, prefix: str, site: Site) -> float:
        """Start the program on another site; return the time until nginx serves it."""
        task = _served(self._product.port, site)
        self._lab.poller.start(task)
        start = time.monotonic_ns()
        self._product.start(prefix)
        return (self._lab.poller.seen(task).first_ns[task.until] - start) / 1e6

    def _load_ms(self, tree: Tree, site: Site) -> float:
        """Give the floor another site; return the time until it serves that."""
        task = _served(self._floor.port, site)
        self._lab.poller.start(task)
        told = self._floor.load(tree)
        return (self._lab.poller.seen(task).first_ns[task.until] - told.start_ns) / 1e6


@contextmanager
def starting(
    lab: Lab, name: str, small: Site, large: Site, job: Callable[[Place], Job] = SiteJob
) -> Iterator[tuple[Starts, Pair]]:
    """Run both, on the small site, while the block runs; the pair is one of the large site."""
    before, after = f"/{name}-before", f"/{name}"
    with (
        lab.store(before, small.keys),
        lab.store(after, large.keys) as store,
        Product(lab, name, job) as product,
        Floor(lab, f"{name}-floor") as floor,
    ):
        product.boot(before)
        floor.boot(floor.like(product))
        starts = Starts(lab, product, floor, (before, small), (after, large))
        yield starts, Pair(lab, product, floor, store, large)


def _served(port: int, site: Site) -> Task:
    return Task(port, PROBE, site.hosts[PROBE][0], every_us=5000, patience_s=30)
