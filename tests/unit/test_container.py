"""What an engine says of nginx's container, and where its listener is reached from where we are."""

from __future__ import annotations

import pytest

from proxyconf.nginx.container import Inspected, Standpoint, place_of, read_inspected
from proxyconf.units import ListenAddress

WEB = Inspected("w" * 64, "web", networks={"bridge": "172.17.0.2", "edge": "10.1.0.2", "back": "10.2.0.2"})
HOST = Inspected("w" * 64, "web", mode="host")
PUBLISHED = Inspected("w" * 64, "web", published={80: ("0.0.0.0", 8080), 81: ("192.0.2.7", 81)})
SIX = Inspected("w" * 64, "web", networks={"edge": "fd00::2"})
ON_HOST = Standpoint(None, "127.0.0.1")
DESKTOP = Standpoint(None, "127.0.0.1", secluded=True)
REMOTE = Standpoint(None, "192.0.2.1", secluded=True)
NOWHERE = Standpoint(None, "", secluded=True)


def inside(*networks: str, mode: str = "bridge", own_id: str = "u" * 64) -> Standpoint:
    return Standpoint(Inspected(own_id, "us", mode=mode, networks=dict.fromkeys(networks, "10.9.9.9")))


@pytest.mark.parametrize(
    ("nginx", "listen", "seen_from", "place"),
    [
        pytest.param(WEB, ":80", inside("edge"), "10.1.0.2:80", id="one network of both"),
        pytest.param(WEB, ":80", inside("edge", "back", "bridge"), "10.2.0.2:80", id="several"),
        pytest.param(WEB, ":80", inside("bridge"), "172.17.0.2:80", id="Docker's default network"),
        pytest.param(SIX, "0.0.0.0:80", inside("edge"), "[fd00::2]:80", id="IPv6"),
        pytest.param(WEB, ":80", inside("other"), None, id="none"),
        pytest.param(WEB, "10.1.0.2:80", inside("edge"), "10.1.0.2:80", id="an address of its own"),
        pytest.param(WEB, "127.0.0.1:80", inside("edge"), None, id="its loopback"),
        pytest.param(
            WEB, ":80", inside(mode="container:w", own_id=WEB.id), ":80", id="we are in its network"
        ),
        pytest.param(
            Inspected("w", mode="container:" + "u" * 64),
            "127.0.0.1:80",
            inside(),
            "127.0.0.1:80",
            id="it in ours",
        ),
        pytest.param(Inspected("w", mode="container:us"), ":80", inside(), ":80", id="it in ours, by name"),
        pytest.param(
            Inspected("w", mode="container:x"),
            ":80",
            inside(mode="container:x"),
            ":80",
            id="both in another's",
        ),
        pytest.param(HOST, ":80", inside(mode="host"), ":80", id="both in the host's"),
        pytest.param(HOST, ":80", inside("edge"), None, id="it in the host's"),
        pytest.param(HOST, ":80", ON_HOST, ":80", id="its network is the host's, as ours"),
        pytest.param(HOST, ":80", REMOTE, "192.0.2.1:80", id="its network is another host's"),
        pytest.param(HOST, ":80", NOWHERE, None, id="its network is that of nobody knows whom"),
        pytest.param(WEB, ":80", ON_HOST, "10.2.0.2:80", id="from the host"),
        pytest.param(PUBLISHED, ":80", ON_HOST, "127.0.0.1:8080", id="without an address, published"),
        pytest.param(PUBLISHED, ":80", DESKTOP, "127.0.0.1:8080", id="of Docker Desktop"),
        pytest.param(PUBLISHED, ":80", REMOTE, "192.0.2.1:8080", id="of another host"),
        pytest.param(PUBLISHED, ":81", REMOTE, "192.0.2.7:81", id="of one of its addresses"),
        pytest.param(PUBLISHED, ":80", NOWHERE, None, id="of an unknown host"),
        pytest.param(PUBLISHED, ":82", DESKTOP, None, id="not published"),
        pytest.param(WEB, ":80", DESKTOP, None, id="its address is out of reach"),
    ],
)
def test_where_its_listener_is(
    nginx: Inspected, listen: str, seen_from: Standpoint, place: str | None
) -> None:
    assert place_of(nginx, ListenAddress.parse(listen), seen_from) == place


def test_what_is_read() -> None:
    found = read_inspected(
        {
            "Id": "abc",
            "Name": "/shop-web-1",
            "State": {"Running": True, "StartedAt": "2026-01-02T03:04:05Z"},
            "Config": {"User": "101:101", "Labels": {"a": "b"}},
            "HostConfig": {"NetworkMode": "shop_apps"},
            "NetworkSettings": {
                "Networks": {
                    "apps": {"IPAddress": "10.0.0.2"},
                    "six": {"GlobalIPv6Address": "fd00::2"},
                    "no": {},
                },
                "Ports": {
                    "80/tcp": [{"HostIp": "::", "HostPort": "81"}, {"HostIp": "0.0.0.0", "HostPort": "80"}],
                    "53/udp": [{"HostIp": "", "HostPort": "53"}],
                    "443/tcp": None,
                },
            },
        }
    )
    assert found == Inspected(
        "abc",
        "shop-web-1",
        "2026-01-02T03:04:05Z",
        running=True,
        root=False,
        mode="shop_apps",
        networks={"apps": "10.0.0.2", "six": "fd00::2"},
        published={80: ("0.0.0.0", 80)},
        labels={"a": "b"},
    )
    assert found.life == ("abc", "2026-01-02T03:04:05Z")


@pytest.mark.parametrize("user", ["", "0", "root", "0:0", "root:www"])
def test_whose_master_is_root(user: str) -> None:
    assert read_inspected({"Id": "abc", "Config": {"User": user}}).root


@pytest.mark.parametrize("state", [{}, {"Running": False}, {"Running": True, "Restarting": True}])
def test_what_does_not_run(state: dict[str, bool]) -> None:
    assert not read_inspected({"Id": "abc", "State": state}).running


def test_the_default_network_has_a_name() -> None:
    assert read_inspected({"Id": "abc", "HostConfig": {"NetworkMode": "default"}}).mode == "bridge"
