"""Resources of our own file and of conf.d: the order of confd, and a bad one never stops the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxyconf.config import Settings, load
from proxyconf.model import Problem
from proxyconf.resources.folder import Resources, read_resources, with_last_good

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settings(folder: Path, text: str = "") -> Settings:
    """Return the settings of a file with this text, for resources in *folder*."""
    (folder / "p.toml").write_text(f"[confd]\ndir = '{folder}'\n{text}")
    return load(folder / "p.toml", kinds=())


def found(folder: Path, files: Mapping[str, str], text: str = "") -> Resources:
    """Write *files* below conf.d and read all resources."""
    for name, content in files.items():
        path = folder / "conf.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return read_resources(settings(folder, text))


def resource(dest: str, more: str = "") -> str:
    return f"[template]\nsrc = 'a.tmpl'\ndest = '/tmp/none/{dest}'\n{more}"


def names(resources: Resources) -> list[str]:
    return [one.dest.name for one in resources.resources]


def texts(folder: Path, resources: Resources) -> list[str]:
    """Return what was set aside and passed over, without the folder's name."""
    return [str(one).replace(f"{folder}/", "") for one in (*resources.problems, *resources.warnings)]


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert found(tmp_path, {}) == Resources()


def test_our_own_tables_come_first_and_files_in_lexical_order(tmp_path: Path) -> None:
    files = {name: resource(name) for name in ("b.toml", "a/z.toml", "a.toml", ".hidden.toml", "xtoml")}
    files |= {"a.toml.bak": "", "README": ""}
    own = "[[template]]\nsrc = 'x'\ndest = '/tmp/none/own'"
    resources = found(tmp_path, files, own)
    assert names(resources) == ["own", ".hidden.toml", "z.toml", "a.toml", "b.toml", "xtoml"]
    assert resources.problems == resources.warnings == ()
    assert resources.resources[0].place == f"{tmp_path}/p.toml: [[template]] /tmp/none/own"
    assert resources.resources[1].place == f"{tmp_path}/conf.d/.hidden.toml"


def test_a_key_that_is_missing_may_be_misspelt(tmp_path: Path) -> None:
    text = resource("a").replace("src", "srcc")
    missing, misspelt = texts(tmp_path, found(tmp_path, {"a.toml": text}))
    assert missing.startswith("template conf.d/a.toml: src: is missing (")
    assert misspelt == (
        "template conf.d/a.toml:2: srcc: unknown, so it was passed over (did you mean 'src'?)"
    )


def test_files_are_found_behind_links_and_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/one.toml").write_text(resource("one"))
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/link.toml").symlink_to(tmp_path / "elsewhere/one.toml")
    (tmp_path / "conf.d/foldertoml").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "conf.d/again.toml").symlink_to(tmp_path / "elsewhere/one.toml")
    os.mkfifo(tmp_path / "conf.d/pipe.toml")
    resources = found(tmp_path, {})
    assert [one.place for one in resources.resources] == [f"{tmp_path}/conf.d/again.toml"]
    assert resources.problems == ()


def test_a_mounted_config_map_counts_once_and_by_its_own_names(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    found(tmp_path, {"..2024_01_31/one.toml": resource("one")})
    (folder / "..data").symlink_to("..2024_01_31")
    (folder / "one.toml").symlink_to("..data/one.toml")
    assert [one.place for one in found(tmp_path, {}).resources] == [f"{folder}/one.toml"]


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/.#one.toml").symlink_to("me@host")
    assert texts(tmp_path, found(tmp_path, {"b.toml": resource("b")})) == [
        "template conf.d/.#one.toml: read: No such file or directory (may we read it?)"
    ]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "conf.d").touch()
    assert texts(tmp_path, found(tmp_path, {})) == [
        "template conf.d: list: Not a directory (may we read it?)"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(
            "[template]\nsrc = 'a'\nmode = 0644\n",
            "conf.d/bad.toml:3: Expected newline or end of document after a statement"
            ' (at line 3, column 9) (write mode = "0644", as a text)',
            id="a mode as in C",
        ),
        pytest.param(
            "[template]\nsrc\n",
            "conf.d/bad.toml:2: Expected '=' after a key in a key/value pair (at line 2, column 4)"
            " (is it TOML?)",
            id="no TOML",
        ),
        pytest.param(
            "src = 'a'\ndest = '/b'\n",
            "conf.d/bad.toml: no [template] table (one in a file, its keys below that line)",
            id="no table",
        ),
        pytest.param(
            "[[template]]\nsrc = 'a'\ndest = '/b'\n",
            "conf.d/bad.toml: no [template] table (one in a file, its keys below that line)",
            id="several tables",
        ),
        pytest.param(
            resource("x", "mode = 644"),
            'conf.d/bad.toml:4: mode: 644 is no mode (write it in octal, as a text: mode = "0644")',
            id="a bad value",
        ),
        pytest.param(
            resource("x", "keys = [\n  '/a',\n  1\n]"),
            "conf.d/bad.toml:4: keys[1]: expected str, got int (write a text, in quotes)",
            id="a bad value in a list",
        ),
        pytest.param(
            "[template]\nsrc = 'a'\n",
            'conf.d/bad.toml: dest: is missing (the file to write: dest = "/etc/nginx/conf.d/app.conf")',
            id="a key is missing",
        ),
        pytest.param(
            resource("x", "[backend]\nbackend = 'vault'"),
            "conf.d/bad.toml:4: [backend]: a resource has no store of its own here (make it a source in"
            " proxyconf's own configuration, [etcd] or [consul] for example: templates see the keys of all"
            " sources)",
            id="a store of its own",
        ),
    ],
)
def test_a_bad_file_is_set_aside_and_the_others_go_on(tmp_path: Path, content: str, problem: str) -> None:
    resources = found(tmp_path, {"a.toml": resource("a"), "bad.toml": content, "c.toml": resource("c")})
    assert names(resources) == ["a", "c"]
    assert texts(tmp_path, resources) == [f"template {problem}"]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    found(tmp_path, {"bad.toml": ""})
    (tmp_path / "conf.d/bad.toml").write_bytes(b"\xff")
    assert "can't decode byte 0xff" in texts(tmp_path, found(tmp_path, {}))[0]


def test_what_confd_passes_over_is_passed_over_with_a_word(tmp_path: Path) -> None:
    more = "chek_cmd = 'true'\noutput_format = 'json'\n'Debounce' = '2s'"
    resources = found(tmp_path, {"a.toml": resource("a", more)})
    assert names(resources) == ["a"]
    assert texts(tmp_path, resources) == [
        "template conf.d/a.toml:4: chek_cmd: unknown, so it was passed over (did you mean 'check_cmd'?)",
        "template conf.d/a.toml:5: output_format: has no effect (let check_cmd look at the rendered text)",
        (
            "template conf.d/a.toml:6: Debounce: has no effect (see [pace] for all resources, or"
            " min_reload_interval for this one)"
        ),
    ]
    assert resources.problems == ()


def test_big_letters_in_keys_as_in_confd(tmp_path: Path) -> None:
    resources = found(tmp_path, {"a.toml": "[Template]\nSrc = 'a'\nDest = '/tmp/none/a'\nReload_cmd = 'x'"})
    assert resources.warnings == ()
    assert resources.resources[0].reload is not None


def test_the_second_of_two_with_one_destination_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/tmp/none/a")
    files = {"a.toml": resource("a"), "b.toml": f"[template]\nsrc = 'b'\ndest = '{tmp_path}/link'"}
    resources = found(tmp_path, files)
    assert names(resources) == ["a"]
    assert texts(tmp_path, resources) == [
        "template conf.d/b.toml:3: dest: link is written by conf.d/a.toml (remove one of them)"
    ]


def test_mistakes_in_our_own_tables_are_problems_too(tmp_path: Path) -> None:
    own = """
        [[template]]
        src = 'x'
        dest = '/tmp/none/own'
        kyes = []
        [[template]]
        src = 'x'
        dest = '/tmp/none/a'
        [[template]]
        src = 'y'
        dest = '/tmp/none/a'
    """
    resources = found(tmp_path, {}, own)
    assert names(resources) == ["a"]
    assert texts(tmp_path, resources) == [
        "template p.toml: [[template]] /tmp/none/own: kyes: unknown key (did you mean 'keys'?)",
        (
            "template p.toml: [[template]] /tmp/none/a: dest: /tmp/none/a is written by p.toml: [[template]]"
            " /tmp/none/a (remove one of them)"
        ),
    ]


def test_files_named_besides_the_folder_count_once(tmp_path: Path) -> None:
    (tmp_path / "extra.toml").write_text(resource("extra"))
    files = {"a.toml": resource("a"), "b.toml": resource("b")}
    own = f"files = ['{tmp_path}/extra.toml', '{tmp_path}/conf.d/b.toml']"
    assert names(found(tmp_path, files, own)) == ["extra", "b", "a"]


def test_nothing_to_do_is_said_where_there_is_no_site(tmp_path: Path) -> None:
    resources = found(tmp_path, {}, "[nginx]\nmode = 'none'")
    (warning,) = resources.warnings
    assert warning.where == f"{tmp_path}/conf.d"
    assert found(tmp_path, {"a.toml": resource("a")}, "[nginx]\nmode = 'none'").warnings == ()


def test_what_cannot_be_read_any_more_counts_as_it_was(tmp_path: Path) -> None:
    """Files with a mistake, tables of our own; not a file that is gone, nor one that is there anew."""
    own = "[[template]]\nsrc = 'x'\ndest = '/tmp/none/own'"
    files = {name: resource(name) for name in ("a", "b.toml", "gone.toml", "moved.toml")}
    before = found(tmp_path, files, own)
    (tmp_path / "conf.d" / "gone.toml").unlink()
    broken = {
        "b.toml": "[template\n",
        "moved.toml": "[template\n",
        "new.toml": resource("moved.toml", "mode = '600'"),
        "broken.toml": "[template\n",
    }
    now = with_last_good(found(tmp_path, broken, f"{own}\nkyes = []"), before)
    assert names(now) == ["moved.toml", "own", "b.toml"]
    assert now.resources[0].mode == 0o600
    counts = [problem.why.endswith("; what was read before still counts") for problem in now.problems]
    wheres = [problem.where.rpartition("/")[2] for problem in now.problems]
    assert dict(zip(wheres, counts, strict=True)) == {
        "own": True, "b.toml:1": True, "broken.toml:1": False, "moved.toml:1": False
    }  # fmt: skip


def test_a_folder_that_cannot_be_read_any_more(tmp_path: Path) -> None:
    before = found(tmp_path, {"a.toml": resource("a"), "x/b.toml": resource("b")})
    unreadable = Problem("template", f"{tmp_path}/conf.d/x", "list: Permission denied (may we read it?)")
    now = with_last_good(Resources(before.resources[:1], (unreadable,)), before)
    assert names(now) == ["a", "b"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is not one without resources, and what was read there still counts."""
    before = found(tmp_path / "x", {"a.toml": resource("a")})
    (tmp_path / "x").rename(tmp_path / "y")
    (tmp_path / "p.toml").write_text(f"[confd]\ndir = '{tmp_path}/x'\n[nginx]\nmode = 'none'")
    now = read_resources(load(tmp_path / "p.toml", kinds=()))
    (problem,) = now.problems
    assert str(problem) == f"template {tmp_path}/x: no such folder (the one with conf.d and templates in it)"
    assert now.warnings == ()
    assert with_last_good(now, before).resources == before.resources
