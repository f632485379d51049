"""The configuration: precedence, and errors that name file, table, key and the likely spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyconf.config import Settings, SourceTable, convert, load, scalar
from proxyconf.errors import UsageError
from proxyconf.sources.etcd import Settings as EtcdSettings
from proxyconf.tables import Listen, Nginx, Tables
from proxyconf.units import ListenAddress, Network, Seconds, Size

KINDS = ("docker", "etcd", "file")


def read(path: Path, text: str, **more: object) -> Settings:
    """Load a file with this text."""
    (path / "p.toml").write_text(text)
    return load(path / "p.toml", kinds=KINDS, **more)  # type: ignore[arg-type]


def refusal(path: Path, text: str, **more: object) -> str:
    """Return why it is refused, without the file's folder."""
    with pytest.raises(UsageError) as caught:
        read(path, text, **more)
    return str(caught.value).replace(f"{path}/", "")


def test_without_anything_the_defaults_hold() -> None:
    assert load(None, kinds=KINDS) == Settings(Tables(), ())
    assert Tables().nginx.listen.http == (ListenAddress(":80"),)


def test_every_table(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        """
        [nginx]
        mode = "include"
        binary = "/opt/nginx"
        conf = "/opt/nginx.conf"
        trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
        default_status = 444
        connect_timeout = "250ms"
        worker_processes = 2
        [nginx.listen]
        http = ["127.0.0.1:8080", "[::1]:8080"]
        [pace]
        quiet = "1.5s"
        old_workers = "512M"
        burst = 5
        [routing]
        host_rule = "{service}.example.com"
        [state]
        dir = "/srv/state"
        [status]
        socket = "/run/p.sock"
        [log]
        level = "debug"
        """,
    )
    tables = settings.tables
    assert tables.nginx == Nginx(
        mode="include",
        binary="/opt/nginx",
        conf=Path("/opt/nginx.conf"),
        trusted_proxies=(Network("10.0.0.0/8"), Network("192.0.2.7/32")),
        default_status=444,
        connect_timeout=Seconds(0.25),
        worker_processes=2,
        listen=Listen(http=(ListenAddress("127.0.0.1:8080"), ListenAddress("[::1]:8080"))),
    )
    assert (tables.pace.quiet, tables.pace.old_workers, tables.pace.burst) == (1.5, 512 << 20, 5)
    assert tables.routing.host_rule == "{service}.example.com"
    assert (tables.state.dir, tables.status.socket) == (Path("/srv/state"), Path("/run/p.sock"))
    assert (tables.log.level, tables.log.format) == ("debug", "auto")
    assert settings.sources == ()


def test_sources_come_in_file_order(tmp_path: Path) -> None:
    settings = read(tmp_path, "[etcd.lab]\nprefix = '/x'\n[docker]\n[etcd.b]\n[file]\npath = '/f'\n")
    place = str(tmp_path / "p.toml")
    assert settings.sources == (
        SourceTable("etcd", "etcd.lab", {"prefix": "/x"}, f"{place}: [etcd.lab]"),
        SourceTable("etcd", "etcd.b", {}, f"{place}: [etcd.b]"),
        SourceTable("docker", "docker", {}, f"{place}: [docker]"),
        SourceTable("file", "file", {"path": "/f"}, f"{place}: [file]"),
    )


def test_a_first_one_and_a_second_of_a_kind(tmp_path: Path) -> None:
    settings = read(tmp_path, "[etcd]\nprefix = '/a'\n[etcd.two]\nprefix = '/b'\n")
    assert [(one.name, one.values) for one in settings.sources] == [
        ("etcd", {"prefix": "/a"}),
        ("etcd.two", {"prefix": "/b"}),
    ]


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults(tmp_path: Path) -> None:
    text = "[log]\nlevel = 'error'\nformat = 'text'\n[pace]\nburst = 7\n[etcd]\nprefix = '/f'\nuser = 'u'\n"
    settings = read(
        tmp_path,
        text,
        environment={"PROXYCONF_LOG_LEVEL": "warning", "PROXYCONF_PACE_BURST": "8", "PATH": "/bin"},
        flags={"log": {"level": "debug"}, "etcd": {"prefix": "/g"}},
    )
    assert (settings.tables.log.level, settings.tables.log.format) == ("debug", "text")
    assert (settings.tables.pace.burst, settings.tables.pace.limit) == (8, 0.5)
    assert settings.sources[0].values == {"prefix": "/g", "user": "u"}


@pytest.mark.parametrize(
    ("variables", "changed"),
    [
        pytest.param(
            {"PROXYCONF_NGINX_LISTEN_HTTP": ":8080, 127.0.0.1:81"},
            Tables(nginx=Nginx(listen=Listen(http=(ListenAddress(":8080"), ListenAddress("127.0.0.1:81"))))),
            id="a list of a table in a table",
        ),
        pytest.param(
            {"PROXYCONF_NGINX_TRUSTED_PROXIES": '["10.0.0.0/8"]'},
            Tables(nginx=Nginx(trusted_proxies=(Network("10.0.0.0/8"),))),
            id="a list as in TOML",
        ),
        pytest.param(
            {"PROXYCONF_NGINX_CONNECT_TIMEOUT": "5s"},
            Tables(nginx=Nginx(connect_timeout=Seconds(5))),
            id="a duration",
        ),
        pytest.param(
            {"PROXYCONF_NGINX_LISTEN_REUSEPORT": "true"},
            Tables(nginx=Nginx(listen=Listen(reuseport=True))),
            id="yes or no",
        ),
        pytest.param(
            {"PROXYCONF_NGINX_WORKER_PROCESSES": "4", "PROXYCONF_NGINX_DEFAULT_STATUS": "444"},
            Tables(nginx=Nginx(worker_processes=4, default_status=444)),
            id="numbers among others",
        ),
        pytest.param({"PROXYCONF_CONFIG": "/x"}, Tables(), id="the name of the file is the command line's"),
    ],
)
def test_variables(variables: dict[str, str], changed: Tables) -> None:
    assert load(None, kinds=KINDS, environment=variables) == Settings(changed, ())


@pytest.mark.parametrize("password", ["12345", "1e5", "true", "2024-01-31", "0x10"])
def test_a_password_that_looks_like_something_else(password: str) -> None:
    environment = {"PROXYCONF_ETCD_USER": "root", "PROXYCONF_ETCD_PASSWORD": password}
    (table,) = load(None, kinds=KINDS, environment=environment).sources
    assert convert(table.values, EtcdSettings, "here").password == password


def test_a_variable_can_make_a_source() -> None:
    variables = {"PROXYCONF_ETCD_ENDPOINTS": "http://a:1,http://b:2"}
    (source,) = load(None, kinds=KINDS, environment=variables).sources
    assert (source.name, source.values) == ("etcd", {"endpoints": "http://a:1,http://b:2"})


@pytest.mark.parametrize("name", ["PROXYCONF_PORT", "PROXYCONF_SERVICE_HOST", "PROXYCONF_", "PROXYCONF_ETCD"])
def test_a_variable_that_is_not_for_us_is_no_error(name: str) -> None:
    """Docker and Kubernetes make such of a container's or service's name."""
    settings = load(None, kinds=KINDS, environment={name: "tcp://10.0.0.1:80"})
    assert settings.tables == Tables()
    (warning,) = settings.warnings
    assert warning.startswith(f"environment {name}: no table ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[ngnix]", "p.toml: ngnix: unknown table (did you mean 'nginx'?)", id="table"),
        pytest.param(
            "[nginx]\nmodus = 1", "p.toml: [nginx]: modus: unknown key (did you mean 'mode'?)", id="key"
        ),
        pytest.param(
            "[nginx.listen]\nhtttp = 1",
            "p.toml: [nginx.listen]: htttp: unknown key (did you mean 'http'?)",
            id="key of a table in a table",
        ),
        pytest.param(
            "[log]\nxyzzy = 1", "p.toml: [log]: xyzzy: unknown key (known: format, level)", id="nothing near"
        ),
        pytest.param("nginx = 1", "p.toml: nginx: expected object, got int", id="no table"),
        pytest.param("etcd = 1", "p.toml: etcd: expected a table (write [etcd])", id="no table of a source"),
        pytest.param(
            '[etcd."a b"]', "p.toml: [etcd.a b]: not a name (use letters, digits, - and _)", id="name"
        ),
        pytest.param(
            "[nginx]\nmode = 'both'", "p.toml: nginx.mode: invalid enum value 'both'", id="not one of them"
        ),
        pytest.param(
            "[pace]\nquiet = '10'",
            """p.toml: pace.quiet: '10' is no duration (write "250ms", "10s", "5m" or "1h")""",
            id="duration",
        ),
        pytest.param(
            "[pace]\nquiet = 10",
            """p.toml: pace.quiet: 10 is no duration (write "250ms", "10s", "5m" or "1h")""",
            id="a duration without a unit",
        ),
        pytest.param(
            "[pace]\nold_workers = '1T'",
            """p.toml: pace.old_workers: '1T' is no size (write "512M" or "2G")""",
            id="size",
        ),
        pytest.param("[pace]\nburst = 0", "p.toml: pace.burst: must be at least 1", id="too small"),
        pytest.param(
            "[nginx.listen]\nhttp = ['80']",
            "p.toml: nginx.listen.http[0]: '80' is no address to listen on"
            ' (write ":80" or "127.0.0.1:8080")',
            id="listen",
        ),
        pytest.param(
            "[nginx.listen]\nhttp = []",
            "p.toml: nginx.listen.http: expected array of length >= 1",
            id="nowhere to listen",
        ),
        pytest.param(
            "[nginx]\ntrusted_proxies = ['10.0.0.1/8']",
            "p.toml: nginx.trusted_proxies[0]: 10.0.0.1/8 has host bits set"
            ' (write "10.0.0.0/8" or "192.0.2.7")',
            id="network",
        ),
        pytest.param(
            "[nginx]\ndefault_host = 'a b'",
            "p.toml: nginx: default_host: 'a b' is no host name",
            id="default host",
        ),
        pytest.param("[state]\ndir = ''", "p.toml: state.dir: expected a path", id="no path"),
        pytest.param("[state]\ndir = 1", "p.toml: state.dir: expected a path", id="a number for a path"),
        pytest.param(
            "[log]\nlevel = 1",
            "p.toml: log.level: expected str, got int (write a text, in quotes)",
            id="type",
        ),
        pytest.param("[log", "read p.toml: ", id="no TOML"),
        pytest.param(
            'dir = "/x\n',
            r"read p.toml: Illegal character '\n' (at line 1, column 10) (is a quote not closed?)",
            id="quote",
        ),
        pytest.param("a = 1\na = 2", "read p.toml: Cannot overwrite a value", id="twice"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, text: str, reason: str) -> None:
    assert refusal(tmp_path, text).startswith(reason)


def test_mistakes_in_several_tables_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "[nignx]\n[log]\nlevel = 'x'\n[pace]\nburst = 2\n[pcae]\n[routing]\nrule = ''\n")
    file = tmp_path / "p.toml"
    told = str(caught.value).split("; ")
    assert [text.partition(" (")[0] for text in told] == [
        f"{file}: nignx: unknown table",
        f"{file}: log.level: invalid enum value 'x'",
        f"{file}: pcae: unknown table",
        f"{file}: [routing]: rule: unknown key",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "none", kinds=KINDS)
    reason = f"read {tmp_path}/none: No such file or directory (name the file with --config)"
    assert str(caught.value) == reason


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=f"read {tmp_path}/p: 'utf-8' codec"):
        load(tmp_path / "p", kinds=KINDS)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"flags": {"ngnix": {"a": 1}}}, "command line: ngnix: unknown table", id="flag"),
        pytest.param(
            {"environment": {"PROXYCONF_LOG_LEVL": "x"}},
            "environment PROXYCONF_*: [log]: levl: unknown key (did you mean 'level'?)",
            id="variable",
        ),
        pytest.param(
            {"flags": {"nginx": {"mode": "inculde"}}},
            "command line: nginx.mode: invalid enum value 'inculde' (one of: own, include, none)",
            id="choices",
        ),
        pytest.param(
            {"flags": {"routing": {"host_rule": "all.example.com"}}},
            "command line: routing: host_rule: 'all.example.com' would give all services one host",
            id="one host for all",
        ),
        pytest.param(
            {"flags": {"routing": {"host_rule": "{service}.example.com:80"}}},
            "command line: routing: host_rule: 'a.example.com:80' is no host name",
            id="no host",
        ),
    ],
)
def test_mistakes_without_a_file(more: dict[str, dict[str, object]], reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(None, kinds=KINDS, **more)  # type: ignore[arg-type]
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("0s", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert Seconds.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "-1s", "1 s", "s", "1S", "1e3s", "1s ", "1.s", 10, None, True])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        Seconds.parse(text)


@pytest.mark.parametrize(("text", "size"), [("1K", 1024), ("512M", 512 << 20), ("2G", 2 << 30)])
def test_sizes(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "1", "1k", "1.5G", "-1G", "1T", "9999999999G", 5])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":80", "", 80),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:80", "::1", 80),
        ("[::]:65535", "::", 65535),
    ],
)
def test_addresses_to_listen_on(text: str, host: str, port: int) -> None:
    address = ListenAddress.parse(text)
    assert (address, address.host, address.port) == (text, host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        ":0",
        ":65536",
        "a:80",
        "::1:80",
        "[::1]",
        "1.2.3.4",
        "1.2.3:80",
        "[1.2.3.4]:80",
        ":80 ",
        "[x]:1",
        80,
    ],
)
def test_what_is_no_address_to_listen_on(text: object) -> None:
    with pytest.raises(ValueError, match="is no address to listen on"):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"),
        ("true", "true"),
        ('"a"', "a"),
        ("[1, 2]", [1, 2]),
        ("/web", "/web"),
        ("", ""),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("a\nb = 1", "a\nb = 1"),
    ],
)
def test_values_on_the_command_line(text: str, value: object) -> None:
    """What is a number, only its key knows."""
    assert scalar(text) == value


def test_convert_names_the_place() -> None:
    with pytest.raises(UsageError, match=r"^here: reuseport: expected bool, got str \(write true or false"):
        convert({"reuseport": "perhaps"}, Listen, "here")
    with pytest.raises(UsageError, match=r"^here: value: "):
        convert([], Listen, "here")  # type: ignore[arg-type]


def test_a_source_of_the_command_line_stands_beside_a_named_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "p").write_text('[docker.b]\nurl = "tcp://127.0.0.1:2375"\n')
    found = load(tmp_path / "p", kinds=KINDS, flags={"docker": {"required": True}}).sources
    assert [table.name for table in found] == ["docker", "docker.b"]
