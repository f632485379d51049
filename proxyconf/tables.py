"""The tables of the configuration file, but for those of the sources and templates: keys, types, defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from proxyconf.errors import BadValueError
from proxyconf.options import Https, Missing, Policy  # noqa: TC001 - msgspec reads the annotations
from proxyconf.units import Duration, ListenAddress, Network, Seconds, Size, Via
from proxyconf.values import address, host, hsts


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file: its fields are the keys it may have."""


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class SourcePolicy(Table, frozen=True, kw_only=True):
    """What every source's table may have.

    Attributes:
        required: The first configuration waits for this source, or for its saved listing.
        max_loss: Share of the endpoints (0 to 1) that may be gone right after an outage or a change of
            cluster; a listing that loses more is held until ``proxyconf confirm``. 1 holds nothing.
    """

    required: bool = True
    max_loss: Share = 0.5


class Listen(Table, frozen=True, kw_only=True):
    """Where nginx listens.

    Attributes:
        http: Addresses for plain HTTP.
        https: Addresses for https, if there are certificates.
        reuseport: For measuring only: the first answer after a reload is then always the new one. With a
            changing number of workers it resets connections.
    """

    http: Annotated[tuple[ListenAddress, ...], msgspec.Meta(min_length=1)] = (ListenAddress(":80"),)
    https: Annotated[tuple[ListenAddress, ...], msgspec.Meta(min_length=1)] = (ListenAddress(":443"),)
    reuseport: bool = False


class Tls(Table, frozen=True, kw_only=True):
    """Https: of every host that has a certificate, unless the host asks for something else.

    Attributes:
        certificates: A folder with ``NAME.crt`` and ``NAME.key``, or ``NAME/fullchain.pem`` and
            ``NAME/privkey.pem``, for each; ``NAME.ca.crt`` or ``ca.crt`` are the authorities of clients'
            certificates. None: there is no https.
        https: ``redirect``: http is sent to https; ``both``; ``only`` https; ``off``: http only.
        missing: What a host without a certificate has: ``http`` only, or the certificate called ``default``.
        policy: ``intermediate``: TLS 1.2 and 1.3; ``modern``: 1.3 only.
        hsts: What Strict-Transport-Security says on https, such as ``max-age=31536000``; ``off`` for nothing.
        http2: Https speaks HTTP/2, too, where this nginx can.
        challenge: Where ACME's challenges are answered from, on http: a folder that has
            ``.well-known/acme-challenge``, or an address, as ``http://127.0.0.1:8402``. "" for neither.
    """

    certificates: Path | None = None
    https: Https = "redirect"
    missing: Missing = "http"
    policy: Policy = "intermediate"
    hsts: str = "off"
    http2: bool = True
    challenge: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no HSTS, or nowhere for challenges, by a ValueError."""
        try:
            hsts(self.hsts)
        except BadValueError as exc:
            raise ValueError(f"hsts: {exc}") from exc
        if self.challenge.startswith("/") or not self.challenge:
            return
        try:
            address(self.challenge.removeprefix("http://"))
        except BadValueError as exc:
            raise ValueError(f"challenge: {exc}, as http://IP:PORT, or the whole path of a folder") from exc


class Nginx(Table, frozen=True, kw_only=True):
    """The nginx we keep in step.

    Attributes:
        mode: ``own``: the whole main file is ours, ``<state>/nginx/nginx.conf``, and nginx runs with ``-c``
            on it. ``include``: somebody else's nginx includes ``<state>/nginx/http.con[f]``. ``none``: no
            site is written, only templates are.
        via: How nginx is reached: ``local``, a process on this host. ``docker:NAME``: in the container of
            that name, or of that service of our own Compose project, by the engine of ``[docker]``. ``pid``:
            in a container whose PID namespace we share, as in a pod, and without an engine. The latter two:
            mode own only.
        binary: The program, for ``-t`` and ``-V``.
        conf: Mode include: the main file of the nginx that includes us.
        user: Mode own, as root: whom the workers run as. Default: www-data or nginx, else nobody.
        listen: Addresses.
        tls: Https.
        trusted_proxies: Peers whose X-Forwarded-* headers are believed: who is allowed, denied, counted and
            logged is the last address in X-Forwarded-For that is none of theirs. Needs http_realip_module.
        default_status: What an unknown host gets: 404, or 444 to hang up.
        connect_timeout: To an endpoint, before the next one is tried. Less than the second after which TCP
            asks again: by then the address may be that of another site's container.
        keepalive: Idle connections kept to each service, per worker. 0: none.
        worker_processes: Mode own.
        worker_connections: Mode own, per worker.
        error_log_level: Mode own: the least level in ``<state>/nginx/error.log``.
        worker_shutdown_timeout: Mode own: how long an old worker may finish what it has (websockets).
        access_log: Mode own: a file, or "" for none.
        access_log_format: ``combined``, or ``json``: an object in each line.
        default_host: Its routes are also those of unknown hosts, on http. "" for none.
        error_pages: A folder with ``404.html``, ``50x.html`` and so on, in place of what nginx itself says.
        server_tokens: Mode own: answers of nginx's own tell its version. Default: as nginx has it, or a file
            in http.d.
    """

    mode: Literal["own", "include", "none"] = "own"
    via: Via = Via("local")
    binary: str = "nginx"
    conf: Path = Path("/etc/nginx/nginx.conf")
    user: str = ""
    listen: Listen = Listen()
    tls: Tls = Tls()
    trusted_proxies: tuple[Network, ...] = ()
    default_status: Literal[404, 444] = 404
    connect_timeout: Seconds = Seconds(0.9)
    keepalive: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 32
    worker_processes: Literal["auto"] | Annotated[int, msgspec.Meta(ge=1, le=1024)] = "auto"
    worker_connections: Count = 4096
    error_log_level: Literal["info", "notice", "warn", "error", "crit"] = "error"
    worker_shutdown_timeout: Seconds = Seconds(600)
    access_log: str = ""
    access_log_format: Literal["combined", "json"] = "combined"
    default_host: str = ""
    error_pages: Path | None = None
    server_tokens: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be together, by a ValueError."""
        if self.mode == "include" and not self.via.is_local:
            raise ValueError(
                f'via: {self.via!r} is for mode = "own": of an nginx in another container only the folder of'
                ' ours is shared, and not its own nginx.conf (set mode = "own", or via = "local")'
            )
        try:
            host(self.default_host or "a")
        except BadValueError as exc:
            raise ValueError(f"default_host: {exc}") from exc


class Exec(Table, frozen=True, kw_only=True):
    """nginx as our child: ``proxyconf run --exec``.

    Attributes:
        start_after: Its start waits for every required source, but not for longer than this if an earlier
            run left a configuration that was applied: what is unknown is not empty, so without one it waits.
        on_exit: What follows when it ends by itself: ``restart``, sooner or later by how often it did; or
            ``end``: so do we, with its exit code.
        stop_timeout: When we are told to end: how long it may finish the requests that it has.
    """

    start_after: Seconds = Seconds(10)
    on_exit: Literal["restart", "end"] = "restart"
    stop_timeout: Seconds = Seconds(8)


class Pace(Table, frozen=True, kw_only=True):
    """When a change is applied.

    Attributes:
        gather: From idle: how long to gather what comes along with a change.
        quiet: While changes keep coming: apply after this long without one ...
        limit: ... or this long after the oldest unapplied one, whichever is first.
        burst: Reloads that may follow each other at once.
        refill_min: A further reload is allowed every 4 times what the last one cost, at least this ...
        refill_max: ... and at most this.
        old_workers: Memory that workers of earlier configurations may hold, while they finish what they have;
            where they hold twice as much, reloads come half as often.
        start_wait: How long the first configuration waits for the sources before it uses what was saved.
    """

    gather: Seconds = Seconds(0.002)
    quiet: Seconds = Seconds(0.025)
    limit: Seconds = Seconds(0.5)
    burst: Count = 3
    refill_min: Seconds = Seconds(0.5)
    refill_max: Seconds = Seconds(5)
    old_workers: Size = Size(1 << 30)
    start_wait: Seconds = Seconds(10)


class Routing(Table, frozen=True, kw_only=True):
    """How services get routes.

    Attributes:
        host_rule: Gives a service without a route a host: ``"{service}.example.com"``. "" for none.
    """

    host_rule: str = ""

    def __post_init__(self) -> None:
        """Refuse a rule that makes no host, or the same one for all, by a ValueError."""
        rule, example = self.host_rule, 'write "{service}.example.com"'
        if rule and "{service}" not in rule:
            raise ValueError(f"host_rule: {rule!r} would give all services one host ({example})")
        try:
            host(rule.replace("{service}", "a") or "a")
        except BadValueError as exc:
            raise ValueError(f"host_rule: {exc} ({example})") from exc


class State(Table, frozen=True, kw_only=True):
    """What outlives the process.

    Attributes:
        dir: The state folder; ``<dir>/nginx`` is what nginx reads.
    """

    dir: Path = Path("/var/lib/proxyconf")


class Status(Table, frozen=True, kw_only=True):
    """Where the running program answers.

    Attributes:
        socket: A unix socket, mode 0600. Default: ``<state>/status.sock``.
        address: Where it answers over TCP, too, as ``127.0.0.1:9180``: everybody who gets there may see
            hosts, endpoints and problems, and change nothing. None: nowhere.
        stale_after: For how long a required source may be lost before ``/readyz`` says no.
    """

    socket: Path | None = None
    address: ListenAddress | None = None
    stale_after: Seconds = Seconds(60)


class Log(Table, frozen=True, kw_only=True):
    """What is said, and how.

    Attributes:
        level: The least level that is said.
        format: ``auto`` is text on a terminal and for the journal, and JSON elsewhere.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Confd(Table, frozen=True, kw_only=True):
    """Template resources, as confd has them.

    Attributes:
        dir: A folder laid out as confd's: every ``*toml`` below ``conf.d`` is a resource, and all ``src`` are
            below ``templates``. It need not be there.
        prefix: Put before the keys of every resource.
        prefix_rule: What happens to a resource's own prefix then: ``replace``, as the original confd does, or
            ``join``, as its maintained fork does: first this one, then its own.
        files: Resource files besides those below ``conf.d``.
        check_cmd_timeout: How long a resource's check_cmd may take, where it does not say so itself.
        reload_cmd_timeout: The same for its reload_cmd.
        sync_only: Write the files, and run neither check nor reload commands.
        keep_stage_file: Leave the rendered file beside its destination.
    """

    dir: Path = Path("/etc/proxyconf")
    prefix: str = ""
    prefix_rule: Literal["replace", "join"] = "replace"
    files: tuple[Path, ...] = ()
    check_cmd_timeout: Duration = Duration(30)
    reload_cmd_timeout: Duration = Duration(60)
    sync_only: bool = False
    keep_stage_file: bool = False


class Tables(Table, frozen=True, kw_only=True):
    """Every table but those of the sources and templates."""

    nginx: Nginx = Nginx()
    exec: Exec = Exec()
    confd: Confd = Confd()
    pace: Pace = Pace()
    routing: Routing = Routing()
    state: State = State()
    status: Status = Status()
    log: Log = Log()
