"""The copies by which nginx is asked about candidates: of which files, and what they include instead."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from proxyconf.errors import CommandError, StateError
from proxyconf.nginx.shadow import Shadow

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "include modules/*.conf;\nhttp {\n  include conf.d/*.conf;\n  include sites/*;\n}\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Return the folder of a main file that includes two files of conf.d, and a link to a site."""
    folder = tmp_path / "etc"
    write(
        folder,
        {
            "nginx.conf": MAIN,
            "conf.d/a.conf": "gzip on;\n",
            "conf.d/b.conf": "include snippets/s.conf;\n",
            "snippets/s.conf": "aio on;\n",
            "available/app": "server { include snippets/s.conf; }\n",
        },
    )
    (folder / "sites").mkdir()
    (folder / "sites" / "app").symlink_to("../available/app")
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def stage(etc: Path, *names: str, text: str = "") -> dict[Path, Path]:
    """Stage new content for the files *names* of the folder *etc*, outside of it."""
    staged = etc.parent / "staged"
    staged.mkdir(exist_ok=True)
    swaps = {etc / name: staged / name.replace("/", "-") for name in names}
    for file in swaps.values():
        file.write_text(text or f"# new {file.name}\n")
    return swaps


def tree(etc: Path) -> dict[str, str]:
    """Return the content of all files."""
    return {str(file.relative_to(etc)): file.read_text() for file in etc.rglob("*") if file.is_file()}


def copies(etc: Path, shadow: Shadow) -> dict[str, str]:
    """Write the copies; return what they have, by the name of the original, with short names."""
    before = tree(etc)
    shadow.write()
    new = {name: text for name, text in tree(etc).items() if name not in before}
    shadow.remove()
    assert tree(etc) == before
    assert all(re.fullmatch(r"(.*/)?\.[^/]+\.proxyconf-check", name) for name in new)
    return {
        re.sub(r"\.([^/]+)\.proxyconf-check", r"\1", name): text.replace(f"{etc}/", "").replace(
            f"{etc.parent}/", ""
        )
        for name, text in new.items()
    }


def test_only_the_files_that_lead_to_a_candidate_are_copied(etc: Path) -> None:
    """All else is included as it is, in the same order."""
    swaps = stage(etc, "conf.d/a.conf")
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.main == etc / ".nginx.conf.proxyconf-check"
    assert shadow.reached == swaps.keys()
    assert copies(etc, shadow) == {
        "nginx.conf": MAIN.replace(
            "include conf.d/*.conf;", 'include "staged/conf.d-a.conf"; include "conf.d/b.conf";'
        )
    }


def test_candidates_of_one_pattern_and_of_several_ways(etc: Path) -> None:
    """Two in one folder; one that two files include."""
    swaps = stage(etc, "conf.d/a.conf", "snippets/s.conf")
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.reached == swaps.keys()
    assert copies(etc, shadow) == {
        "nginx.conf": (
            "include modules/*.conf;\nhttp {\n"
            '  include "staged/conf.d-a.conf"; include "conf.d/.b.conf.proxyconf-check";\n'
            '  include "sites/.app.proxyconf-check";\n}\n'
        ),
        "conf.d/b.conf": 'include "staged/snippets-s.conf";\n',
        "sites/app": 'server { include "staged/snippets-s.conf"; }\n',
    }


@pytest.mark.parametrize(
    ("name", "include", "instead"),
    [
        pytest.param("new.conf", "new.conf", '"staged/new.conf"', id="by its name"),
        pytest.param("conf.d/new.conf", "conf.d/new.con[f]", '"staged/conf.d-new.conf"', id="pattern"),
        pytest.param(
            "conf.d/ab.conf",
            "conf.d/*.conf",
            '"conf.d/a.conf"; include "staged/conf.d-ab.conf"; include "conf.d/b.conf"',
            id="among others, in order",
        ),
        pytest.param("conf.d/new.conf", "*.d/n*", '"staged/conf.d-new.conf"', id="folder by a pattern"),
        pytest.param("conf.d/new.conf", "conf.?/new.conf", '"staged/conf.d-new.conf"', id="folder only"),
        pytest.param("conf.d/new.conf", "conf.d/[^ab].*", None, id="left out"),
        pytest.param(
            "conf.d/n.conf", "conf.d/[^ab].*", '"staged/conf.d-n.conf"', id="negated, as in a shell"
        ),
        pytest.param("conf.d/n*.conf", r"conf.d/n\*.con[f]", '"staged/conf.d-n*.conf"', id="escaped star"),
        pytest.param("conf.d/.new.conf", "conf.d/*.conf", None, id="hidden"),
        pytest.param(
            "conf.d/.new.conf", "conf.d/.*.conf", '"staged/conf.d-.new.conf"', id="hidden, and meant"
        ),
        pytest.param("b/new.conf", "conf.d/*", None, id="elsewhere"),
        pytest.param("new.conf", "conf.d/../new.conf", '"staged/new.conf"', id="by a detour"),
    ],
)
def test_a_file_that_does_not_exist_yet(etc: Path, name: str, include: str, instead: str | None) -> None:
    """It is included where it will be, as nginx reads patterns."""
    (etc / "nginx.conf").write_text(f"http {{ include {include}; }}")
    shadow = Shadow(etc / "nginx.conf", stage(etc, name))
    if instead is None:
        assert (shadow.reached, shadow.main) == (frozenset(), etc / "nginx.conf")
        assert copies(etc, shadow) == {}
    else:
        instead = instead.replace("*", r"\\*")  # else it would be a pattern again
        assert copies(etc, shadow) == {"nginx.conf": f"http {{ include {instead}; }}"}


@pytest.mark.parametrize("folder", ["state/nginx", "st[a]te/nginx"])
def test_a_folder_that_does_not_exist_yet(etc: Path, folder: str) -> None:
    """Ours, before the first run; and it may have characters that mean something in a pattern."""
    name = f"{folder}/http.conf"
    pattern = name.replace("[", "\\\\[").replace(".conf", ".con[f]")
    write(etc, {"nginx.conf": f"http {{ include '{etc}/{pattern}'; }}\n"})
    swaps = stage(etc, name)
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.reached == swaps.keys()
    assert 'include "staged/' in copies(etc, shadow)["nginx.conf"]


@pytest.mark.parametrize("name", ["available/app", "sites/app"])
def test_a_link_is_the_file_it_points_at(etc: Path, name: str) -> None:
    shadow = Shadow(etc / "nginx.conf", swaps := stage(etc, name))
    assert shadow.reached == swaps.keys()
    assert f'include "staged/{name.replace("/", "-")}";' in copies(etc, shadow)["nginx.conf"]


def test_a_folder_may_be_a_link(etc: Path) -> None:
    """For a file that exists, and for one that does not."""
    (etc / "linked").symlink_to("conf.d")
    (etc / "nginx.conf").write_text("include linked/*.conf;")
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf", "conf.d/c.conf"))
    assert copies(etc, shadow)["nginx.conf"] == (
        'include "staged/conf.d-a.conf"; include "linked/b.conf"; include "staged/conf.d-c.conf";'
    )


def test_a_link_whose_target_does_not_exist_yet(etc: Path) -> None:
    (etc / "sites" / "new").symlink_to("../available/new")
    shadow = Shadow(etc / "nginx.conf", stage(etc, "available/new"))
    assert 'include "sites/app"; include "staged/available-new";' in copies(etc, shadow)["nginx.conf"]


def test_an_exact_name_goes_before_a_link(etc: Path) -> None:
    """Whoever stages both means both."""
    shadow = Shadow(etc / "nginx.conf", stage(etc, "available/app", "sites/app"))
    assert shadow.reached == {etc / "sites/app"}


def test_the_main_file_itself(etc: Path) -> None:
    """Its copy stands beside the real one, for what is relative in it."""
    swaps = stage(etc, "nginx.conf", text="http { include conf.d/*.conf; }\n")
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.main == etc / ".nginx.conf.proxyconf-check"
    assert shadow.reached == swaps.keys()
    assert copies(etc, shadow) == {"nginx.conf": "http { include conf.d/*.conf; }\n"}


def test_the_main_file_and_what_only_the_new_one_includes(etc: Path) -> None:
    """Even where there is no main file yet."""
    swaps = stage(etc, "nginx.conf", "new.conf")
    swaps[etc / "nginx.conf"].write_text("include new.conf;")
    (etc / "nginx.conf").unlink()
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.reached == swaps.keys()
    assert copies(etc, shadow) == {"nginx.conf": 'include "staged/new.conf";'}


def test_a_candidate_that_includes_another(etc: Path) -> None:
    """It is copied, too; what no candidate includes any more is not reached."""
    swaps = stage(etc, "conf.d/a.conf", "conf.d/b.conf", "snippets/s.conf", "new.inc")
    swaps[etc / "conf.d/a.conf"].write_text("# 1\ninclude\n  new.inc ; # 3\n")
    (etc / "sites" / "app").unlink()
    shadow = Shadow(etc / "nginx.conf", swaps)
    assert shadow.reached == swaps.keys() - {etc / "snippets/s.conf"}
    found = copies(etc, shadow)
    assert found["conf.d/a.conf"] == '# 1\n\ninclude "staged/new.inc"; # 3\n'
    assert 'include "conf.d/.a.conf.proxyconf-check"; include "staged/conf.d-b.conf";' in found["nginx.conf"]
    copy = etc / "conf.d/.a.conf.proxyconf-check"
    assert shadow.in_real_names(f"in {copy}:3") == f"in {etc}/conf.d/a.conf:3"


def test_includes_in_any_block(etc: Path) -> None:
    text = "events { include x; } stream { map $a $b { include x; } } http { types { include x; } }"
    (etc / "nginx.conf").write_text(text)
    shadow = Shadow(etc / "nginx.conf", stage(etc, "x"))
    assert copies(etc, shadow) == {"nginx.conf": text.replace("include x;", 'include "staged/x";')}


def test_what_is_relative_starts_from_the_folder_of_the_main_file(etc: Path) -> None:
    """Not from that of the including file."""
    write(etc, {"conf.d/a.conf": "include x;"})
    assert Shadow(etc / "nginx.conf", stage(etc, "conf.d/x")).reached == frozenset()
    assert Shadow(etc / "nginx.conf", stage(etc, "x")).reached == {etc / "x"}


@pytest.mark.parametrize("name", ['a "b" \\c', "a[1]\\.conf", "a;{}'$b", "a\nb"])
def test_any_character_of_a_name_is_quoted(etc: Path, name: str) -> None:
    """What is read back is the name: by nginx's rules, then by glob's (nginx itself is asked live)."""
    write(etc, {f"odd/{name}": "", "nginx.conf": "include odd/*;"})
    found = copies(etc, Shadow(etc / "nginx.conf", stage(etc, "odd/zz")))["nginx.conf"]
    word = re.sub(r"\\([\"\\])", r"\1", found.removeprefix('include "').split('"; include "staged')[0])
    wild = re.search(r"[*?\[]", word)
    assert (re.sub(r"\\(.)", r"\1", word) if wild else word) == f"odd/{name}"


def test_bytes_that_are_no_text_stay_as_they_are(etc: Path) -> None:
    before, after = b"# \xff\r\n\xe2\x82\xac\r x 1;", b"\n"
    (etc / "nginx.conf").write_bytes(before + b"include\rx;" + after)
    shadow = Shadow(etc / "nginx.conf", stage(etc, "x"))
    shadow.write()
    assert shadow.main.read_bytes() == before + os.fsencode(f'include "{etc.parent}/staged/x";') + after
    shadow.remove()


def test_files_that_include_each_other_are_left_to_nginx(etc: Path) -> None:
    """However many: they are read once, and nginx refuses them."""
    for number in range(20):
        write(etc, {f"conf.d/c{number}.conf": "include conf.d/*.conf;"})
    write(etc, {"conf.d/d.conf": "include nginx.conf;"})
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    found = copies(etc, shadow)
    assert len(found) == 22
    assert 'include "conf.d/.c1.conf.proxyconf-check";' in found["conf.d/c0.conf"]
    assert found["conf.d/d.conf"] == 'include ".nginx.conf.proxyconf-check";'


def test_what_cannot_be_read_is_left_to_nginx(etc: Path) -> None:
    (etc / "conf.d" / "0.conf").mkdir()
    write(etc, {"conf.d/b.conf": "include missing.conf;"})
    found = copies(etc, Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf")))
    assert (
        'include "conf.d/0.conf"; include "staged/conf.d-a.conf"; include "conf.d/b.conf";'
        in (found["nginx.conf"])
    )


def test_what_no_include_leads_to_is_not_reached(etc: Path) -> None:
    """Such as a script, or a certificate."""
    write(etc, {"conf.d/a.conf": "js_import x.js; # include y;\n"})
    swaps = stage(etc, "x.js", "y")
    assert Shadow(etc / "nginx.conf", swaps).reached == frozenset()


def test_messages_have_the_real_names(etc: Path) -> None:
    """Of copies, and of candidates; not of files whose names only begin or end like them."""
    swaps = stage(etc, "conf.d/a.conf", "snippets/s.conf", "sites/app")
    short = etc.parent / "staged" / "s"
    swaps[etc / "snippets/s.conf"] = short
    short.write_text("")
    shadow = Shadow(etc / "nginx.conf", swaps)
    for place, real in [
        (etc / ".nginx.conf.proxyconf-check", etc / "nginx.conf"),
        (etc / "conf.d/.b.conf.proxyconf-check", etc / "conf.d/b.conf"),
        (swaps[etc / "conf.d/a.conf"], etc / "conf.d/a.conf"),
        (short, etc / "snippets/s.conf"),
        (f"{short}ame", f"{short}ame"),
        (f"/x{short}", f"/x{short}"),
    ]:
        told = f'open() "{place}" failed in {place}:12\n{place} test failed {place}'
        assert shadow.in_real_names(told) == told.replace(str(place), str(real))


def test_messages_about_other_files_stay(etc: Path) -> None:
    assert Shadow(etc / "nginx.conf", {}).in_real_names("in /a:1") == "in /a:1"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_copy_is_no_more_readable_than_the_file(etc: Path, mode: int) -> None:
    (etc / "nginx.conf").chmod(mode)
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    shadow.write()
    assert stat.S_IMODE(shadow.main.stat().st_mode) == mode
    shadow.remove()


@pytest.mark.needs("root")
def test_a_copy_has_the_same_owner(etc: Path) -> None:
    os.chown(etc / "nginx.conf", 65533, 65532)
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    shadow.write()
    assert (shadow.main.stat().st_uid, shadow.main.stat().st_gid) == (65533, 65532)
    shadow.remove()


def test_what_a_killed_run_has_left_is_removed(etc: Path) -> None:
    """Also copies that are not needed now; what was copied is written anew, not into what is there."""
    old = [".nginx.conf.proxyconf-check", "conf.d/.b.conf.proxyconf-check", "snippets/.gone.proxyconf-check"]
    write(etc, dict.fromkeys(old, "old"))
    (etc / old[0]).unlink()
    (etc / old[0]).symlink_to(etc / "conf.d/a.conf")
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    shadow.write()
    assert [str(file.relative_to(etc)) for file in etc.rglob(".*")] == [old[0]]
    assert not (etc / old[0]).is_symlink()
    assert (etc / "conf.d/a.conf").read_text() == "gzip on;\n"
    shadow.remove()


def test_a_main_file_that_is_missing_is_named(etc: Path) -> None:
    (etc / "nginx.conf").unlink()
    with pytest.raises(CommandError, match=r"read .*/nginx\.conf to check it: No such file.*main file"):
        Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))


@pytest.mark.parametrize("name", ["nginx.conf", "conf.d/a.conf"])
def test_a_candidate_that_is_missing_is_named(etc: Path, name: str) -> None:
    swaps = stage(etc, name)
    swaps[etc / name].unlink()
    with pytest.raises(StateError, match=f"read {swaps[etc / name]} to check it: No such file"):
        Shadow(etc / "nginx.conf", swaps)


def test_a_file_that_went_meanwhile_is_named(etc: Path) -> None:
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    (etc / "nginx.conf").unlink()
    with pytest.raises(StateError, match=r"copy .*/nginx\.conf to check it: No such file"):
        shadow.write()
    shadow.remove()


def test_a_copy_that_can_not_be_made_nor_removed_is_named(etc: Path) -> None:
    """As in a folder that is read-only."""
    shadow = Shadow(etc / "nginx.conf", stage(etc, "conf.d/a.conf"))
    shadow.main.mkdir()
    with pytest.raises(StateError, match=r"copy .*/nginx\.conf to check it: Is a directory"):
        shadow.write()
    shadow.remove()
    assert shadow.main.is_dir()
