"""The environment and labels that containers have for nginx-proxy, understood as they stand.

    VIRTUAL_HOST = app.example.com,www.example.com      its hosts
    VIRTUAL_PATH, VIRTUAL_DEST                          their path, and what takes its place
    VIRTUAL_PORT, VIRTUAL_PROTO, VIRTUAL_ROOT           of the endpoint
    VIRTUAL_HOST_MULTIPORTS = host: {path: {port, dest, proto}}     in YAML or JSON, instead of all of these
    NETWORK_ACCESS = internal                           private networks only
    CERT_NAME, HTTPS_METHOD, HSTS, SSL_POLICY, SERVER_TOKENS        of the hosts
    com.github.nginx-proxy.nginx-proxy.keepalive, .loadbalance      of the service
    com.github.nginx-proxy.nginx-proxy.ssl_verify_client, .http2.enable, .non-get-redirect,
        .trust-default-cert                             of the hosts

The rest of its settings are known by name, and a problem where they ask for what is not done. What says where
requests go, or whose may, costs the container its routes if it can't be read; what only tunes does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from proxyconf import values
from proxyconf.errors import BadValueError
from proxyconf.model import Problem
from proxyconf.options import NONE, HostOptions, LocationOptions, Options, ServiceOptions
from proxyconf.routing import forms
from proxyconf.routing import nginx_proxy_settings as settings
from proxyconf.routing.labels import PREFIX as OURS
from proxyconf.routing.labels import Wish, Wishes
from proxyconf.routing.nginx_proxy_settings import LABELS, PREFIX, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxyconf.routing.nginx_proxy_settings import Protocol
    from proxyconf.sources._file_nodes import Remark, Tree

_HOST = "VIRTUAL_HOST"
MULTIPORTS = "VIRTUAL_HOST_MULTIPORTS"
_TEXT_LIMIT = 65_536
_ROUTES_LIMIT = 1_000  # YAML's aliases make many out of few

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class VariableWish(Wish):
    """What a variable asks for.

    Attributes:
        variable: The one that names the hosts.
        has_label_port: A label of ours says the port.
    """

    variable: str = _HOST
    has_label_port: bool = False

    def label(self, option: str) -> str:
        """Return what completes this with *option*: a label without a NAME, but for the path."""
        if option == "path":
            return "VIRTUAL_PATH" if self.variable == _HOST else self.variable
        return OURS + option

    def setting(self, option: str) -> str:
        """Return what sets *option*, for people."""
        if option == "port" and self.has_label_port:
            return f"label {self.label(option)}"
        alone = option == "port" and self.variable == _HOST
        return f"variable {'VIRTUAL_PORT' if alone else self.variable}"


def names_host(env: Mapping[str, str]) -> bool:
    """Tell whether variables name a host, be it a bad one."""
    return any(env.get(name, "").strip() for name in (_HOST, MULTIPORTS))


def read_variables(container: str, env: Mapping[str, str], labels: Mapping[str, str]) -> Wishes:
    """Read the variables, and nginx-proxy's labels, of the container that is called *container*."""
    if not names_host(env):
        return Wishes()
    given = {name: text for name, text in env.items() if name in VARIABLES and text.strip()}
    given |= {name: text for name, text in labels.items() if name.startswith(PREFIX)}
    reading = _Reading(container, given)
    options = _options(reading)
    wishes = tuple((_multiports if MULTIPORTS in given else _single)(reading, options))
    return Wishes(() if reading.unclear else wishes, tuple(reading.problems))


@dataclass(slots=True)
class _Reading:
    """One container's settings, and what was found wrong with them.

    Attributes:
        given: Variable or label to its text.
        unclear: It is not known where requests may go.
    """

    container: str
    given: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    unclear: bool = False

    def read(self, name: str, reader: Callable[[str], _T], default: _T) -> _T:
        """Return what the setting *name* says, *default* if it says nothing or can't be read."""
        if name not in self.given:
            return default
        try:
            return reader(self.given[name].strip())
        except BadValueError as exc:
            self.refuse(name, str(exc))
            self.unclear |= name in settings.DECISIVE
            return default

    def refuse(self, name: str, why: str) -> None:
        """Note what is wrong with the setting *name*."""
        kind = "label" if name.startswith(PREFIX) else "variable"
        shown = name if name.isprintable() else values.shown(name)
        self.problems.append(Problem("container", f"{self.container} {kind} {shown}", why))


def _options(reading: _Reading) -> Options:
    """Read what all routes of a container share, and name what is not done."""
    for name in sorted(reading.given):
        if name in settings.NOT_DONE:
            reading.read(name, settings.NOT_DONE[name], None)
        elif name.startswith(PREFIX) and name not in LABELS:
            known = (label.removeprefix(PREFIX) for label in LABELS)
            hint = values.spelling(name.removeprefix(PREFIX), known)
            reading.refuse(name, f"is no label of nginx-proxy's that is known ({hint})")
    return Options(
        LocationOptions(allow=reading.read("NETWORK_ACCESS", settings.access, ())),
        ServiceOptions(
            balance=reading.read(f"{PREFIX}loadbalance", settings.balance, "round_robin"),
            keepalive=reading.read(f"{PREFIX}keepalive", settings.keepalive, None),
            root=reading.read("VIRTUAL_ROOT", values.path, settings.DEFAULT_ROOT),
        ),
        _host_options(reading),
    )


def _host_options(reading: _Reading) -> HostOptions:
    """Read what counts for the container's hosts as a whole."""
    return HostOptions(
        https=reading.read("HTTPS_METHOD", settings.https, None),
        certificate=reading.read("CERT_NAME", forms.certificate, ""),
        missing=reading.read(f"{PREFIX}trust-default-cert", settings.missing, None),
        hsts=reading.read("HSTS", values.hsts, None),
        http2=reading.read(f"{PREFIX}http2.enable", forms.switch, None),
        tls_policy=reading.read("SSL_POLICY", settings.policy, None),
        other_redirect_status=reading.read(f"{PREFIX}non-get-redirect", forms.redirect_status, 301),
        verify_client=reading.read(f"{PREFIX}ssl_verify_client", settings.verify_client, None),
        server_tokens=reading.read("SERVER_TOKENS", settings.server_tokens, None),
    )


def _single(reading: _Reading, options: Options) -> Iterator[Wish]:
    """Return what VIRTUAL_HOST and the variables beside it ask for: one path and port for all hosts."""
    hosts = set()
    for text in re.split(r"[,\s]+", reading.given[_HOST].strip()):
        try:
            hosts |= {settings.host(text)} if text else set()
        except BadValueError as exc:
            reading.refuse(_HOST, str(exc))
    target = _Target(
        reading.read("VIRTUAL_PATH", settings.path, "/"),
        reading.read("VIRTUAL_PORT", values.port, 0),
        reading.read("VIRTUAL_DEST", values.path, ""),
        reading.read("VIRTUAL_PROTO", settings.protocol, "http"),
    )
    if hosts:
        yield target.wish(_HOST, tuple(sorted(hosts)), options)


def _multiports(reading: _Reading, options: Options) -> Iterator[Wish]:
    """Return what VIRTUAL_HOST_MULTIPORTS asks for; an entry that can't be read does not cost the others."""
    try:
        tree, remarks = _composed(reading.given[MULTIPORTS])
    except BadValueError as exc:
        reading.refuse(MULTIPORTS, str(exc))
        return
    for line, why in remarks:
        reading.refuse(MULTIPORTS, f"line {line}: {why}")
    claimed: set[tuple[str, str]] = set()
    for count, (name, path, entry) in enumerate(_entries(tree)):
        if count == _ROUTES_LIMIT:
            reading.refuse(MULTIPORTS, f"has more than {_ROUTES_LIMIT} paths (use several containers)")
            return
        try:
            host, target = settings.host(name), _target(path, entry)
            _claim(claimed, (host, target.path))
        except BadValueError as exc:
            reading.refuse(MULTIPORTS, f"{values.shown(name + path)}: {exc}")
            continue
        yield target.wish(MULTIPORTS, (host,), options)


def _claim(claimed: set[tuple[str, str]], claim: tuple[str, str]) -> None:
    if claim in claimed:
        raise BadValueError("it is there twice (delete one)")
    claimed.add(claim)


def _composed(text: str) -> tuple[dict[str, Tree], list[Remark]]:
    """Return what a text of YAML, of which JSON is a part, says of each host.

    Raises:
        BadValueError: It is none, or too long, or PyYAML is missing.
    """
    if len(text) > _TEXT_LIMIT:
        raise BadValueError(f"is longer than {_TEXT_LIMIT} characters (use several containers)")
    try:
        module = import_module("proxyconf.sources._file_yaml")
    except ImportError as exc:
        raise BadValueError("is YAML, for which PyYAML is missing (pip install 'proxyconf[yaml]')") from exc
    tree, remarks = cast("tuple[Tree, list[Remark]]", module.compose(text))
    if not isinstance(tree, dict):
        raise BadValueError("names no host (write HOST: {PATH: {port: NUMBER}})")
    return tree, remarks


def _entries(tree: dict[str, Tree]) -> Iterator[tuple[str, str, Tree]]:
    """Return host, path and what is said of them; a host of which nothing is said has the path ``/``."""
    for host, paths in tree.items():
        if isinstance(paths, dict) and paths:
            for path, entry in paths.items():
                yield host, path, entry
        else:
            yield host, "/", paths


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a host leads to.

    Attributes:
        port: 0 for the only exposed one, else 80.
        dest: Takes the place of the path; "": it is passed on whole.
    """

    path: str = "/"
    port: int = 0
    dest: str = ""
    protocol: Protocol = "http"

    def wish(self, variable: str, hosts: tuple[str, ...], options: Options) -> VariableWish:
        """Return it as a wish for *hosts*, with the container's *options*."""
        # a colon is in no name that labels can have, so that keys of both differ
        name = f"{variable}:" if variable == _HOST else f"{variable}:{hosts[0]}{self.path}"
        service = replace(
            options.service,
            protocol=self.protocol,
            root=options.service.root if self.protocol == "fastcgi" else "",
        )
        new = "" if self.dest == self.path else self.dest
        asked = replace(options, location=replace(options.location, replace=new), service=service)
        return VariableWish(
            name,
            hosts,
            self.path,
            port=self.port,
            fallback_port=settings.DEFAULT_PORT,
            options=NONE if asked == NONE else asked,
            variable=variable,
        )


def _target(path: str, entry: Tree) -> _Target:
    """Read one entry of VIRTUAL_HOST_MULTIPORTS.

    Raises:
        BadValueError: It is none.
    """
    found: dict[str, Any] = {"path": settings.path(path)}
    if not isinstance(entry, dict | None):
        raise BadValueError(f"{values.shown(entry)} says nothing of a path (write {{port: NUMBER}})")
    for key, value in (entry or {}).items():
        if key not in _ENTRY:
            raise BadValueError(f"there is no {values.shown(key)} ({values.spelling(key, _ENTRY)})")
        if not isinstance(value, str | None):
            raise BadValueError(f"{key}: {values.shown(value)} is no text")
        if value:
            attribute, reader = _ENTRY[key]
            found[attribute] = reader(value)
    return _Target(**found)


_ENTRY: dict[str, tuple[str, Callable[[str], object]]] = {
    "port": ("port", values.port),
    "dest": ("dest", values.path),
    "proto": ("protocol", settings.protocol),
}
