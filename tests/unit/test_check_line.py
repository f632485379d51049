"""Which check commands are just ``nginx -t``, and what they ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyconf.nginx.check_line import CheckLine, parse

PLAIN = CheckLine("nginx")
CONF = CheckLine("nginx", conf=Path("/etc/nginx/nginx.conf"))


@pytest.mark.parametrize(
    ("command", "line"),
    [
        pytest.param("nginx -t", PLAIN, id="plain"),
        pytest.param("  nginx\t-t \n", PLAIN, id="white space"),
        pytest.param("exec nginx -t", PLAIN, id="exec"),
        pytest.param("nginx -T", PLAIN, id="with a dump"),
        pytest.param("nginx -t -c /etc/nginx/nginx.conf", CONF, id="as in 2014"),
        pytest.param("nginx -c/etc/nginx/nginx.conf -t", CONF, id="joined to its value"),
        pytest.param("nginx -tc /etc/nginx/nginx.conf", CONF, id="joined to another"),
        pytest.param("nginx -t -c /a -c '/etc/nginx/nginx.conf'", CONF, id="the last one counts"),
        pytest.param('nginx - -t -c "/etc/nginx/"nginx.conf', CONF, id="quoted in part"),
        pytest.param(r"nginx -t -c /etc/nginx/nginx\.conf", CONF, id="a backslash"),
        pytest.param("/usr/sbin/nginx -t", CheckLine("/usr/sbin/nginx"), id="with its folder"),
        pytest.param("openresty -t", CheckLine("openresty"), id="OpenResty"),
        pytest.param("angie -t", CheckLine("angie"), id="Angie"),
        pytest.param("freenginx -t", CheckLine("freenginx"), id="freenginx"),
        pytest.param("nginx -qt", CheckLine("nginx", ("-t", "-q")), id="quiet"),
        pytest.param(
            "nginx -t -p /srv/ -c conf/n.conf",
            CheckLine("nginx", ("-t", "-p", "/srv/"), Path("conf/n.conf"), Path("/srv")),
            id="prefix",
        ),
        pytest.param(
            "nginx -t -q -g 'daemon on; master_process on;'",
            CheckLine(
                "nginx",
                ("-t", "-q", "-g", "daemon on; master_process on;"),
                directives="daemon on; master_process on;",
            ),
            id="as Debian's unit has it",
        ),
        pytest.param("nginx -t -e stderr", CheckLine("nginx", ("-t", "-e", "stderr")), id="log"),
        pytest.param("nginx -t -g '' -c ''", PLAIN, id="empty values"),
        pytest.param("nginx -t >/dev/null 2>&1", PLAIN, id="silenced"),
        pytest.param("nginx -t > /dev/null 2> /dev/null", PLAIN, id="silenced twice"),
        pytest.param("nginx -t &>/dev/null", PLAIN, id="silenced for bash"),
        pytest.param("nginx -t>/dev/null", PLAIN, id="silenced without a space"),
        pytest.param("nginx -t >>/dev/null </dev/null", PLAIN, id="all from and to nowhere"),
        pytest.param("nginx -t 2>&1 -c /etc/nginx/nginx.conf", CONF, id="silenced in the middle"),
        pytest.param(["nginx", "-t", "-c", "/etc/nginx/nginx.conf"], CONF, id="list"),
        pytest.param(("/opt/my nginx/nginx", "-t"), CheckLine("/opt/my nginx/nginx"), id="tuple"),
    ],
)
def test_what_is_recognised(command: str | list[str], line: CheckLine) -> None:
    assert parse(command) == line


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("", id="nothing"),
        pytest.param([], id="empty list"),
        pytest.param("exec", id="only exec"),
        pytest.param("true", id="another program"),
        pytest.param("service nginx configtest", id="a service"),
        pytest.param("sudo nginx -t", id="sudo"),
        pytest.param("docker exec web nginx -t", id="in a container"),
        pytest.param("nginx", id="no check"),
        pytest.param("nginx -q", id="only quiet"),
        pytest.param("nginx -t -s reload", id="a signal"),
        pytest.param("nginx -t -V", id="version"),
        pytest.param("nginx -t now", id="no option"),
        pytest.param("nginx -t -c", id="no value"),
        pytest.param("nginx -ct /a", id="joined the wrong way"),
        pytest.param("nginx -t -c {{.src}}", id="staged file"),
        pytest.param("nginx -t -c '{{ .src }}'", id="staged file in quotes"),
        pytest.param(["nginx", "-t", "-c", "{{.src}}"], id="staged file in a list"),
        pytest.param("nginx -t -c $CONF", id="variable"),
        pytest.param('nginx -t -c "$CONF"', id="variable in quotes"),
        pytest.param("nginx -t -c `which conf`", id="backticks"),
        pytest.param("nginx -t -c /etc/*/nginx.conf", id="pattern"),
        pytest.param("nginx -t && true", id="and"),
        pytest.param("nginx -t || true", id="or"),
        pytest.param("nginx -t; true", id="then"),
        pytest.param("nginx -t\ntrue", id="lines"),
        pytest.param("nginx -t \\\n-q", id="continued"),
        pytest.param("nginx -t &", id="in the background"),
        pytest.param("nginx -t >/dev/null&", id="silenced, in the background"),
        pytest.param("nginx -t | tee /tmp/log", id="pipe"),
        pytest.param("nginx -t > /tmp/log", id="into a file"),
        pytest.param("nginx -t >/dev/nullx", id="into a file that begins like it"),
        pytest.param("nginx -t2>&1", id="not an option"),
        pytest.param("(nginx -t)", id="sub-shell"),
        pytest.param("! nginx -t", id="negated"),
        pytest.param("LANG=C nginx -t", id="environment"),
        pytest.param("nginx -t # check", id="comment"),
        pytest.param("nginx -t -c 'open", id="open quote"),
        pytest.param(["exec", "nginx", "-t"], id="exec is a shell's"),
    ],
)
def test_what_is_left_to_a_shell(command: str | list[str]) -> None:
    assert parse(command) is None


def test_the_same_call_for_another_file() -> None:
    line = parse("nginx -tqc /a -p /srv -g 'pid /b;'")
    assert line
    assert line.argv(Path("/c")) == ("nginx", "-t", "-q", "-p", "/srv", "-g", "pid /b;", "-c", "/c")
