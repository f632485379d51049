"""Which store is meant, and what the table of its source says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxyconf.confd.flags import STORES, STORES_ELSEWHERE
from proxyconf.errors import UsageError
from proxyconf.values import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxyconf.confd.given import Given
    from proxyconf.units import Duration

_NAMES = {"etcdv3": "etcd"} | {name: name for name in STORES}
_SCHEMES = {"http": "http", "https": "https"}
_FILES = {"client-ca-keys": "ca", "client-cert": "cert", "client-key": "key"}
HERE = f"proxyconf has {', '.join(STORES[:-1])} and {STORES[-1]}"


def asked_for(given: Given, word: str) -> str:
    """Return the store's name as it was given; ``etcd`` where none is.

    Args:
        given: With -backend.
        word: The fork's way to name it, "" for none.

    Raises:
        UsageError: It is none of ours, or two are named.
    """
    backend = given.text("backend")
    old = "consul" if given.switch("consul") or given.text("consul-addr") else ""
    name = word or backend or old or "etcd"
    if word and backend and word != backend and given.place("backend") == "-backend":
        raise UsageError(f"-backend {backend}: the store is {word} already (keep one of them)")
    if name not in _NAMES:
        place = shown(name) if word else f"{given.place('backend')}: {shown(name)}"
        what = "a store of confd's that is not here" if name in STORES_ELSEWHERE else "no store"
        raise UsageError(f"{place} is {what} ({HERE}{_hint(word)})")
    return name


def _hint(word: str) -> str:
    return "; a switch takes its value with =: -watch=true" if word in ("true", "false") else ""


def source_table(
    name: str, given: Given, environment: Mapping[str, str]
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the kind of the store's source, its table (for templates only: no prefix), and warnings.

    Args:
        name: Of the store, as `asked_for` returns it.
        given: What was asked for.
        environment: For what clients of the stores take from it.

    Raises:
        UsageError: A value is wrong; says which, and where it is from.
    """
    kind = _NAMES[name]
    table: dict[str, Any] = {"max_loss": 1} if given.switch("onetime") else {}  # nobody confirms a cron job
    interval = given.duration("interval")
    if kind == "file":
        return kind, table | _file(given, interval), ()
    where, secure = _where(name, kind, given, environment)
    files, warnings = _files(given, secure=secure)
    _refuse_unchecked(kind, given, secure=secure)
    login, more = _etcd_login(given) if kind == "etcd" else _consul_login(given, environment)
    return kind, table | {"prefix": ""} | where | files | login, (*warnings, *more)


def _file(given: Given, interval: Duration | None) -> dict[str, Any]:
    if not (paths := given.texts("file")):
        raise UsageError("-backend file: which? (give -file PATH)")
    table: dict[str, Any] = {"path": list(paths)}
    if pattern := given.text("filter"):
        table["filter"] = pattern
    if interval:
        table["relist"] = f"{interval:f}s"
    return table


def _where(name: str, kind: str, given: Given, environment: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """Return the keys that say where the store is, and whether it is reached by TLS."""
    scheme = given.one_of("scheme", _SCHEMES) or ""
    # with certificates, etcd's own client speaks TLS to a node without a scheme; consul's does not
    secure = scheme == "https" or (not scheme and kind == "etcd" and any(one in given for one in _FILES))
    if record := _record(name, given):  # it beats the nodes
        secure |= "-ssl._" in record and not scheme
        return {"srv_record": f"http{'s' * secure}://{record}"}, secure
    nodes = [
        node if "://" in node else f"http{'s' * secure}://{node}"
        for node in (node.rstrip("/") for node in _nodes(kind, given, environment))
    ]
    return {"endpoints": nodes}, any(node.startswith("https://") for node in nodes)


def _record(name: str, given: Given) -> str:
    if record := given.text("srv-record"):
        return record
    domain = given.text("srv-domain")
    return f"_{name}._tcp.{domain.rstrip('.')}." if domain else ""


def _nodes(kind: str, given: Given, environment: Mapping[str, str]) -> tuple[str, ...]:
    if nodes := given.texts("node"):
        return nodes
    if kind == "etcd":  # as the original does
        peers = tuple(filter(None, environment.get("ETCDCTL_PEERS", "").split(",")))
        return peers or ("127.0.0.1:2379",)
    return (given.text("consul-addr") or "127.0.0.1:8500",)


def _files(given: Given, *, secure: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the keys that say who we are and whom we trust, and warnings."""
    names = [name for name in _FILES if name in given]
    if secure:
        return {_FILES[name]: given.text(name) for name in names}, ()
    why = "not used, for the store is reached by plain http (see -scheme)"
    return {}, tuple(f"{given.place(name)}: {why}" for name in names)


def _refuse_unchecked(kind: str, given: Given, *, secure: bool) -> None:
    if kind == "etcd" and secure and given.switch("client-insecure"):
        raise UsageError(
            f"{given.place('client-insecure')}: etcd's certificate can't be left unchecked (gRPC has no such"
            " way: leave this out, and give the authority that signed it with -client-ca-keys)"
        )


def _etcd_login(given: Given) -> tuple[dict[str, Any], tuple[str, ...]]:
    login, warnings = _login(given)
    if "auth-token" in given:
        warnings += (f"{given.place('auth-token')}: not used, for etcd has none (see -basic-auth)",)
    return login, warnings


def _consul_login(given: Given, environment: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    login, warnings = _login(given)
    if token := given.text("auth-token") or environment.get("CONSUL_HTTP_TOKEN"):
        login["token"] = token
    if given.switch("client-insecure"):
        login["insecure"] = True
    return login, warnings


def _login(given: Given) -> tuple[dict[str, Any], tuple[str, ...]]:
    name, password = given.text("username"), given.text("password")
    if given.switch("basic-auth"):
        if not name or not password:
            raise UsageError(f"{given.place('basic-auth')}: as whom? (give -username and -password)")
        return {"user": name, "password": password}, ()
    return {}, (f"{given.place('username')}: not used without -basic-auth",) if name else ()
