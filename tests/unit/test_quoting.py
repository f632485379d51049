"""No value ends its token, in any context; nothing but tokens and our own literals is written."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxyconf.errors import BadValueError
from proxyconf.nginx import quoting, writing
from proxyconf.nginx.quoting import DOLLAR, Token, word
from proxyconf.nginx.writing import block, comment, directive, joined

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = [
    path
    for path in sorted(Path(quoting.__file__).parent.glob("*.py"))
    if path.stem not in ("quoting", "writing") and "nginx.writing import" in path.read_text()
]
# those whose first argument is a literal of our own code
LITERAL = {"directive", "block", "word", "comment", "setting"}
HOSTILE = [
    "a.test; } server { root /etc",
    "/ { root /etc; } location /y",
    'a"; return 200 "b',
    "a\\",
    'a\\"; x "',
    "a\r\nSet-Cookie: b",
    "a\0b",
    "a#b",
    "$http_authorization",
    "${host}",
    "a'b",
    "\ud800",
    "127.0.0.1; server 127.0.0.2",
    "unix:/run/docker.sock",
]
BREAKING = re.compile(r"[\s;{}\"'\\#$]")


def read_token(text: str) -> tuple[str, str]:
    """Read a quoted token as nginx does; return its value and what follows it."""
    assert text[0] == '"'
    value, at = "", 1
    while text[at] != '"':
        if text[at] == "\\" and text[at + 1] in "\"'\\":
            at += 1
        value += text[at]
        at += 1
    return value, text[at + 1 :]


@given(st.text(max_size=50))
@example('\\"$')
@example("\\n")
def test_a_quoted_text_is_one_token_and_reads_back(text: str) -> None:
    try:
        quoted, plain = quoting.quote(text), quoting.quote_plain(text)
    except BadValueError:
        assert re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text)
    else:
        assert read_token(plain) == (text, "")
        value, rest = read_token(quoted)
        assert (value.replace(DOLLAR, "$"), rest) == (text, "")
        assert "$" not in value.replace(DOLLAR, "")


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0xD800])
def test_control_characters_and_surrogates_are_refused(code: int) -> None:
    with pytest.raises(BadValueError):
        quoting.quote(f"a{chr(code)}b")


@given(st.sampled_from(HOSTILE) | st.text(max_size=60) | st.text(string.printable, max_size=20))
@pytest.mark.parametrize(
    "typed",
    [
        quoting.host_name,
        quoting.endpoint,
        quoting.listen,
        quoting.network,
        quoting.user_name,
        quoting.identifier,
        quoting.header_name,
        quoting.header_parameter,
        quoting.parameter,
        lambda text: quoting.header_variable(text)[1:],
        lambda text: quoting.cookie_variable(text)[1:],
        lambda text: quoting.redirect(text).removesuffix("$request_uri"),
        lambda text: quoting.redirect(f"https://{text}").removesuffix("$request_uri"),
        lambda text: quoting.proxy_target("web", text),
        lambda text: quoting.proxy_target("web", f"/{text}"),
        lambda text: quoting.rewriting("/a", f"/{text}")[1][1:-1].replace("$1", ""),
        lambda text: quoting.zone(text, text),
    ],
)
def test_a_typed_token_has_nothing_that_breaks_out(typed: object, text: str) -> None:
    assert callable(typed)
    try:
        token = typed(text)
    except BadValueError:
        return
    assert not BREAKING.search(token)


@given(st.sampled_from(HOSTILE).filter(str.isprintable) | st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_service_has_an_upstream(name: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}_[a-z0-9._-]{0,40}", quoting.upstream(name), re.ASCII)


def test_upstreams_differ_where_their_readable_end_is_the_same() -> None:
    assert len({quoting.upstream(name) for name in ("a b", "a_b", "A_B", "a" * 41, "a" * 42)}) == 5


@pytest.mark.parametrize(
    "good", ["a.test", "*.a.test", "a", "a_b.test", "1.2.3.4", "xn--4ca.test", "a" * 63 + ".b"]
)
def test_host_names(good: str) -> None:
    assert quoting.host_name(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "A.test",
        "a..b",
        ".a",
        "a.",
        "~^a",
        "*",
        "a.*",
        "*a.b",
        "-a",
        "a-",
        "ä",
        "a\n",
        "a" * 64,
        "a." * 126 + "ab",
    ],
)
def test_no_host_names(bad: str) -> None:
    with pytest.raises(BadValueError, match="host name"):
        quoting.host_name(bad)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[fd00:0::1]:65535", "[fd00::1]:65535"),
    ],
)
def test_endpoints_are_canonical(text: str, token: str) -> None:
    assert quoting.endpoint(text) == token


@pytest.mark.parametrize(
    "bad",
    [
        "127.1:80",
        "0x7f000001:80",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:080",
        "256.0.0.1:80",
        "127.0.0.01:80",
        "127.0.0.1:80\n",
        "\u0661.0.0.1:80",
        "fd00::1:80",
        "[fd00::1%eth0]:80",
        "unix:/run/x",
        "web:80",
    ],
)
def test_no_endpoints(bad: str) -> None:
    with pytest.raises(BadValueError, match="address"):
        quoting.endpoint(bad)


@pytest.mark.parametrize("modifier", ["", "=", "~ ^/", "^~ /", "@named", "app"])
def test_a_location_is_a_path(modifier: str) -> None:
    """Else nginx would take its beginning for a modifier."""
    with pytest.raises(BadValueError, match="slash"):
        quoting.location(modifier)


@pytest.mark.parametrize("path", ["/a/*/b", "/a?", "/[a]", "/$host", "/a\nb"])
def test_files_whose_name_means_something_are_refused(path: str) -> None:
    with pytest.raises(BadValueError):
        quoting.file(path)


def test_a_token_that_nginx_could_not_read_is_refused() -> None:
    assert len(quoting.quote("ä" * 2000)) == 2002
    with pytest.raises(BadValueError, match="longer than 4000 bytes"):
        quoting.quote("ä" * 2001)


@pytest.mark.parametrize(
    ("seconds", "token"), [(2, "2s"), (0.25, "250ms"), (1.5, "1500ms"), (0, "0s"), (600.0, "600s")]
)
def test_durations(seconds: float, token: str) -> None:
    assert quoting.duration(seconds) == token


@pytest.mark.parametrize("seconds", [-1, 1e12])
def test_no_durations(seconds: float) -> None:
    with pytest.raises(BadValueError):
        quoting.duration(seconds)


def test_numbers_have_a_range() -> None:
    assert (quoting.number(5, at_most=5), quoting.weight(1000)) == ("5", "weight=1000")
    with pytest.raises(BadValueError):
        quoting.number(6, at_most=5)


@pytest.mark.parametrize("weight", [0, 1001, 100_000_000])
def test_no_weights(weight: int) -> None:
    with pytest.raises(BadValueError):
        quoting.weight(weight)


def test_options_have_ranges_too() -> None:
    assert (quoting.size(0), quoting.rate(60), quoting.status(308)) == ("0", "60r/m", "308")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (quoting.size, -1),
        (quoting.size, 1 << 51),
        (quoting.rate, 0),
        (quoting.rate, 1_000_001),
        (quoting.status, 200),
    ],
)
def test_no_options(typed: Callable[[int], Token], value: int) -> None:
    with pytest.raises(BadValueError):
        typed(value)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://a.test", True),
        ("http://a.test:8080", True),
        ("http://[fd00::1]:80", True),
        ("https://a.test/", False),
        ("https://a.test?x", False),
        ("https://u@a.test", False),
        ("javascript:a", False),
        ("https://$host", False),
        ("https://A.test", False),
    ],
)
def test_a_redirect_is_to_a_host(url: str, *, good: bool) -> None:
    """Its path is the request's, which starts with a slash."""
    if good:
        assert quoting.redirect(url) == f"{url}$request_uri"
    else:
        with pytest.raises(BadValueError, match="URL"):
            quoting.redirect(url)


def test_a_redirect_without_a_scheme_keeps_scheme_and_port() -> None:
    assert quoting.redirect("//www.a.test") == "$scheme://www.a.test$pc_port$request_uri"


@pytest.mark.parametrize(
    "path", ["new", "/new path", "/$host", "/a;b", "//a", "/a//b", "/%41", "/a?b", "/a#b"]
)
def test_no_new_paths(path: str) -> None:
    """What nginx would read as something else, or not pass on as it stands."""
    with pytest.raises(BadValueError, match="path"):
        quoting.proxy_target("web", path)


@pytest.mark.parametrize(
    ("path", "replacement", "request_path", "result"),
    [
        ("/app", "/", "/app", "/"),
        ("/app", "/", "/app/x", "/x"),
        ("/app", "/new", "/app", "/new"),
        ("/app", "/new/", "/app/x\ny", "/new/x\ny"),
        ("/", "/new", "/x", "/new/x"),
        ("/a.b+(c", "/", "/a.b+(c/x", "/x"),
    ],
)
def test_rewriting(path: str, replacement: str, request_path: str, result: str) -> None:
    pattern, new = quoting.rewriting(path, replacement)
    found = re.fullmatch(read_token(pattern)[0], request_path)
    assert found
    assert new[1:-1].replace("$1", found[1]) == result


def test_a_zone_is_named_by_everything_that_it_is_for() -> None:
    assert len({quoting.zone("a", "b"), quoting.zone("ab", ""), quoting.zone("a", "b", "")}) == 3
    assert quoting.sized_zone(quoting.zone("a"), megabytes=2) == f"{quoting.zone('a')}:2m"


def test_the_script_is_below_its_root() -> None:
    assert quoting.script_file("/srv/my $app/") == f'"/srv/my {DOLLAR}app$fastcgi_script_name"'
    with pytest.raises(BadValueError, match="absolute"):
        quoting.script_root("srv")


def test_a_setting_takes_a_token() -> None:
    assert quoting.setting("burst", word("5")) == "burst=5"
    with pytest.raises(TypeError, match="quote it"):
        quoting.setting("burst", "5;")  # type: ignore[arg-type]


def test_files_of_users_are_mentioned_by_name_only() -> None:
    assert writing.mentions(["u-0123456789abcdef.users"]) == "# parts/u-0123456789abcdef.users\n"
    with pytest.raises(BadValueError, match="users"):
        writing.mentions(["u-0123456789abcdef.users\ninclude x;"])


def test_pages_are_named_by_their_part_only() -> None:
    assert quoting.page("p-0123456789abcdef.html") == "/.proxyconf-errors/p-0123456789abcdef.html"
    assert quoting.page("p-0123456789abcdef.html", later=True).startswith("/.proxyconf-errors/later/p-")
    with pytest.raises(BadValueError, match="page"):
        quoting.page("u-0123456789abcdef.users")


def test_an_object_of_the_log_has_variables_only() -> None:
    texts, numbers = {"host": word("$host")}, {"status": word("$status")}
    assert quoting.json_object(texts, numbers) == """'{"host":"$host","status":$status}'"""
    for name, value in (("a'b", "$host"), ("host", "host"), ("host", "$http_x-y")):
        with pytest.raises(BadValueError, match="not allowed"):
            quoting.json_object({name: word(value)}, {})


def test_parts_are_included_by_name_only() -> None:
    lines = writing.includes(Path("/x/parts"), ["s-0123456789abcdef.conf"])
    assert lines == 'include "/x/parts/s-0123456789abcdef.conf";\n'
    with pytest.raises(BadValueError, match="part"):
        writing.includes(Path("/x"), ["../../etc/passwd"])


def test_directives_and_blocks() -> None:
    inner = block("location =", quoting.location("/a"), body=[directive("return 503")])
    assert block("server", body=[directive("listen", word("80")), inner]) == (
        'server {\n    listen 80;\n    location = "/a" {\n        return 503;\n    }\n}\n'
    )
    assert block("events", body=[]) == "events {\n}\n"
    assert comment("One line; no more.") == "# One line; no more.\n"


def test_the_writer_refuses_what_is_no_token() -> None:
    """As mypy does, before."""
    raw: Token = "a; b"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="quote it"):
        directive("return", raw)
    with pytest.raises(TypeError, match="quote it"):
        joined(["a;\n"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "text", ["a;", "a{b", "a}b", 'a"', "a'", "a\\", "#a", "", " a", "a  b", "a\tb", "a\n", "ä"]
)
def test_a_literal_cannot_break_out_either(text: str) -> None:
    with pytest.raises(TypeError, match="literal"):
        directive(text)


def test_a_comment_is_one_line() -> None:
    with pytest.raises(BadValueError):
        comment("a\nserver {}")


@pytest.mark.parametrize("source", [pytest.param(path, id=path.stem) for path in SOURCES])
def test_literals_are_constants_of_our_own_code(source: Path) -> None:
    """What `directive` and its like take as text is a constant, or came out of `quoting`; never computed."""
    for call in ast.walk(ast.parse(source.read_text())):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        assert name not in {"Token", "Lines"}, f"{source.name}:{call.lineno}: only quoting makes a {name}"
        if name in LITERAL:
            assert _is_literal(call.args[0]), f"{source.name}:{call.lineno}: {name} of a computed text"


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return isinstance(node.func.value, ast.Name) and node.func.value.id == "quoting"
    return isinstance(node, ast.Constant)
