"""The host rule for containers: ``{service}.example.com`` and a container's names make its host. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxyconf import values
from proxyconf.errors import BadValueError

if TYPE_CHECKING:
    from proxyconf.model import Container

_LABELS = {"project": "com.docker.compose.project", "service": "com.docker.compose.service"}
_NAMES = ("container", *_LABELS)
_PLACE = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = 'write "{container}.example.com", or "{service}.{project}.example.com"'


def check_rule(rule: str) -> None:
    """Refuse a rule that makes no host, or the same one for all.

    Raises:
        BadValueError: What is wrong, and an example.
    """
    names = _PLACE.findall(rule)
    for name in names:
        if name not in _NAMES:
            raise BadValueError(f"there is no {{{name}}} ({values.spelling(name, _NAMES)})")
    if not {"container", "service"} & set(names):
        raise BadValueError(f"{rule!r} would give many containers one host ({_EXAMPLE})")
    try:
        values.host(_PLACE.sub("a", rule))
    except BadValueError as exc:
        raise BadValueError(f"{exc} ({_EXAMPLE})") from exc


def missing_label(rule: str, container: Container) -> str:
    """Return the label that *container* lacks to have a host by *rule*; "" for none."""
    needed = (_LABELS[name] for name in _PLACE.findall(rule) if name in _LABELS)
    return next((label for label in needed if not container.labels.get(label)), "")


def host_by(rule: str, container: Container) -> str:
    """Return the host of a container that has all that *rule* names.

    Raises:
        BadValueError: The names make no host.
    """
    names = {name: container.labels[label] for name, label in _LABELS.items() if label in container.labels}
    names["container"] = container.name
    try:
        return values.host(_PLACE.sub(lambda found: names[found[1]], rule))
    except BadValueError as exc:
        raise BadValueError(f"the host rule makes {exc}") from exc
