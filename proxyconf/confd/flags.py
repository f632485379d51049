"""Every flag that confd has had, the original since 2013 and its maintained fork, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

STORES = ("etcd", "consul", "file")
STORES_ELSEWHERE = (
    "acm", "dynamodb", "env", "imds", "postgres", "rancher", "redis", "secretsmanager", "ssm",
    "stackengine", "vault", "zookeeper",
)  # fmt: skip


class Kind(Enum):
    """What follows a flag."""

    TEXT = "a text"
    LIST = "a text; the flag may be given again, or the texts with commas between them"
    SWITCH = "nothing, or =true or =false"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, and the key of that name in confd.toml.

    Attributes:
        name: As on the command line, without dashes; in the file it has dashes or underscores.
        help: One or two sentences; "" hides it.
        spellings: Further names on the command line.
        keys: Further names in the file, with underscores.
        variables: Environment variables that mean the same.
        in_file: The file may have it.
        store: It is of this store, which is not here.
        refused: Why it is an error to ask for it.
        idle: Why it has no effect, which is said in a warning.
        usual: A value that needs no warning, for a flag without effect.
        ours: No confd has it.
    """

    name: str
    help: str = ""
    kind: Kind = Kind.TEXT
    metavar: str = ""
    spellings: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    in_file: bool = True
    store: str = ""
    refused: str = ""
    idle: str = ""
    usual: str = ""
    ours: bool = False

    @property
    def names_in_file(self) -> tuple[str, ...]:
        """What the file may call it, with underscores."""
        return (self.name.replace("-", "_"), *self.keys) if self.in_file else ()


def _switch(name: str, text: str = "", **more: object) -> Flag:
    return Flag(name, text, Kind.SWITCH, **more)  # type: ignore[arg-type]


STORE_FLAGS = (
    Flag("backend", "The store: etcd (the default), consul or file. The fork's way, confd etcd, is known.",
         metavar="STORE"),
    Flag("node", "Where it answers, again for each member; without a scheme, -scheme counts.", Kind.LIST,
         metavar="URL", spellings=("n",), keys=("nodes", "etcd_nodes", "backend_nodes")),
    Flag("scheme", "http (the default) or https, for nodes that don't say.", metavar="SCHEME",
         spellings=("etcd-scheme",), keys=("etcd_scheme",)),
    Flag("srv-domain", "Find the nodes by the SRV record _etcd._tcp.DOMAIN (_consul._tcp.DOMAIN), which is"
         " asked for again on every reconnect.", metavar="DOMAIN"),
    Flag("srv-record", "The same by a record of another name.", metavar="NAME"),
    Flag("client-ca-keys", "The authority that signed the store's certificate, as PEM.", metavar="FILE",
         spellings=("client-cakeys",), keys=("client_cakeys",), variables=("CONFD_CLIENT_CAKEYS",)),
    Flag("client-cert", "Our certificate, as PEM.", metavar="FILE", spellings=("cert",),
         variables=("CONFD_CLIENT_CERT",)),
    Flag("client-key", "Its key, as PEM.", metavar="FILE", spellings=("key",),
         variables=("CONFD_CLIENT_KEY",)),
    _switch("client-insecure", "Take any certificate of consul's. For etcd there is no such way: give"
            " -client-ca-keys."),
    _switch("basic-auth", "Log in with -username and -password."),
    Flag("username", "Who logs in.", metavar="NAME"),
    Flag("password", "The password; better kept in confd.toml, for everybody sees command lines.",
         metavar="TEXT"),
    Flag("auth-token", "Consul's token. Default: CONSUL_HTTP_TOKEN of the environment.", metavar="TEXT"),
    Flag("file", "For -backend file: a YAML or JSON file, or a folder of them; again for more.", Kind.LIST,
         metavar="PATH"),
    Flag("filter", "Which files of such a folder count.", metavar="GLOB"),
)  # fmt: skip

PLACE_FLAGS = (
    Flag("confdir", "The folder with conf.d and templates. Default: /etc/confd.", metavar="DIR",
         spellings=("c",), variables=("CONFD_CONFDIR",)),
    Flag("config-file", "Where flags may be written down, without dashes in front. Default:"
         " /etc/confd/confd.toml. A template resource, as in 2014, is taken besides those of conf.d.",
         metavar="FILE", spellings=("C",), in_file=False),
    Flag("prefix", "Put before the keys of all resources; see -prefix-rule.", metavar="KEY",
         spellings=("p",), variables=("CONFD_PREFIX",)),
    Flag("prefix-rule", "replace: -prefix replaces a resource's own, as in the original confd. join: it is"
         " put before it, as in the fork; the default where the store is named the fork's way.",
         metavar="RULE", ours=True),
    Flag("state", "Our own folder. Default: /var/lib/proxyconf.", metavar="DIR", ours=True),
)  # fmt: skip

RUN_FLAGS = (
    _switch("onetime", "Bring all files in step, then end.", in_file=False),
    _switch("noop", "Write nothing: show once what would change, as a diff."),
    _switch("watch", "Taken, but not needed: etcd and consul are always watched, and files, too."),
    Flag("interval", "How often files are read again where the system does not tell of changes: seconds, or"
         " 1m30s. Nothing else is polled.", metavar="SECONDS", spellings=("i",),
         variables=("CONFD_INTERVAL",)),
    _switch("sync-only", "Write the files, but run neither check_cmd nor reload_cmd."),
    _switch("keep-stage-file", "Leave the rendered file beside its destination."),
    _switch("check-config", "Read the configuration and the resources, say what is wrong, and end.",
            in_file=False),
    _switch("validate", "The same.", in_file=False),
    _switch("preflight", "The same as -onetime -noop: everything but the writing.", in_file=False),
    _switch("diff", "Taken, but not needed: -noop always shows a diff.", in_file=False),
    Flag("debounce", "Gather changes until none came for so long, or for ten times as long.",
         metavar="TIME"),
    Flag("batch-interval", "Gather changes for so long.", metavar="TIME"),
    Flag("backend-timeout", "With -onetime: give up after so long. Default: 30s.", metavar="TIME"),
    Flag("check-cmd-timeout", "How long a check_cmd may take. Default: 30s.", metavar="TIME"),
    Flag("reload-cmd-timeout", "How long a reload_cmd may take. Default: 60s.", metavar="TIME"),
)  # fmt: skip

LOG_FLAGS = (
    Flag("log-level", "debug, info, warn, error; also panic, fatal and trace. Default: info.",
         metavar="LEVEL", variables=("CONFD_LOG_LEVEL",)),
    Flag("log-format", "text (the default) or json.", metavar="FORMAT"),
)  # fmt: skip

_OLD_FLAGS = (
    _switch("consul"),
    Flag("consul-addr"),
    _switch("debug"),
    _switch("verbose"),
    _switch("quiet"),
)

_BOUNDED = "attempts are bounded, and repeated with back-off for ever"
IDLE_FLAGS = (
    Flag("failure-mode", idle="a resource that fails never stops the others", usual="best-effort"),
    Flag("dial-timeout", idle=_BOUNDED),
    Flag("read-timeout", idle=_BOUNDED),
    Flag("write-timeout", idle=_BOUNDED),
    Flag("retry-max-attempts", idle=_BOUNDED),
    Flag("retry-base-delay", idle=_BOUNDED),
    Flag("retry-max-delay", idle=_BOUNDED),
    Flag("watch-error-backoff", idle=_BOUNDED),
    Flag("preflight-timeout", idle="-backend-timeout bounds it"),
    Flag("shutdown-timeout", idle="the end is bounded"),
    _switch("template-cache", idle="templates are always kept compiled", usual="true"),
    Flag("template-cache-size", idle="templates are always kept compiled"),
    Flag("template-cache-policy", idle="templates are always kept compiled"),
    Flag("stat-cache-ttl", idle="a changed template is noticed at once"),
    Flag("diff-context", idle="a diff has three lines of context", usual="3", in_file=False),
    _switch("color", idle="a diff has no colours", in_file=False),
    Flag(
        "metrics-addr",
        idle="set PROXYCONF_STATUS_ADDRESS=127.0.0.1:9180, and ask it for /metrics",
        variables=("CONFD_METRICS_ADDR",),
    ),
    Flag("watchdog-interval", idle="systemd is not told anything", usual="0"),
)

_NOTIFY = "systemd is not told when we are ready (write Type=simple in the unit, and leave this out)"
_CRYPT = "encrypted values are not read (decrypt them on their way into the store)"
REFUSED_FLAGS = (
    _switch("systemd-notify", refused=_NOTIFY, variables=("CONFD_SYSTEMD_NOTIFY",)),
    Flag("secret-keyring", refused=_CRYPT),
    Flag(
        "mock-data", refused="templates are checked without data (-noop renders them with it)", in_file=False
    ),
    Flag("resource", refused="all resources are checked together (leave it out)", in_file=False),
    Flag("table", store="dynamodb"),
    Flag("separator", store="redis"),
    Flag("auth-type", store="vault"),
    Flag("app-id", store="vault"),
    Flag("user-id", store="vault"),
    Flag("role-id", store="vault"),
    Flag("secret-id", store="vault"),
    Flag("path", store="vault"),
    _switch("acm-export-private-key", store="acm"),
    Flag("secretsmanager-version-stage", store="secretsmanager"),
    _switch("secretsmanager-no-flatten", store="secretsmanager"),
    Flag("imds-cache-ttl", store="imds"),
)

FLAGS = (
    *STORE_FLAGS, *PLACE_FLAGS, *RUN_FLAGS, *LOG_FLAGS, *_OLD_FLAGS, *IDLE_FLAGS, *REFUSED_FLAGS,
)  # fmt: skip
BY_SPELLING = {name: flag for flag in FLAGS for name in (flag.name, *flag.spellings)}
BY_KEY = {name: flag for flag in FLAGS for name in flag.names_in_file}
