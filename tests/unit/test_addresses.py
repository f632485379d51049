"""Where a container is reached, by its networks and the proxy's place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyconf.errors import BadValueError
from proxyconf.model import Container, Reach
from proxyconf.routing.addresses import locate

ON_HOST = Reach()
IN_EDGE = Reach(("edge", "bridge"), host="")
PUBLISHED = Reach(published=True)
ELSEWHERE = Reach(host="")  # an engine over TCP, by a name
WEB = Container("1" * 64, "web", {}, "running", networks={"bridge": "172.17.0.2"}, network_mode="bridge")
BOTH = replace(WEB, networks={"edge": "10.0.0.2", "back": "10.0.1.2"})
HOST = replace(WEB, networks={"host": ""}, network_mode="host")
SIX = replace(WEB, networks={"six": "fd00::2"})
NOWHERE = replace(WEB, networks={})


def published(place: str) -> Container:
    return replace(WEB, published={8080: place})


def where(container: Container, reach: Reach, network: str = "") -> str:
    return locate(container, port=8080, network=network, reach=reach, label="proxyconf.network").address


@pytest.mark.parametrize(
    ("container", "reach", "network", "address"),
    [
        pytest.param(BOTH, ON_HOST, "", "10.0.1.2:8080", id="first by name"),
        pytest.param(
            replace(WEB, networks={**WEB.networks, "edge": "10.0.0.2"}),
            ON_HOST,
            "",
            "10.0.0.2:8080",
            id="default network last",
        ),
        pytest.param(BOTH, IN_EDGE, "", "10.0.0.2:8080", id="shared"),
        pytest.param(WEB, IN_EDGE, "", "172.17.0.2:8080", id="default network shared"),
        pytest.param(BOTH, IN_EDGE, "back", "10.0.1.2:8080", id="asked for"),
        pytest.param(BOTH, PUBLISHED, "back", "10.0.1.2:8080", id="asked for, not published"),
        pytest.param(SIX, ON_HOST, "", "[fd00::2]:8080", id="IPv6"),
        pytest.param(HOST, ON_HOST, "", "127.0.0.1:8080", id="host"),
        pytest.param(HOST, ON_HOST, "host", "127.0.0.1:8080", id="host, asked for"),
        pytest.param(HOST, PUBLISHED, "", "127.0.0.1:8080", id="host, published"),
        pytest.param(HOST, Reach(("edge",), "10.0.0.1"), "", "10.0.0.1:8080", id="host, by a gateway"),
        pytest.param(HOST, Reach(host="192.0.2.7"), "", "192.0.2.7:8080", id="host elsewhere"),
        pytest.param(HOST, Reach(host="2001:db8::7"), "", "[2001:db8::7]:8080", id="host elsewhere, IPv6"),
        pytest.param(published("0.0.0.0:81"), PUBLISHED, "", "127.0.0.1:81", id="published"),
        pytest.param(published("192.0.2.1:81"), PUBLISHED, "", "192.0.2.1:81", id="published at an address"),
        pytest.param(published("[::]:81"), PUBLISHED, "", "[::1]:81", id="published by IPv6 only"),
        pytest.param(published("[::1]:81"), PUBLISHED, "", "[::1]:81", id="published at an IPv6 address"),
        pytest.param(published("127.0.0.1:81"), PUBLISHED, "", "127.0.0.1:81", id="published here only"),
        pytest.param(
            published("0.0.0.0:81"),
            Reach(host="192.0.2.7", published=True),
            "",
            "192.0.2.7:81",
            id="published elsewhere",
        ),
        pytest.param(
            published("[::]:81"),
            Reach(host="192.0.2.7", published=True),
            "",
            "192.0.2.7:81",
            id="published elsewhere by IPv6",
        ),
        pytest.param(published("0.0.0.0:81"), ON_HOST, "", "172.17.0.2:8080", id="own address first"),
        pytest.param(
            replace(NOWHERE, published={8080: "0.0.0.0:81"}), ON_HOST, "", "127.0.0.1:81", id="only published"
        ),
    ],
)
def test_the_address(container: Container, reach: Reach, network: str, address: str) -> None:
    assert where(container, reach, network) == address


@pytest.mark.parametrize(
    ("container", "reach", "network", "why"),
    [
        pytest.param(
            BOTH,
            ON_HOST,
            "eg",
            "it has no address in the network 'eg'; its networks: back (10.0.1.2), edge (10.0.0.2)"
            " (correct the label proxyconf.network, or connect it)",
            id="another network",
        ),
        pytest.param(
            BOTH,
            Reach(("front", "web"), ""),
            "",
            "it is in no network of the proxy, which is in front, web; its networks: back (10.0.1.2),"
            " edge (10.0.0.2) (docker network connect front web, or set [docker] network)",
            id="none shared",
        ),
        pytest.param(WEB, Reach((), ""), "", "the proxy's container is in no network (", id="proxy alone"),
        pytest.param(
            replace(NOWHERE, published={80: "0.0.0.0:81"}),
            ON_HOST,
            "",
            "it runs without an address in any network; its networks: none; published: 80 at 0.0.0.0:81"
            " (connect it to one)",
            id="no network, another port published",
        ),
        pytest.param(
            replace(NOWHERE, published={8080: "0.0.0.0:81"}),
            IN_EDGE,
            "",
            "it runs without an address in any network; ",
            id="published where the proxy is not",
        ),
        pytest.param(
            replace(NOWHERE, network_mode="container:" + "2" * 64),
            ON_HOST,
            "",
            "it shares the network of the container 222222222222, which has no address (start that one)",
            id="joined nothing",
        ),
        pytest.param(
            HOST,
            IN_EDGE,
            "",
            "it is on the host's network, to which the proxy knows no address (run the proxy with"
            " network_mode host, or connect",
            id="host",
        ),
        pytest.param(
            WEB,
            PUBLISHED,
            "",
            "its port 8080 is not published on the host; its networks: bridge (172.17.0.2) (publish it: -p"
            ' 127.0.0.1::8080, or set [docker] address = "container")',
            id="not published",
        ),
        pytest.param(
            published("0.0.0.0:81"),
            replace(ELSEWHERE, published=True),
            "",
            "its port 8080 is published at 0.0.0.0:81 of the host, to which the proxy knows no address (",
            id="published somewhere",
        ),
        pytest.param(
            published("127.0.0.1:81"),
            Reach(host="192.0.2.7", published=True),
            "",
            "its port 8080 is published at 127.0.0.1:81 of the host, to which the proxy does not get"
            " (publish it at -p 192.0.2.7::8080, or run",
            id="published only there",
        ),
        pytest.param(
            WEB,
            Reach(("six",), "fd00::1", published=True),
            "",
            "its port 8080 is not published on the host; its networks: bridge (172.17.0.2) (publish it: -p"
            " [fd00::1]::8080, or",
            id="not published, and the host is at a gateway",
        ),
        pytest.param(
            replace(WEB, networks={"bridge": "unknown"}), ON_HOST, "", "'unknown:8080' is no", id="nonsense"
        ),
    ],
)
def test_what_cannot_be_reached_is_said(container: Container, reach: Reach, network: str, why: str) -> None:
    """With what there is instead, and a mend."""
    with pytest.raises(BadValueError) as caught:
        where(container, reach, network)
    assert str(caught.value).startswith(why)
