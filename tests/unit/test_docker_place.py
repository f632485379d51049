"""Where the proxy is, as an engine sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.model import Container, Reach
from proxyconf.sources._docker_connect import read_address
from proxyconf.sources._docker_place import (
    PROJECT,
    SERVICE,
    Mode,
    find_nginx,
    find_own,
    find_reach,
    host_of,
    joined,
    own_ids,
)
from proxyconf.sources._tls import Tls

OURS = "0123456789abcdef" * 4
DOCKER = f"""\
1 0 0:40 / / rw,relatime - overlay overlay rw
8 1 8:1 /var/lib/docker/containers/{OURS}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw
9 1 8:1 /var/lib/docker/containers/{OURS}/hostname /etc/hostname rw - ext4 /dev/sda1 rw
"""
PODMAN = f"5 1 0:23 /containers/overlay-containers/{OURS}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"
OTHER = "8 1 8:1 /var/lib/docker/containers/" + "f" * 64 + "/hostname /mnt/hostname rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "ids"),
    [
        pytest.param(DOCKER, {OURS}, id="docker"),
        pytest.param(PODMAN, {OURS}, id="podman"),
        pytest.param(OTHER, set(), id="mounted from another"),
        pytest.param("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", set(), id="a host"),
    ],
)
def test_our_own_ids(mountinfo: str, ids: set[str]) -> None:
    assert own_ids(mountinfo) == ids


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("unix:///var/run/docker.sock", "127.0.0.1"),
        ("tcp://localhost", "127.0.0.1"),
        ("tcp://127.0.0.2:2375", "127.0.0.1"),
        ("tcp://192.0.2.7", "192.0.2.7"),
        ("http://[2001:db8::7]:2375", "2001:db8::7"),
        ("tcp://engine.example.com", ""),
    ],
)
def test_the_host_of_an_engine(url: str, host: str) -> None:
    """A name is not asked for: nginx is told addresses."""
    assert host_of(read_address(url, Tls())) == host


def in_networks(*names: str) -> Container:
    return Container(OURS, "proxy", {}, "running", attached=dict.fromkeys(names, ""))


@pytest.mark.parametrize(
    ("ours", "mode", "reach"),
    [
        pytest.param(None, "auto", Reach(), id="in none of its containers"),
        pytest.param(None, "published", Reach(published=True), id="published"),
        pytest.param(
            in_networks("edge", "bridge", "b"), "auto", Reach(("b", "edge", "bridge"), ""), id="networks"
        ),
        pytest.param(in_networks(), "auto", Reach((), ""), id="no network"),
        pytest.param(in_networks("a"), "published", Reach(("a",), "", published=True), id="asked for"),
        pytest.param(in_networks("host"), "auto", Reach(), id="the host's network"),
    ],
)
def test_how_containers_are_reached(ours: Container | None, mode: Mode, reach: Reach) -> None:
    assert find_reach(ours, host="127.0.0.1", secluded=False, network="", mode=mode) == reach


@pytest.mark.parametrize(
    ("attached", "network", "host"),
    [
        pytest.param({"bridge": "172.17.0.1", "edge": "198.18.0.1"}, "", "198.18.0.1", id="of the first"),
        pytest.param({"bridge": "172.17.0.1", "edge": ""}, "", "172.17.0.1", id="one has none"),
        pytest.param({"bridge": "172.17.0.1", "edge": "198.18.0.1"}, "bridge", "172.17.0.1", id="named"),
        pytest.param({"edge": "198.18.0.1"}, "bridge", "", id="the one that is named has none"),
        pytest.param({"edge": "fd00::1"}, "", "fd00::1", id="IPv6"),
    ],
)
def test_the_host_is_at_the_gateway(attached: dict[str, str], network: str, host: str) -> None:
    """Of the network in which containers are reached."""
    ours = replace(in_networks(), attached=attached)
    assert find_reach(ours, host="127.0.0.1", secluded=False, network=network, mode="auto").host == host


def test_our_own_container() -> None:
    web, ours = Container("e" * 64, "web", {}, "running"), in_networks("edge")
    assert find_own([web, ours], {"d" * 64, OURS}) == ours
    assert find_own([web], {OURS}) is None


def nginx(name: str, *, state: str = "running", project: str = "shop") -> Container:
    return Container(name.ljust(64, "-"), name, {PROJECT: project, SERVICE: "nginx"}, state)


@pytest.mark.parametrize(
    ("containers", "found"),
    [
        pytest.param([nginx("shop-nginx-1"), nginx("nginx")], "nginx", id="by its name"),
        pytest.param(
            [nginx("shop-nginx-1"), nginx("nginx", state="exited")], "nginx", id="its name, though stopped"
        ),
        pytest.param([nginx("shop-nginx-2"), nginx("shop-nginx-1")], "shop-nginx-1", id="as a service"),
        pytest.param(
            [nginx("shop-nginx-2", state="paused"), nginx("shop-nginx-1", state="created")],
            "shop-nginx-2",
            id="the one that runs",
        ),
        pytest.param([nginx("blog-nginx-1", project="blog")], None, id="another project"),
    ],
)
def test_the_container_of_nginx(containers: list[Container], found: str | None) -> None:
    """It is found as the control of nginx finds it."""
    ours = replace(in_networks("edge"), labels={PROJECT: "shop", SERVICE: "proxyconf"})
    nginx = find_nginx(containers, "nginx", ours)
    assert (nginx.name if nginx else None) == found


def test_the_container_of_nginx_by_the_beginning_of_its_id() -> None:
    """As far as it is only one's."""
    one, other = (replace(nginx(name), id=begin * 32) for name, begin in (("one", "ab"), ("other", "ac")))
    assert find_nginx([one, other], "abab", None) == one
    assert find_nginx([one, other], "a", None) is None


def test_a_service_needs_a_project_of_ours() -> None:
    assert find_nginx([nginx("shop-nginx-1")], "nginx", None) is None
    assert find_nginx([nginx("shop-nginx-1")], "nginx", in_networks("edge")) is None


@pytest.mark.parametrize(
    ("ours", "network", "reach"),
    [
        pytest.param(None, "", Reach(published=True), id="on its host"),
        pytest.param(None, "edge", Reach(("edge",)), id="a network that is named"),
        pytest.param(in_networks("edge"), "", Reach(("edge",), ""), id="in one of its containers"),
        pytest.param(in_networks("edge"), "back", Reach(("back",), ""), id="both"),
        pytest.param(in_networks("host"), "back", Reach(("back",)), id="on the host's network"),
    ],
)
def test_an_engine_with_networks_of_its_own(ours: Container | None, network: str, reach: Reach) -> None:
    """From its host only published ports are reached, but not all is there."""
    assert reach == find_reach(ours, host="127.0.0.1", secluded=True, network=network, mode="auto")


def test_a_container_has_the_networks_of_the_one_that_it_joined() -> None:
    """Also the ports that are published for it; none while that one is not there."""
    owner = replace(in_networks("edge"), networks={"edge": "198.18.0.2"}, published={8080: "0.0.0.0:80"})
    sidecar = Container("2" * 64, "sidecar", {}, "running", network_mode="container:" + owner.id)
    found = joined((sidecar, owner))
    assert found == (replace(owner, id=sidecar.id, name="sidecar", network_mode=sidecar.network_mode), owner)
    assert joined((sidecar,)) == (sidecar,)
