"""Templates in Jinja2: what they see, what is noted, and what is said of a mistake."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.model import Endpoint, Snapshot
from proxyconf.resources.jinja import TemplateError, Templates
from proxyconf.resources.store import Store
from proxyconf.resources.world import Lookup, Stamp, Used, World, stamp
from tests.unit.template_folder import SNAPSHOT, Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_2014_example_ported(folder: Folder) -> None:
    source = """\
upstream app {
{% for server in gets("/app/server/*") %}
    server {{ server.Value }};  # {{ base(server.Key) }}
    {% if loop.last %}
    # {{ loop.length }} servers
    {% endif %}
{% endfor %}
}
"""
    assert folder.text(source) == (
        "upstream app {\n    server 10.0.0.1:80;  # 1\n    server 10.0.0.2:80;  # 2\n    # 2 servers\n}\n"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param('{{ getv("/app/name") }}', "shop", id="function"),
        pytest.param("{{ getv('/no', 'x') }}{{ getenv('NO') }}", "x", id="default"),
        pytest.param("{{ get('/app/name').key }}{{ get('/app/name').value }}", "/app/nameshop", id="pair"),
        pytest.param("{{ get('/app/name')['Key'] }}", "/app/name", id="pair by subscript"),
        pytest.param(
            "{% for k, v in gets('/app/n*') %}{{ k }}={{ v }}{% endfor %}", "/app/name=shop", id="unpacked"
        ),
        pytest.param("{{ '/a/b'|base }} {{ '/a/b'|dir }} {{ 'a'|toUpper }}", "b /a A", id="filters"),
        pytest.param("{{ 'x-y'|trimPrefix('x')|trimSuffix('y') }}", "-", id="filters with arguments"),
        pytest.param(
            "{{ 'a'|nindent(2) }}{{ 'a'|repeat(2) }}{{ true|ternary(1, 2) }}", "\n  aaa1", id="value last"
        ),
        pytest.param(
            "{{ 'ab'|regexReplaceAll('a(b)', '$1$1') }}{{ 'a'|regexMatch('^a') }}", "bbtrue", id="regex"
        ),
        pytest.param("{{ join(['a', 1], '-') }} {{ ['a', 1]|join('-') }}", "a-1 a-1", id="join, twice"),
        pytest.param(
            "{{ replace('aa', 'a', 'b', 1) }} {{ 'aa'|replace('a', 'b') }}", "ba bb", id="replace, twice"
        ),
        pytest.param("{{ map('a', 1).a }} {{ [1, 2]|map('string')|join }}", "1 12", id="map, twice"),
        pytest.param("{{ default('x', '') }} {{ no|default('y') }}", "x y", id="default, twice"),
        pytest.param(
            "{{ default('x', no) }} {{ coalesce(no, '', 3) }} {{ empty(no) }}", "x 3 true", id="missing"
        ),
        pytest.param("{{ indent(2, 'a\nb') }} {{ 'a\nb'|indent(2) }}", "  a\n  b a\n  b", id="indent, twice"),
        pytest.param("{{ dict(a=1).a }}{{ dict('a', 2).a }}{{ list(1, 2) }}", "12[1, 2]", id="dict and list"),
        pytest.param("{{ json(getv('/app/json')).port + 1 }}", "8081", id="json"),
        pytest.param("{{ json(getv('/app/json')).ratio }}", "1.10", id="a number as written"),
        pytest.param("{{ json(getv('/app/json'))['items'][0] }}", "a", id="a name of dictionaries"),
        pytest.param("{{ json(getv('/app/json')).get('port') }}", "8080", id="a method of dictionaries"),
        pytest.param(
            "{{ true }} {{ exists('/no') }} {{ 1.5 }} {{ 3 * 'ab' }} {{ 2 ** 8 }}",
            "true false 1.5 ababab 256",
            id="values",
        ),
        pytest.param("{{ hostname() }} {{ datetime().year }}", "edge-1 1970", id="the world"),
        pytest.param("{% set n = namespace(i=0) %}{% set n.i = 1 %}{{ n.i }}", "1", id="namespace"),
        pytest.param(
            "{% for i in seq(1, 9) %}{% if i > 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "12",
            id="break",
        ),
        pytest.param("<&>\n", "<&>\n", id="no escaping, and the final line end"),
        pytest.param(
            "{{ services.web[1].host }} {{ services['api'] }} {{ services|list }}",
            "fd00::1 [] ['api', 'web']",
            id="services",
        ),
        pytest.param(
            "{% for e in services.web %}{{ e.address }} {{ e.port }} {{ e.backup }}\n{% endfor %}",
            "10.0.0.1:80 80 false\n[fd00::1]:81 81 true\n",
            id="endpoints",
        ),
        pytest.param(
            "{% for r in routes %}{{ r.host }}{{ r.path }} {{ r.service }}{% endfor %}",
            "a.test/x web",
            id="routes",
        ),
        pytest.param(
            "{% for c in containers %}{{ c.name }} {{ c.labels['proxyconf.host'] }}{% endfor %}",
            "web-1 a.test",
            id="containers",
        ),
    ],
)
def test_what_a_template_can_say(folder: Folder, source: str, expected: str) -> None:
    assert folder.text(source) == expected


def test_a_values_bytes_come_out_as_they_are(folder: Folder) -> None:
    assert folder.text("{{ getv('/app/bytes') }}").encode(errors="surrogateescape") == b"a\xff"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("""{{ 'a "b"\\\\; }'|nginx_quote }}""", '"a \\"b\\"\\\\; }"', id="text"),
        pytest.param("{{ '^/a$'|nginx_quote_plain }}", '"^/a$"', id="where nothing is expanded"),
        pytest.param(
            "{{ 'App.Test.'|server_name }} {{ '*.é.test'|server_name }}", "app.test *.xn--9ca.test", id="host"
        ),
        pytest.param(
            "{{ '10.0.0.1:80'|endpoint }} {{ '[FD00:0::1]:80'|endpoint }}",
            "10.0.0.1:80 [fd00::1]:80",
            id="address",
        ),
        pytest.param("{{ '/a/'|location }} {{ 8080|port }}", '"/a" 8080', id="path and port"),
        pytest.param("{{ 'a; b'|upstream_name }}", "1961e7276ed7_a__b", id="upstream"),
    ],
)
def test_values_are_quoted_for_nginx(folder: Folder, source: str, expected: str) -> None:
    assert folder.text(source) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("{{ 'a$b'|nginx_quote }}", "nginx_quote: a text has a $, a variable to nginx (", id="$"),
        pytest.param(
            "{{ 'a\\n'|nginx_quote }}", "nginx_quote: a text has the control character '\\n' (", id="line end"
        ),
        pytest.param(
            f"{{{{ {'a' * 4001!r}|nginx_quote }}}}", "nginx_quote: a text is longer than 4000", id="long"
        ),
        pytest.param(
            "{{ getv('/app/bytes')|upstream_name }}",
            "upstream_name '/prod/app/bytes': is not Unicode text",
            id="bytes",
        ),
        pytest.param("{{ 'a;b'|server_name }}", "server_name: 'a;b' is no host name (", id="host"),
        pytest.param("{{ 'db:80'|endpoint }}", "endpoint: 'db:80' is no address (", id="name"),
        pytest.param("{{ 'a'|location }}", "location: 'a' is no path (start it with /)", id="path"),
        pytest.param("{{ 0|port }}", "port: '0' is no port (", id="port"),
    ],
)
def test_what_can_not_be_quoted_for_nginx_is_an_error(folder: Folder, source: str, message: str) -> None:
    assert folder.error(source).startswith(f"render /t/main:1: {message}")


def test_templates_may_include_and_import_others(folder: Folder) -> None:
    folder.write("parts/server", "server {{ pair.Value }};")
    folder.write(
        "macros", "{% set name = getv('/app/name') %}{% macro both(x) %}{{ x }} of {{ name }}{% endmacro %}"
    )
    source = (
        "{% import '/macros' as m %}{% from 'macros' import both %}"
        "{% for pair in gets('/app/server/1') %}{% include 'parts/server' %}{% endfor %}"
        " {{ m.both(getv('/app/name')) }} {{ both(1) }}"
        "{% include 'no' ignore missing %}{% include ['no', 'empty'] %}"
    )
    folder.write("empty", "")
    assert folder.text(source) == "server 10.0.0.1:80; shop of shop 1 of shop"


def test_an_imported_template_sees_this_renders_keys(folder: Folder) -> None:
    """Jinja keeps what an imported template has set, for all that use its environment."""
    folder.write("names", "{% set name = getv('/app/name') %}")
    assert folder.text("{% import 'names' as n %}{{ n.name }}") == "shop"
    other = folder.templates.render("main", Store([("/app/name", "other")]), folder.world, SNAPSHOT)
    assert other.text == "other"


def test_a_changed_file_is_read_again(folder: Folder) -> None:
    folder.write("part", "one")
    assert folder.text("{% include 'part' %}") == "one"
    folder.write("part", "two")
    assert folder.render().text == "two"


def test_a_linked_template_is_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "main")
    folder.write("main", "{{ getv('/app/name') }}")
    assert folder.render("link").text == "shop"


def test_what_is_used_is_noted(folder: Folder) -> None:
    folder.write("part", "{{ routes|length }}")
    folder.write(
        "main", "{% include 'part' %}{% include 'no' ignore missing %}{% if false %}{{ services }}{% endif %}"
    )
    assert folder.render().used == Used(
        parts={"routes", "services"},
        templates={
            folder.path / "main": Stamp(2, 92),
            folder.path / "part": Stamp(1, 19),
            folder.path / "no": None,  # it may come
        },
    )
    folder.write(
        "main", "{{ datetime().year }}{{ fileExists('/') }}{% for ip in lookupIP('db') %}{% endfor %}"
    )
    used = folder.render().used
    assert (used.time, used.files, used.lookups, used.parts) == (
        True,
        {"/": True},
        {Lookup("ip", "db")},
        set(),
    )


def test_a_variable_of_the_templates_own_is_no_part_of_the_snapshot(folder: Folder) -> None:
    folder.write("main", "{% set services = 'mine' %}{{ services }}")
    rendered = folder.render()
    assert (rendered.text, rendered.used.parts) == ("mine", set())


def test_the_parts_of_a_snapshot_are_made_once(folder: Folder) -> None:
    """Ten templates of one snapshot with 10,000 endpoints should not convert them ten times."""
    folder.write("main", "{{ services.web[0].host }}")
    views = folder.templates._views
    folder.render()
    first = views.of("services", SNAPSHOT)
    folder.render()
    assert views.of("services", SNAPSHOT) is first
    other = Snapshot(services={"web": (Endpoint("10.9.9.9:80"),)})
    assert folder.templates.render("main", Store([]), folder.world, other).text == "10.9.9.9"


def test_a_failed_render_says_what_it_had_looked_at(folder: Folder) -> None:
    """A look-up is empty at first, which a template need not survive: resolve it, and try again."""
    source = "{{ lookupIP('db')[0] }}{{ lookupIfaceIPV4('eth0') }}"
    folder.write("main", source)
    with pytest.raises(TemplateError) as caught:
        folder.render()
    assert str(caught.value) == (
        f"render {folder.path}/main:1: list object has no element 0; without an answer: lookupIP 'db'"
    )
    assert caught.value.used.lookups == {Lookup("ip", "db")}
    folder.world = World(time=0, answers={Lookup("ip", "db"): ["10.0.0.1"]})
    assert folder.render().text == "10.0.0.1"


def test_a_file_that_can_not_be_read_is_told(folder: Folder, tmp_path: Path) -> None:
    assert folder.error(name="no") == "render /t/no: there is no such template in /t: no"
    assert folder.error(name="../x").endswith("template '../x' is outside of /t (move it there)")
    assert (
        folder.error(b"a\nb\xff")
        == "render /t/main: template 'main' is not UTF-8 in line 2 (save it as UTF-8)"
    )
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert folder.error(name="folder") == "render /t/folder: template 'folder' is no file"
    assert folder.error(name="pipe") == "render /t/pipe: template 'pipe' is no file"
    assert folder.error(name="x" * 300).endswith("can't be read: File name too long")
    assert folder.error(name="a\0b").endswith("can't be read: embedded null byte")


def test_a_mended_template_renders_again(folder: Folder) -> None:
    """A broken one is noted, too, so that its next edit is seen."""
    folder.write("main", "{{")
    with pytest.raises(TemplateError) as caught:
        folder.render()
    noted = caught.value.used.templates
    assert noted == {folder.path / "main": Stamp(1, 2)}
    folder.write("main", "{{ 1 }}")
    assert {file: stamp(file) for file in noted} != noted
    assert folder.render().text == "1"


def test_a_template_can_be_compiled_without_its_keys(tmp_path: Path) -> None:
    """To look at all of them before any source is asked."""
    (tmp_path / "good.tmpl").write_text('{{ getv("/not/there") }}')
    (tmp_path / "bad.tmpl").write_text("{% for %}")
    found = Templates(tmp_path)
    found.compile("good.tmpl")
    with pytest.raises(TemplateError, match=r"render .*bad\.tmpl:1: "):
        found.compile("bad.tmpl")
