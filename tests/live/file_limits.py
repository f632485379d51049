"""Follow a file while the kernel's own limits keep it from being watched, and after that.

For a child process in a user namespace of its own, whose limits it may set. Prints each listing as JSON.
"""

# ruff: noqa: ASYNC240 - one small file

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconf.config import SourceTable
from proxyconf.sources import open_source

if TYPE_CHECKING:
    from proxyconf.model import Listing

LIMITS = Path("/proc/sys/user")


async def follow(path: Path, limit: Path) -> None:
    """Write version after version to *path*, and wait for each; *limit* is 0 during the first two."""
    allowed = limit.read_text()
    limit.write_text("0")
    table = {"path": str(path), "relist": "50ms"}
    opened = open_source(SourceTable("file", "file", table, "child"), ("/",))
    path.write_text("version: 1")
    async with asyncio.timeout(20), aclosing(opened.watch()) as listings:
        tell(await anext(listings))
        replace(path, "version: 2")
        tell(await anext(listings))
        limit.write_text(allowed)
        tell(await anext(listings))
        replace(path, "version: 3")
        tell(await anext(listings))


def replace(path: Path, text: str) -> None:
    new = path.with_name(".new")
    new.write_text(text)
    new.replace(path)


def tell(listing: Listing) -> None:
    pairs = {name: entry.value.decode() for name, entry in listing.pairs.items()}
    print(json.dumps([pairs, [str(problem) for problem in listing.problems]]))  # noqa: T201 - for the parent


if __name__ == "__main__":
    asyncio.run(follow(Path(sys.argv[1]), LIMITS / sys.argv[2]))
