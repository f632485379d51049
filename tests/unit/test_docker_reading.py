"""Docker's answers, whole and with holes, to our values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from proxyconf.model import Container
from proxyconf.sources._docker_reading import (
    Details,
    Event,
    Stop,
    is_secluded,
    read_container,
    read_details,
    read_event,
    signal_number,
)
from tests.unit.docker_api import container_id, row


def test_a_container_with_nothing_but_an_id() -> None:
    """Podman leaves much out."""
    expected = Container("0123456789abcdef", "0123456789ab", {}, "")
    assert read_container({"Id": "0123456789abcdef"}) == expected
    nothing = dict.fromkeys(row("web"))
    assert read_container({**nothing, "Id": "0123456789abcdef"}) == expected


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 seconds", ""),
        ("Up 2 seconds (healthy)", "healthy"),
        ("Up 2 seconds (unhealthy)", "unhealthy"),
        ("Up Less than a second (health: starting)", "starting"),
        ("Up 3 minutes (Paused)", ""),
        ("Exited (0) 3 seconds ago", ""),
    ],
)
def test_health_is_in_the_status(status: str, health: str) -> None:
    assert read_container(row("web", Status=status)).health == health


def test_ports_are_tcp_sorted_and_unique() -> None:
    """A published port is listed once for IPv4 and once for IPv6."""
    ports = [
        {"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 80, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 8080, "PublicPort": 80, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    assert read_container(row("web", Ports=ports)).ports == (443, 8080)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        pytest.param({"a": {"IPAddress": "198.18.0.2"}}, {"a": "198.18.0.2"}, id="IPv4"),
        pytest.param({"a": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}, {"a": "fd00::2"}, id="IPv6"),
        pytest.param({"none": {"IPAddress": ""}}, {}, id="none"),
        pytest.param({"a": None}, {}, id="null"),
        pytest.param(None, {}, id="missing"),
    ],
)
def test_networks_without_an_address_are_left_out(networks: object, expected: dict[str, str]) -> None:
    assert read_container(row("web", NetworkSettings={"Networks": networks})).networks == expected


def test_the_gateway_is_of_the_addresss_family() -> None:
    """Docker says "" where there is none."""
    both = {"IPAddress": "198.18.0.2", "Gateway": "198.18.0.1", "IPv6Gateway": "fd00::1"}
    six = {"GlobalIPv6Address": "fd00::2", "Gateway": "", "IPv6Gateway": "fd00::1"}
    none = {"IPAddress": "198.18.1.2", "Gateway": ""}
    found = read_container(row("web", NetworkSettings={"Networks": {"a": both, "b": six, "c": none}}))
    assert found.attached == {"a": "198.18.0.1", "b": "fd00::1", "c": ""}


def test_the_networks_of_one_that_does_not_run() -> None:
    """It has no address in them; "none" is no network."""
    networks = {"edge": {"IPAddress": "", "Gateway": ""}, "none": {"IPAddress": ""}}
    found = read_container(row("web", State="exited", NetworkSettings={"Networks": networks}))
    assert (found.networks, found.attached) == ({}, {"edge": ""})


def test_the_hosts_network_has_no_address_of_its_own() -> None:
    assert read_container(row("web", HostConfig={"NetworkMode": "host"})).networks == {"host": ""}


def test_a_links_alias_is_not_the_name() -> None:
    assert read_container(row("db", Names=["/web/database", "/db"])).name == "db"


@pytest.mark.parametrize(
    ("message", "event"),
    [
        pytest.param(
            {
                "Type": "container",
                "Action": "kill",
                "Actor": {"ID": "c", "Attributes": {"signal": "15"}},
                "timeNano": 7,
            },
            Event("kill", "c", 7, 15),
            id="kill",
        ),
        pytest.param(
            {"Type": "container", "Action": "health_status: healthy", "Actor": {"ID": "c"}},
            Event("health_status", "c"),
            id="health",
        ),
        pytest.param(
            {"Type": "network", "Action": "connect", "Actor": {"ID": "n", "Attributes": {"container": "c"}}},
            Event("connect", "c"),
            id="network",
        ),
        pytest.param({"status": "died", "id": "c"}, Event("die", "c"), id="podman's die"),
        pytest.param(
            {"Action": "remove", "Actor": {"ID": "c"}}, Event("destroy", "c"), id="podman's destroy"
        ),
        pytest.param({}, Event(""), id="nothing"),
    ],
)
def test_events(message: dict[str, Any], event: Event) -> None:
    assert read_event(message) == event


@pytest.mark.parametrize(
    ("config", "stop"),
    [
        ({}, Stop(15, 10)),
        ({"StopSignal": "", "StopTimeout": None}, Stop(15, 10)),
        ({"StopSignal": "SIGQUIT", "StopTimeout": 30}, Stop(3, 30)),
        ({"StopSignal": "nonsense", "StopTimeout": 0}, Stop(15, 0)),
        ({"StopTimeout": -1}, Stop(15, math.inf)),
    ],
)
def test_how_a_container_is_stopped(config: dict[str, Any], stop: Stop) -> None:
    assert read_details({"Config": config}) == Details(stop)


def test_only_variables_that_route_are_read() -> None:
    """All others may be secrets."""
    variables = ["DB_PASSWORD=x", "VIRTUAL_HOST=a.test,b.test", "VIRTUAL_PORT", "HSTS=max-age=3", "XHSTS=1"]
    expected = {"VIRTUAL_HOST": "a.test,b.test", "VIRTUAL_PORT": "", "HSTS": "max-age=3"}
    assert read_details({"Config": {"Env": variables}}).env == expected
    assert read_details({}) == Details()


@pytest.mark.parametrize(
    ("mode", "ports"),
    [("default", (80, 443)), ("hosting", (80, 443)), ("host", ()), ("container:abc", ())],
)
def test_the_ports_that_an_inspect_tells_are_those_of_a_list(mode: str, ports: tuple[int, ...]) -> None:
    exposed: dict[str, Any] = {"443/tcp": {}, "80/tcp": {}, "53/udp": {}, "odd": {}}
    answer = {"Config": {"ExposedPorts": exposed}, "HostConfig": {"NetworkMode": mode}}
    assert read_details(answer).ports == ports


@pytest.mark.parametrize(
    ("ports", "published"),
    [
        pytest.param([{"PrivatePort": 80, "Type": "tcp"}], {}, id="not published"),
        pytest.param([{"IP": "0.0.0.0", "PrivatePort": 53, "PublicPort": 53, "Type": "udp"}], {}, id="UDP"),
        pytest.param(
            [
                {"IP": "::", "PrivatePort": 80, "PublicPort": 32768, "Type": "tcp"},
                {"IP": "192.0.2.1", "PrivatePort": 80, "PublicPort": 81, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 32769, "Type": "tcp"},
            ],
            {80: "0.0.0.0:32769"},
            id="several places",
        ),
        pytest.param(
            [{"IP": "::1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
            {80: "[::1]:8080"},
            id="IPv6",
        ),
        pytest.param([{"PrivatePort": 80, "PublicPort": 8080}], {80: "0.0.0.0:8080"}, id="podman"),
    ],
)
def test_published_ports(ports: object, published: dict[int, str]) -> None:
    assert read_container(row("web", Ports=ports)).published == published


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("default", "bridge"), ("edge", "edge"), ("container:abc", "container:abc"), (None, "")],
)
def test_network_modes(mode: str | None, expected: str) -> None:
    """Docker says "default" for its network "bridge"."""
    assert read_container(row("web", HostConfig={"NetworkMode": mode})).network_mode == expected


@pytest.mark.parametrize(
    ("info", "secluded"),
    [
        ({"OperatingSystem": "Docker Desktop"}, True),
        ({"OperatingSystem": "Debian", "SecurityOptions": ["name=seccomp", "name=rootless"]}, True),
        ({"OperatingSystem": "Debian", "SecurityOptions": ["name=seccomp,profile=default"]}, False),
        ({"SecurityOptions": None}, False),
    ],
)
def test_engines_whose_networks_are_out_of_reach(info: dict[str, Any], secluded: bool) -> None:  # noqa: FBT001
    assert is_secluded(info) is secluded


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15", 15),
        ("TERM", 15),
        ("sigterm", 15),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
        (9, 9),
        ("", 0),
        (None, 0),
        ("SIG", 0),
        ("RTMIN+x", 0),
        ("²", 0),
    ],
)
def test_signals(text: str | int | None, number: int) -> None:
    assert signal_number(text) == number


def test_ids_are_kept_whole() -> None:
    assert read_container(row("web")).id == container_id("web")
