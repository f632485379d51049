"""The example of 2014, with its boot script as it stood: what wedges confd must end well here.

It is told by docs/from-confd.md, beside what confd does at each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.confd_lab import SERVICE, ConfdLab
from tests.live.etcd_server import EtcdServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("nginx")

BOOT = """\
#!/bin/bash
until confd -onetime -confdir {confdir} -node $ETCD -config-file {resource}; do
    echo "waiting for a first configuration"
    sleep 0.2
done
confd -interval 10 -confdir {confdir} -node $ETCD -config-file {resource} &
exec nginx -c {nginx}/nginx.conf -g 'daemon off;'
"""
TEMPLATE = """\
upstream app {{
{{% for server in getvs("/app/server/*") %}}
    server {{{{ server }}}};
{{% endfor %}}
}}
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; }}
}}
"""


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
def lab() -> Iterator[ConfdLab]:
    with ConfdLab() as lab:
        conf = lab.nginx / "nginx.conf"
        lab.template("nginx", TEMPLATE.format(port=lab.port))
        lab.resource(
            "nginx",
            dest=str(lab.nginx / "conf.d" / "app.conf"),
            keys=["app/server"],
            check_cmd=f"nginx -t -c {conf}",
            reload_cmd="service nginx reload",
        )
        yield lab


def boot(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Start the boot script, as the container's first process."""
    resource = lab.confdir / "conf.d" / "nginx.toml"
    script = BOOT.format(confdir=lab.confdir, resource=resource, nginx=lab.nginx)
    node = etcd.url.removeprefix("http://")  # in 2014, without a scheme
    lab.start("bash", "-c", f"ETCD={node}\n{script}")


def test_the_story(lab: ConfdLab, etcd: EtcdServer) -> None:
    """Every step ends with nginx serving the last good configuration, or not yet started."""
    dest = lab.nginx / "conf.d" / "app.conf"
    boot(lab, etcd)
    lab.until(lambda: lab.log().count("waiting for a first configuration") >= 2, "the loop goes round")
    assert not dest.exists()  # an upstream without a server, which nginx refuses
    assert lab.nginx_test() == ""
    assert lab.ask() == "refused"

    etcd.put("/app/server/1", lab.backend("one"))
    lab.until_serves("one")
    assert lab.until_state("applied").proof == "workers"

    etcd.put("/app/server/2", lab.backend("two"))
    lab.until_serves("one", "two")

    etcd.put("/app/server/2", "not an address;")
    refused = lab.until_state("refused")
    assert "last good file is kept" in refused.reason
    assert (lab.nginx_test(), lab.ask() in ("one", "two")) == ("", True)

    etcd.put("/app/server/2", lab.backend("three"))
    lab.until_serves("one", "three")
    lab.until_state("applied")

    lab.service("#!/bin/sh\nexit 1\n")
    etcd.put("/app/server/3", lab.backend("four"))
    failed = lab.until_state("failed")
    assert "the file is in place; its reload is tried again" in failed.reason
    assert lab.nginx_test() == ""
    assert "four" not in {lab.ask() for _ in range(8)}
    lab.service(SERVICE)
    lab.until_serves("one", "three", "four")
    lab.until_state("applied")

    etcd.wipe()
    etcd.new_identity()
    etcd.start()
    lab.until_status(lambda status: status.problems, "the empty store is held")
    assert {lab.ask() for _ in range(8)} == {"one", "three", "four"}
    etcd.put("/app/server/5", lab.backend("five"))
    etcd.put("/app/server/6", lab.backend("six"))
    lab.until_serves("five", "six")
    assert lab.nginx_test() == ""
    lab.until_status(lambda status: status.state == "applied" and not status.problems, "all is well")


def test_killed_in_the_middle_of_an_apply(lab: ConfdLab, etcd: EtcdServer) -> None:
    """While check or reload runs: nothing unchecked is left, and the next run brings it to its end."""
    etcd.put("/app/server/1", lab.backend("one"))
    node = ("-node", etcd.url)
    assert lab.once(*node).returncode == 0
    nginx = lab.start_nginx()
    for slow in ("nginx", "service"):
        real = {"nginx": '#!/bin/sh\nexec /usr/sbin/nginx "$@"\n', "service": SERVICE}[slow]
        path = lab.bin / slow
        path.write_text(f"#!/bin/sh\ntouch {lab.folder}/{slow}-started\nexec sleep 60\n")
        path.chmod(0o755)
        daemon = lab.start("confd", *lab.flags, "-watch", *node)
        name = f"after-{slow}"
        etcd.put("/app/server/1", lab.backend(name))
        lab.until((lab.folder / f"{slow}-started").exists, f"{slow} hangs")
        lab.kill(daemon)
        assert lab.nginx_test() == ""
        path.write_text(real.format(folder=lab.nginx))
        path.chmod(0o755)
        daemon = lab.start("confd", *lab.flags, "-watch", *node)
        lab.until_serves(name)
        lab.until_state("applied")
        assert lab.stop(daemon) == 0
        assert nginx.poll() is None
        assert sorted(path.name for path in (lab.nginx / "conf.d").iterdir()) == ["app.conf"]
