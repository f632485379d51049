"""What a file of YAML or JSON holds, before it is flattened to keys."""

from __future__ import annotations

from typing import TypeAlias

from proxyconf.errors import BadValueError

Tree: TypeAlias = dict[str, "Tree"] | list["Tree"] | str | bytes | bool | None
"""What a file holds."""

Remark = tuple[int, str]
"""A line, and what is wrong there, although the file can be understood."""

DEPTH_LIMIT = 100


def too_deep(place: str = "") -> BadValueError:
    """Return the error of a tree of too many levels."""
    return BadValueError(f"is nested too deeply: more than {DEPTH_LIMIT} levels{place}")
