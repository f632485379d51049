"""Tables of template resources: what confd takes is taken, and mistakes name key and mend."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Literal

import pytest

from proxyconf.errors import UsageError
from proxyconf.resources.table import Command, Resource, clean_key, read_table
from proxyconf.tables import Confd
from proxyconf.units import Duration

Rule = Literal["replace", "join"]

CONFD = Confd(dir=Path("/etc/confd"))
LEAST = {"src": "app.conf.tmpl", "dest": "/etc/nginx/conf.d/app.conf"}


def read(confd: Confd = CONFD, /, **values: object) -> Resource:
    return read_table(LEAST | values, "app.toml", confd)


def refusal(**values: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(**values)
    return str(caught.value)


def test_the_least() -> None:
    assert read() == Resource(dest=Path("/etc/nginx/conf.d/app.conf"), src="app.conf.tmpl", place="app.toml")
    assert read().needs == ()


def test_everything() -> None:
    user = pwd.getpwuid(os.getuid())
    resource = read(
        keys=["app/server/", "/app//name"],
        prefix="prod/",
        require=["app/server"],
        mode="0640",
        owner=user.pw_name,
        group=grp.getgrgid(user.pw_gid).gr_name,
        check_cmd="nginx -t -c {{.src}}",
        check_cmd_timeout="1m30s",
        reload_cmd=["nginx", "-s", "reload"],
        reload_cmd_timeout=5,
        min_reload_interval="500ms",
    )
    assert resource == Resource(
        dest=Path("/etc/nginx/conf.d/app.conf"),
        src="app.conf.tmpl",
        prefix="/prod",
        keys=("/app/server", "/app/name"),
        require=("/prod/app/server",),
        mode=0o640,
        uid=user.pw_uid,
        gid=user.pw_gid,
        check=Command("nginx -t -c {{.src}}", 90),
        reload=Command(("nginx", "-s", "reload"), 5),
        min_reload_interval_s=0.5,
        place="app.toml",
    )
    assert resource.needs == ("/prod/app/server", "/prod/app/name")


def test_texts_that_are_empty_count_as_not_there() -> None:
    empty = dict.fromkeys(("mode", "owner", "check_cmd", "check_cmd_timeout", "min_reload_interval"), "")
    assert read(**empty, reload_cmd=[]) == read()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("app", "/app", id="a slash in front"),
        pytest.param("//app///server/", "/app/server", id="single slashes"),
        pytest.param("/", "/", id="everything"),
        pytest.param("", "/", id="empty"),
        pytest.param("/app/./a/../b", "/app/b", id="dots"),
        pytest.param("../../app", "/app", id="no way out"),
    ],
)
def test_keys_are_cleaned(text: str, key: str) -> None:
    assert clean_key(text) == key
    assert clean_key(key) == key


@pytest.mark.parametrize(
    ("rule", "common", "own", "prefix"),
    [
        pytest.param("replace", "", "", "", id="none"),
        pytest.param("replace", "", "/db", "/db", id="its own"),
        pytest.param("replace", "prod", "/db", "/prod", id="the common one replaces it"),
        pytest.param("replace", "/", "/db", "", id="even by none"),
        pytest.param("join", "prod", "/db/", "/prod/db", id="joined"),
        pytest.param("join", "/", "db", "/db", id="joined with nothing"),
        pytest.param("join", "prod", "", "/prod", id="nothing to join"),
    ],
)
def test_the_prefix(rule: Rule, common: str, own: str, prefix: str) -> None:
    resource = read(Confd(dir=Path("/x"), prefix=common, prefix_rule=rule), prefix=own, keys=["/k", "/"])
    assert resource.prefix == prefix
    assert resource.needs == (f"{prefix}/k", prefix or "/")


@pytest.mark.parametrize("mode", ["644", "0644", "0o644", "0O644"])
def test_a_mode_is_always_octal(mode: str) -> None:
    assert read(mode=mode).mode == 0o644


@pytest.mark.parametrize("mode", [644, 0o644, "689", "rw-r--r--", "0x1a4", "07777777", "64"])
def test_what_is_no_mode(mode: object) -> None:
    assert refusal(mode=mode) == (
        f'app.toml: mode: {mode!r} is no mode (write it in octal, as a text: mode = "0644")'
    )


def test_a_sticky_mode() -> None:
    assert read(mode="1777").mode == 0o1777


def test_a_template_may_be_in_a_folder() -> None:
    assert read(src="./nginx/../web/app.tmpl").src == "web/app.tmpl"
    assert read(src="/etc/confd/templates/web/app.tmpl").src == "web/app.tmpl"


def test_a_slash_before_the_template_means_the_folder_as_in_confd(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/app.tmpl").touch()
    assert read(Confd(dir=tmp_path), src="/app.tmpl").src == "app.tmpl"


@pytest.mark.parametrize("src", ["../secret.tmpl", "/etc/passwd", "a/../../b", ".", "/etc/confd/templatesX"])
def test_no_template_is_outside_of_its_folder(src: str) -> None:
    assert refusal(src=src) == (
        f"app.toml: src: {src!r} is not below /etc/confd/templates (move the template there)"
    )


def test_a_destination_is_made_absolute_as_confd_would_take_it() -> None:
    assert read(dest="conf/../app.conf").dest == Path.cwd() / "app.conf"


def test_id_and_name_may_agree() -> None:
    assert read(owner="root", uid=0, group="root", gid=0).uid == 0
    assert (read(uid=12345).uid, read(gid=12345).gid) == (12345, 12345)


def test_the_common_time_outs_hold_where_a_resource_says_nothing() -> None:
    confd = Confd(dir=Path("/x"), check_cmd_timeout=Duration(7), reload_cmd_timeout=Duration(8))
    resource = read(confd, check_cmd="true", reload_cmd="true")
    assert (resource.check, resource.reload) == (Command("true", 7), Command("true", 8))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param(
            {"src": ""}, "src: is missing (the template's name below /etc/confd/templates)", id="no src"
        ),
        pytest.param(
            {"dest": ""},
            'dest: is missing (the file to write: dest = "/etc/nginx/conf.d/app.conf")',
            id="no dest",
        ),
        pytest.param(
            {"dest": "/etc/nginx/"}, "dest: '/etc/nginx/' is no file (write its whole path)", id="a folder"
        ),
        pytest.param({"keys": [1]}, "keys[0]: expected str, got int (write a text, in quotes)", id="keys"),
        pytest.param({"kyes": []}, "kyes: unknown key (did you mean 'keys'?)", id="unknown"),
        pytest.param(
            {"owner": "no one"},
            "owner: there is no 'no one' on this host (or give its number: uid = 33)",
            id="no such user",
        ),
        pytest.param(
            {"group": "no one"},
            "group: there is no 'no one' on this host (or give its number: gid = 33)",
            id="no such group",
        ),
        pytest.param(
            {"owner": "root", "uid": 33},
            "owner: 'root' is 0 here, but uid = 33 (keep one of them)",
            id="two users",
        ),
        pytest.param({"uid": -1}, "uid: must be at least 0", id="no user"),
        pytest.param(
            {"check_cmd": ["", "x"]},
            "check_cmd: ('', 'x') is no command (write a line for sh, or a list of words)",
            id="no program",
        ),
        pytest.param({"reload_cmd": 1}, "reload_cmd: expected str | array, got int", id="a number"),
        pytest.param(
            {"reload_cmd": "true", "reload_cmd_timeout": "0"},
            'reload_cmd_timeout: must be more than 0 (write "10m" for a slow one)',
            id="without end",
        ),
        pytest.param(
            {"min_reload_interval": "soon"},
            'min_reload_interval: \'soon\' is no duration (write "30s", "1m30s", "500ms", or seconds)',
            id="no duration",
        ),
        pytest.param(
            {"keys": ["/db"], "require": ["/dbx"]},
            "require: '/dbx' is none of the keys, nor below one (add it to keys)",
            id="never there",
        ),
    ],
)
def test_mistakes(values: dict[str, object], why: str) -> None:
    assert refusal(**values) == f"app.toml: {why}"


def test_what_is_required_may_be_below_a_key() -> None:
    assert read(keys=["/"], require=["/a/b"]).require == ("/a/b",)
    assert read(keys=["/a"], require=["/a/b", "a"]).require == ("/a/b", "/a")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m30s", 90), ("1.5h", 5400), ("500ms", 0.5), (30, 30), ("30", 30), ("0", 0), ("2h45m", 9900)],
)
def test_durations_as_go_writes_them(text: object, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "1x", "-1s", True, None, "1m 30s", []])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        Duration.parse(text)
