"""``confd -onetime``, as boot scripts and cron jobs call it: what it does, says, and returns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.live.confd_lab import ConfdLab
from tests.live.server import free_ports

if TYPE_CHECKING:
    from tests.live.etcd_server import EtcdServer

pytestmark = pytest.mark.needs("nginx")


def test_all_is_well(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Applied and proved, once; the next run has nothing to do. A key that nobody knows is only a warning."""
    dest = lab.app(reload_cmmd="true")
    lab.start_nginx()
    etcd.put("/app/server/1", lab.backend("one"))
    first = lab.once()
    assert (first.returncode, first.stdout) == (0, "1 applied\n")
    assert "reload_cmmd: unknown, so it was passed over (did you mean 'reload_cmd'?)" in first.stderr
    assert lab.ask() == "one"
    reloads = lab.reloads()
    assert reloads == 1
    again = lab.once()
    assert (again.returncode, again.stdout, lab.reloads()) == (0, "1 applied\n", reloads)
    assert [path.name for path in dest.parent.iterdir()] == ["app.conf"]
    assert [path.name for path in lab.nginx.glob(".*")] == []


def test_no_nginx_runs(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Checked and in place is all that can be done, and good enough for a boot script."""
    dest = lab.app()
    etcd.put("/app/server/1", lab.backend("one"))
    done = lab.once()
    assert done.returncode == 0
    assert done.stdout == (
        f"1 installed ({dest}: checked and in place; no nginx runs on it, whose start will load it)\n"
    )
    lab.start_nginx()
    assert lab.ask() == "one"


def test_refused_by_its_check(lab: ConfdLab, etcd: EtcdServer) -> None:
    """It says what nginx says, in the name of the file; that has stayed as it was."""
    dest = lab.app()
    etcd.put("/app/server/1", lab.backend("one"))
    assert lab.once().returncode == 0
    before = dest.read_bytes()
    etcd.put("/app/server/2", "not an address;")
    done = lab.once()
    assert done.returncode == 1
    assert done.stdout.startswith(f"1 refused ({dest}: ")
    assert f'invalid parameter "an" in {dest}:3' in done.stdout
    assert "its last good file is kept" in done.stdout
    assert dest.read_bytes() == before
    assert lab.nginx_test() == ""


def test_a_reload_that_fails_is_not_forgotten(lab: ConfdLab, etcd: EtcdServer) -> None:
    """The next run tries it again, though the file is as it should be; until it has worked."""
    lab.script("reload", f"echo >> {lab.folder}/reloads; echo no such pool; exit 7")
    dest = lab.text("name", reload_cmd="reload")
    etcd.put("/name", "a")
    done = lab.once()
    assert (done.returncode, dest.read_text()) == (1, "a\n")
    assert "1 failed" in done.stdout
    assert "run reload: exit code 7: no such pool" in done.stdout
    failed = lab.calls("reloads")
    assert lab.once().returncode == 1
    assert lab.calls("reloads") > failed
    lab.script("reload", f"echo >> {lab.folder}/well")
    for _ in range(2):
        assert lab.once().returncode == 0
        assert lab.calls("well") == 1


def test_one_that_fails_does_not_stop_the_others(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Whatever is wrong with a resource, or its file: the others are brought in step, and the code is 1."""
    etcd.put("/name", "a")
    lab.text("a-strict", 'first line\n{{ getv("/no/such") }}\n')
    lab.text("b-check", check_cmd="false {{.src}}")
    lab.text("c-folder", dest=str(lab.folder / "none" / "c"))
    (lab.confdir / "conf.d" / "d-broken.toml").write_text("[template\n")
    good = lab.text("e-good")
    done = lab.once()
    assert done.returncode == 1
    assert good.read_text() == "a\n"
    assert done.stdout.startswith("1 applied, 1 failed (")
    assert f"render {lab.confdir}/templates/a-strict.tmpl:2: getv '/no/such': no such key" in done.stdout
    assert done.stdout.count("there is no file yet") == 2
    assert f"create the folder {lab.folder / 'none'}" in done.stdout
    assert f": template {lab.confdir}/conf.d/d-broken.toml:1: " in done.stderr


def test_only_a_file_that_is_no_resource(lab: ConfdLab, etcd: EtcdServer) -> None:
    """The code is 1, though all that could be done went well: somebody waits for that file."""
    etcd.put("/name", "a")
    good = lab.text("name")
    lab.resource("misspelt", dset="/tmp/x")
    done = lab.once()
    assert (done.returncode, good.read_text()) == (1, "a\n")
    assert "dest: is missing" in done.stderr


def test_no_resources(lab: ConfdLab) -> None:
    """Well, and said."""
    done = lab.once()
    assert done.returncode == 0
    assert done.stdout == "nothing to do: there is no template resource\n"
    assert f"warning: template {lab.confdir}/conf.d: there is no resource" in done.stderr


def test_a_store_that_does_not_answer() -> None:
    """It gives up in time, and says which store, and why."""
    (port,) = free_ports(1)
    with ConfdLab("-node", f"127.0.0.1:{port}") as lab:
        dest = lab.text("name")
        start = time.monotonic()
        done = lab.once("-backend-timeout", "1s")
    assert done.returncode == 1
    assert time.monotonic() - start < 5
    assert done.stdout.startswith("not applied: etcd: ")
    assert f"127.0.0.1:{port}: connection refused" in done.stdout
    assert not dest.exists()
