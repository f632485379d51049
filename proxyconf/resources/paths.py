"""Paths as Go's package path has them, which is what confd's keys, ``base`` and ``dir`` go by. Pure."""

from __future__ import annotations

import posixpath


def clean(path: str) -> str:
    """Return the shortest path that means the same; "." for an empty one.

    A key is nearly always clean already, which is told at a fraction of the cost.
    """
    if path.startswith("/") and "//" not in path and "/." not in path and (path == "/" or path[-1] != "/"):
        return path
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned  # POSIX lets two leading slashes be


def base(path: str) -> str:
    """Return the last element; "." for an empty path, "/" for one of slashes only."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def folder(path: str) -> str:
    """Return all but the last element, cleaned; "." where there is no slash."""
    return clean(path.rpartition("/")[0] + "/" if "/" in path else "")
