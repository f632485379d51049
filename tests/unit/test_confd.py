"""confd's command line: every spelling of both, flag before environment before file, and no silence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import pytest
from click.testing import CliRunner

from proxyconf import __version__
from proxyconf.confd import Asked, make_command, parse
from proxyconf.confd.flags import BY_KEY, BY_SPELLING, FLAGS, Flag
from proxyconf.errors import UsageError
from proxyconf.resources.folder import read_resources
from proxyconf.sources import open_source
from proxyconf.tables import Confd, Log, Nginx, Pace, State
from proxyconf.units import Duration, Seconds

if TYPE_CHECKING:
    from collections.abc import Callable

ETCD = {"prefix": "", "endpoints": ["http://127.0.0.1:2379"]}
CONSUL = {"prefix": "", "endpoints": ["http://127.0.0.1:8500"]}
HERE = "proxyconf has etcd, consul and file"


class Ask(Protocol):
    def __call__(self, *arguments: str, file: str = "", **environment: str) -> Asked: ...


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Return a `parse` that reads a confd.toml with the text *file*, and none of this host's."""

    def asked(*arguments: str, file: str = "", **environment: str) -> Asked:
        path = tmp_path / "confd.toml"
        path.write_text(file)
        return parse(("-config-file", str(path), *arguments), environment)

    return asked


@pytest.fixture
def refusal(ask: Ask, tmp_path: Path) -> Callable[..., str]:
    def why(*arguments: str, **more: str) -> str:
        with pytest.raises(UsageError) as caught:
            ask(*arguments, **more)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return why


def source(asked: Asked) -> tuple[str, dict[str, Any]]:
    (table,) = asked.settings.sources
    assert table.name == table.kind
    open_source(table)  # its own module takes it
    return table.kind, dict(table.values)


def test_without_anything_it_is_etcd_here(ask: Ask) -> None:
    asked = ask()
    assert source(asked) == ("etcd", ETCD)
    tables = asked.settings.tables
    assert tables.nginx == Nginx(mode="none")
    assert tables.confd == Confd(dir=Path("/etc/confd"))
    assert (tables.pace, tables.state, tables.log) == (Pace(), State(), Log(format="text"))
    assert (asked.onetime, asked.noop, asked.check, asked.timeout_s) == (False, False, False, 30)
    assert asked.settings.warnings == ()


@pytest.mark.parametrize("spelt", [["-prefix", "/p"], ["-prefix=/p"], ["--prefix", "/p"], ["--prefix=/p"]])
def test_four_spellings(ask: Ask, spelt: list[str]) -> None:
    assert ask(*spelt, "-onetime").settings.tables.confd.prefix == "/p"


@pytest.mark.parametrize(
    ("spelt", "on"),
    [
        *(("-onetime", True), ("--onetime", True), ("-onetime=true", True), ("--onetime=T", True)),
        *(("-onetime=false", False), ("--onetime=0", False), ("--no-onetime", False)),
    ],
)
def test_switches(ask: Ask, spelt: str, on: bool) -> None:  # noqa: FBT001 - a parameter
    assert ask(spelt).onetime is on


def test_a_value_may_look_like_a_flag(ask: Ask) -> None:
    assert ask("-prefix", "-noop").settings.tables.confd.prefix == "-noop"
    assert source(ask("-onetime", "--", "consul"))[0] == "consul"


def test_flags_of_2013(ask: Ask) -> None:
    asked = ask("-c", "/c", "-i", "30", "-p", "/production", "-n", "http://a:4001", "--n=b:4001", "-verbose")
    assert source(asked)[1]["endpoints"] == ["http://a:4001", "http://b:4001"]
    assert asked.settings.tables.confd == Confd(dir=Path("/c"), prefix="/production")
    files = source_values(ask("-key", "/k", "-cert", "/c"))
    assert (files["key"], files["cert"]) == ("/k", "/c")


def source_values(asked: Asked) -> dict[str, Any]:
    return dict(asked.settings.sources[0].values)


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        pytest.param(["-debug"], "debug", id="debug"),
        pytest.param(["-quiet"], "error", id="quiet"),
        pytest.param(["-verbose"], "info", id="verbose"),
        pytest.param(["-quiet", "-log-level", "WARN"], "warning", id="the newer one counts"),
        pytest.param(["-log-level", "panic"], "error", id="only the worst"),
    ],
)
def test_log_levels(ask: Ask, arguments: list[str], level: str) -> None:
    assert ask(*arguments).settings.tables.log.level == level


def test_what_is_said_as_json(ask: Ask) -> None:
    assert ask("--log-format", "json").settings.tables.log.format == "json"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["-backend", "etcdv3"], ("etcd", ETCD), id="etcdv3"),
        pytest.param(["consul"], ("consul", CONSUL), id="the fork's way"),
        pytest.param(["--watch", "consul", "--interval=5"], ("consul", CONSUL), id="flags around it"),
        pytest.param(["-backend", "etcd", "etcd"], ("etcd", ETCD), id="twice the same"),
        pytest.param(["-consul"], ("consul", CONSUL), id="2014"),
        pytest.param(
            ["-consul-addr", "c:1"],
            ("consul", CONSUL | {"endpoints": ["http://c:1"]}),
            id="2014, with its address",
        ),
        pytest.param(
            ["-node", "a:1,https://b:2/", "-scheme", "https", "-onetime"],
            ("etcd", ETCD | {"max_loss": 1, "endpoints": ["https://a:1", "https://b:2"]}),
            id="nodes",
        ),
        pytest.param(
            ["etcd", "--basic-auth", "--username", "u", "--password", "p"],
            ("etcd", ETCD | {"user": "u", "password": "p"}),
            id="etcd's login",
        ),
        pytest.param(
            ["consul", "--basic-auth", "--username=u", "--password=p", "--auth-token=t"],
            ("consul", CONSUL | {"user": "u", "password": "p", "token": "t"}),
            id="consul's login",
        ),
        pytest.param(
            ["consul", "--client-insecure", "--scheme=https"],
            ("consul", CONSUL | {"insecure": True, "endpoints": ["https://127.0.0.1:8500"]}),
            id="any certificate",
        ),
        pytest.param(
            ["-backend=file", "-file", "/a.json", "-file=/b", "-filter", "*.yml", "-interval", "5"],
            ("file", {"path": ["/a.json", "/b"], "filter": "*.yml", "relist": "5.000000s"}),
            id="files",
        ),
        pytest.param(["file", "--file", "/a.json"], ("file", {"path": ["/a.json"]}), id="a file"),
    ],
)
def test_stores(ask: Ask, arguments: list[str], expected: tuple[str, dict[str, Any]]) -> None:
    assert source(ask(*arguments)) == expected


@pytest.mark.parametrize(
    ("arguments", "record"),
    [
        pytest.param(["-srv-domain", "x.org"], "http://_etcd._tcp.x.org.", id="a domain"),
        pytest.param(["-backend=etcdv3", "-srv-domain=x.org."], "http://_etcdv3._tcp.x.org.", id="as named"),
        pytest.param(["-srv-record", "_e._tcp.x", "-scheme=https"], "https://_e._tcp.x", id="a record"),
        pytest.param(["-srv-record", "_etcd-ssl._tcp.x"], "https://_etcd-ssl._tcp.x", id="for TLS"),
        pytest.param(
            ["-srv-record", "_etcd-ssl._tcp.x", "-scheme=http"], "http://_etcd-ssl._tcp.x", id="as said"
        ),
        pytest.param(
            ["-srv-record", "_e._tcp.x", "-client-ca-keys=/k"], "https://_e._tcp.x", id="with a key"
        ),
        pytest.param(["-srv-record", "_e._tcp.x", "-node", "a:1"], "http://_e._tcp.x", id="before nodes"),
        pytest.param(["consul", "-srv-domain", "x.org"], "http://_consul._tcp.x.org.", id="consul"),
    ],
)
def test_srv_records(ask: Ask, arguments: list[str], record: str) -> None:
    values = source_values(ask(*arguments))
    assert values["srv_record"] == record
    assert "endpoints" not in values


def test_with_certificates_a_node_of_etcds_is_reached_by_tls(ask: Ask) -> None:
    more = {"CONFD_CLIENT_CAKEYS": "/ca", "CONFD_CLIENT_CERT": "/cert", "CONFD_CLIENT_KEY": "/key"}
    values = source_values(ask("-node", "e:2379", **more))
    assert values == ETCD | {"endpoints": ["https://e:2379"], "ca": "/ca", "cert": "/cert", "key": "/key"}


@pytest.mark.parametrize("arguments", [["-node", "http://e:2379"], ["consul"], ["-scheme", "http"]])
def test_certificates_that_plain_http_has_no_use_for(ask: Ask, arguments: list[str]) -> None:
    asked = ask(*arguments, "-client-ca-keys=/ca", CONFD_CLIENT_KEY="/key")
    assert {"ca", "key"}.isdisjoint(source_values(asked))
    why = "not used, for the store is reached by plain http (see -scheme)"
    assert asked.settings.warnings == (f"-client-ca-keys: {why}", f"environment CONFD_CLIENT_KEY: {why}")


def test_variables_of_the_stores_own_clients(ask: Ask) -> None:
    peers = {"ETCDCTL_PEERS": "http://a:1,http://b:2"}
    assert source_values(ask(**peers))["endpoints"] == ["http://a:1", "http://b:2"]
    assert source_values(ask("-node=c:3", **peers))["endpoints"] == ["http://c:3"]
    assert source_values(ask("consul", CONSUL_HTTP_TOKEN="t"))["token"] == "t"


def test_a_flag_beats_the_environment_which_beats_the_file(ask: Ask) -> None:
    file = "confdir = '/file'\nprefix = '/file'\nlog-level = 'error'\ninterval = 7\nwatch = true"
    more = {"CONFD_CONFDIR": "/variable", "CONFD_PREFIX": "/variable"}
    asked = ask("-confdir", "/flag", file=file, **more)
    assert asked.settings.tables.confd == Confd(dir=Path("/flag"), prefix="/variable")
    assert asked.settings.tables.log.level == "error"


def test_a_switch_of_the_file_can_be_switched_off(ask: Ask) -> None:
    assert ask(file="noop = true").noop
    assert not ask("-noop=false", file="noop = true").noop
    assert ask(file="sync-only = 'true'\nkeep_stage_file = true").settings.tables.confd == Confd(
        dir=Path("/etc/confd"), sync_only=True, keep_stage_file=True
    )


def test_an_empty_flag_is_none(ask: Ask) -> None:
    asked = ask("-prefix", "", "-node=", "-role-id", "", file="prefix = '/file'\nnodes = []\ntable = ''")
    assert asked.settings.tables.confd.prefix == "/file"
    assert source(asked) == ("etcd", ETCD)
    assert asked.settings.warnings == ()


@pytest.mark.parametrize("key", ["nodes", "node", "etcd_nodes", "backend_nodes", "Nodes", "etcd-nodes"])
@pytest.mark.parametrize("head", ["", "[confd]\n"])
def test_names_in_the_file(ask: Ask, key: str, head: str) -> None:
    file = f"{head}{key} = ['a:1']\nclient_cakeys = '/ca'\nsrv-domain = ''\netcd_scheme = 'https'"
    values = source_values(ask(file=file))
    assert (values["endpoints"], values["ca"]) == (["https://a:1"], "/ca")


def test_an_unknown_key_in_the_file_is_passed_over_with_a_word(ask: Ask, tmp_path: Path) -> None:
    assert ask(file="nods = []\nonetime = true").settings.warnings == (
        f"{tmp_path}/confd.toml: nods: unknown key, so it was passed over (did you mean 'nodes'?)",
        f"{tmp_path}/confd.toml: onetime: unknown key, so it was passed over (see confd -help)",
    )


def test_a_key_of_another_store_in_the_file_is_passed_over(ask: Ask, tmp_path: Path) -> None:
    file = "backend = 'etcd'\nauth_type = 'token'\nsecretsmanager_no_flatten = false"
    assert ask(file=file).settings.warnings == (
        f"{tmp_path}/confd.toml: auth_type: is for confd's vault store, which is not here ({HERE})",
    )


def test_the_store_of_the_command_line_beats_that_of_the_file(ask: Ask) -> None:
    assert source(ask("etcd", file="backend = 'vault'")) == ("etcd", ETCD)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    warning = f"-config-file {missing}: is not there, so it was passed over"
    assert parse(["-config-file", str(missing)], {}).settings.warnings == (warning,)
    parse([], {})  # of the default one nothing is said


def test_a_resource_as_config_file_counts_once_besides_the_folder(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    resource = "nodes = ['a:1']\n[template]\nsrc = 'x'\ndest = '/tmp/none/{}'\n[backend]\n"
    for name in ("a", "nginx"):
        (tmp_path / f"conf.d/{name}.toml").write_text(resource.replace("[backend]\n", "").format(name))
    file = tmp_path / "conf.d/nginx.toml"
    settings = parse(["-config-file", str(file), "-confdir", str(tmp_path)], {}).settings
    assert settings.tables.confd.files == (file,)
    assert [one.dest.name for one in read_resources(settings).resources] == ["nginx", "a"]
    assert settings.sources[0].values["endpoints"] == ["http://a:1"]

    file.write_text(resource.format("nginx"))
    settings = parse(["-config-file", str(file), "-confdir", str(tmp_path)], {}).settings
    assert settings.warnings == ()
    assert len(read_resources(settings).problems) == 1


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        pytest.param([], "replace", id="the original"),
        pytest.param(["-backend", "etcd"], "replace", id="the original's way"),
        pytest.param(["etcd"], "join", id="the fork's way"),
        pytest.param(["etcd", "--prefix-rule", "replace"], "replace", id="chosen"),
        pytest.param(["-prefix-rule=join"], "join", id="chosen, too"),
    ],
)
def test_the_prefix_rule(ask: Ask, arguments: list[str], rule: str) -> None:
    assert ask(*arguments).settings.tables.confd.prefix_rule == rule
    assert ask(file="prefix_rule = 'join'").settings.tables.confd.prefix_rule == "join"


@pytest.mark.parametrize(
    ("arguments", "pace"),
    [
        pytest.param(
            ["--debounce", "2s"], Pace(gather=Seconds(2), quiet=Seconds(2), limit=Seconds(20)), id="d"
        ),
        pytest.param(
            ["--batch-interval", "5s"], Pace(gather=Seconds(5), quiet=Seconds(5), limit=Seconds(5)), id="b"
        ),
        pytest.param(
            ["--batch-interval", "5s", "--debounce=100ms"],
            Pace(gather=Seconds(5), quiet=Seconds(0.1), limit=Seconds(5)),
            id="both",
        ),
    ],
)  # fmt: skip
def test_how_changes_are_gathered(ask: Ask, arguments: list[str], pace: Pace) -> None:
    assert ask(*arguments).settings.tables.pace == pace


def test_time_outs(ask: Ask) -> None:
    asked = ask("--check-cmd-timeout", "1m30s", "--reload-cmd-timeout=300", file="backend_timeout = '5s'")
    confd = asked.settings.tables.confd
    assert (confd.check_cmd_timeout, confd.reload_cmd_timeout) == (Duration(90), Duration(300))
    assert asked.timeout_s == 5


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        pytest.param(["--check-config"], (False, False, True), id="check-config"),
        pytest.param(["--validate", "etcd"], (False, False, True), id="validate"),
        pytest.param(["--preflight"], (True, True, False), id="preflight"),
        pytest.param(["-noop", "-diff"], (False, True, False), id="noop"),
    ],
)
def test_what_is_asked_for(ask: Ask, arguments: list[str], what: tuple[bool, bool, bool]) -> None:
    asked = ask(*arguments)
    assert (asked.onetime, asked.noop, asked.check) == what


def test_folders_are_absolute(ask: Ask) -> None:
    asked = ask("-confdir", "./etc", "-state", "/srv/state")
    assert asked.settings.tables.confd.dir == Path.cwd() / "etc"
    assert asked.settings.tables.state.dir == Path("/srv/state")


def test_our_own_variables_count_too(ask: Ask) -> None:
    assert ask(PROXYCONF_STATE_DIR="/srv/state").settings.tables.state.dir == Path("/srv/state")
    assert source(ask(PROXYCONF_ETCD_MAX_LOSS="1"))[1]["max_loss"] == "1"  # as a held listing's hint has it


def test_what_has_no_effect_is_said(ask: Ask) -> None:
    arguments = ("--failure-mode=fail-fast", "--template-cache", "--diff-context=3", "--no-color")
    asked = ask(*arguments, "--systemd-notify", CONFD_METRICS_ADDR=":9100")
    assert asked.settings.warnings == (
        "-failure-mode: has no effect: a resource that fails never stops the others",
        (
            "environment CONFD_METRICS_ADDR: has no effect: set PROXYCONF_STATUS_ADDRESS=127.0.0.1:9180, and"
            " ask it for /metrics"
        ),
    )


def test_a_token_for_etcd_and_a_name_without_a_login(ask: Ask) -> None:
    asked = ask("-auth-token", "t", "-username", "u")
    assert source(asked) == ("etcd", ETCD)
    assert asked.settings.warnings == (
        "-username: not used without -basic-auth",
        "-auth-token: not used, for etcd has none (see -basic-auth)",
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(["-nodes", "x"], "-nodes: unknown flag (did you mean 'node'?)", id="misspelt"),
        pytest.param(["--xyzzy=1"], "-xyzzy: unknown flag (see confd -help)", id="unknown"),
        pytest.param(["-node"], "Option '--node' requires an argument.", id="no value"),
        pytest.param(
            ["-watch=maybe"], "-watch: 'maybe' is neither true nor false (write -watch=true)", id="no switch"
        ),
        pytest.param(
            ["-backend=ssm"], f"-backend: 'ssm' is a store of confd's that is not here ({HERE})", id="ssm"
        ),
        pytest.param(["redis"], f"'redis' is a store of confd's that is not here ({HERE})", id="redis"),
        pytest.param(
            ["-onetime", "true"],
            f"'true' is no store ({HERE}; a switch takes its value with =: -watch=true)",
            id="a switch's value",
        ),
        pytest.param(
            ["etcd", "consul"],
            "etcd consul: more than one store (a switch takes its value with =: -noop=true)",
            id="two stores",
        ),
        pytest.param(
            ["-backend=consul", "etcd"],
            "-backend consul: the store is etcd already (keep one of them)",
            id="two ways",
        ),
        pytest.param(
            ["-role-id=r"], f"-role-id: is for confd's vault store, which is not here ({HERE})", id="a flag"
        ),
        pytest.param(
            ["-secret-keyring=/k"],
            "-secret-keyring: encrypted values are not read (decrypt them on their way into the store)",
            id="encrypted",
        ),
        pytest.param(
            ["-scheme", "https", "-client-insecure"],
            "-client-insecure: etcd's certificate can't be left unchecked (gRPC has no such way: leave this"
            " out, and give the authority that signed it with -client-ca-keys)",
            id="unchecked",
        ),
        pytest.param(
            ["-basic-auth"], "-basic-auth: as whom? (give -username and -password)", id="nobody logs in"
        ),
        pytest.param(["-backend", "file"], "-backend file: which? (give -file PATH)", id="no file"),
        pytest.param(
            ["-interval", "ten"],
            "-interval: 'ten' is no duration (write \"30s\", \"1m30s\", \"500ms\", or seconds)",
            id="no duration",
        ),
        pytest.param(["-interval", "0"], "-interval: must be more than 0 (or leave it out)", id="never"),
        pytest.param(["-scheme", "ftp"], "-scheme: 'ftp' is none of: http, https", id="no scheme"),
    ],
)  # fmt: skip
def test_mistakes(refusal: Callable[..., str], arguments: list[str], why: str) -> None:
    assert refusal(*arguments) == why


@pytest.mark.parametrize(
    ("file", "why"),
    [
        pytest.param("nodes = [1]", 'confd.toml: nodes: [1] is no list (write ["one", "two"])', id="list"),
        pytest.param("node = 1", 'confd.toml: node: 1 is no list (write ["one", "two"])', id="no list"),
        pytest.param("prefix = 1", "confd.toml: prefix: 1 is no text (write it in quotes)", id="text"),
        pytest.param(
            "noop = 1", "confd.toml: noop: 1 is neither true nor false (write true)", id="a switch"
        ),
        pytest.param(
            "noop = 'x'", "confd.toml: noop: 'x' is neither true nor false (write true)", id="a text"
        ),
        pytest.param(
            "backend = 'env'",
            f"confd.toml: backend: 'env' is a store of confd's that is not here ({HERE})",
            id="store",
        ),
        pytest.param(
            "secret_keyring = '/k'",
            "confd.toml: secret_keyring: encrypted values are not read (decrypt them on their way into the"
            " store)",
            id="encrypted",
        ),
        pytest.param(
            "a = 1\nb", "read confd.toml: Expected '=' after a key in a key/value pair (at end of document)"
            " (is it TOML?)",
            id="no TOML",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(refusal: Callable[..., str], file: str, why: str) -> None:
    assert refusal(file=file).replace(" (at line 2, column 2)", " (at end of document)") == why


def test_a_file_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Is a directory \(may we read it\?\)"):
        parse(["-config-file", str(tmp_path)], {})


def test_systemd_waits_to_be_told(refusal: Callable[..., str]) -> None:
    why = refusal("--systemd-notify", NOTIFY_SOCKET="/run/systemd/notify")
    assert why.endswith("(write Type=simple in the unit, and leave this out)")


def test_the_command_reads_again_when_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "confd.toml"
    prefixes = []

    def run(read: Callable[[], Asked]) -> None:
        for prefix in ("/a", "/b"):
            file.write_text(f"prefix = '{prefix}'")
            prefixes.append(read().settings.tables.confd.prefix)

    result = CliRunner().invoke(make_command(run), ["-config-file", str(file), "etcd"])
    assert (result.exit_code, prefixes) == (0, ["/a", "/b"])


def test_the_command_on_its_own() -> None:
    command = make_command(print)
    result = CliRunner().invoke(command, ["-version"])
    assert result.output == f"confd: proxyconf {__version__}\n"
    result = CliRunner().invoke(command, ["-xyzzy"])
    assert result.exit_code == 2
    assert "-xyzzy: unknown flag" in result.output


@pytest.mark.parametrize("spelt", ["-h", "-help", "--help"])
def test_help_names_every_flag_that_does_something(spelt: str) -> None:
    result = CliRunner().invoke(make_command(print), [spelt])
    assert result.exit_code == 0
    shown = result.output.split()
    for flag in FLAGS:
        assert any(word.rstrip(",") == f"-{flag.name}" for word in shown) == bool(flag.help or flag.idle)
    with pytest.raises(click.exceptions.Exit):
        parse([spelt], {})


def test_every_flag_has_one_fate_and_a_spelling_of_its_own() -> None:
    names = [name for flag in FLAGS for name in (flag.name, *flag.spellings)]
    assert len(names) == len(set(names)) == len(BY_SPELLING)
    keys = [name for flag in FLAGS for name in flag.names_in_file]
    assert len(keys) == len(set(keys)) == len(BY_KEY)
    old = {"consul", "consul-addr", "debug", "verbose", "quiet"}

    def fates(flag: Flag) -> int:
        return sum(map(bool, (flag.help, flag.idle, flag.refused, flag.store, flag.name in old)))

    assert {flag.name for flag in FLAGS if fates(flag) != 1} == set()
