"""Durations, sizes, addresses and ways, as they are written in the configuration."""

from __future__ import annotations

import ipaddress
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6} | _UNITS
_GO_PART = rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(_GO_UNITS)})"


class Seconds(float):
    """A duration, written ``"250ms"``, ``"10s"``, ``"5m"``, ``"1h"`` or ``"1d"``."""

    @classmethod
    def parse(cls, text: object) -> Seconds:
        """Read *text*; raise ValueError when it is no duration."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text) if isinstance(text, str) else None
        if not found:
            raise ValueError(f'{text!r} is no duration (write "250ms", "10s", "5m" or "1h")')
        return cls(float(found[1]) * _UNITS[found[2]])


class Duration(Seconds):
    """A duration as Go programs write it, ``"1m30s"``, ``"1.5h"``, ``"500ms"``, or a number of seconds."""

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Read *text*; raise ValueError when it is no duration."""
        plain = str(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else ""
        if re.fullmatch(r"\d+(?:\.\d+)?", plain):
            return cls(plain)
        if not re.fullmatch(rf"(?:{_GO_PART})+", plain):
            raise ValueError(f'{text!r} is no duration (write "30s", "1m30s", "500ms", or seconds)')
        return cls(sum(float(number) * _GO_UNITS[unit] for number, unit in re.findall(_GO_PART, plain)))


class Size(int):
    """An amount of memory in bytes, written ``"512M"`` or ``"2G"``."""

    @classmethod
    def parse(cls, text: object) -> Size:
        """Read *text*; raise ValueError when it is no size."""
        found = re.fullmatch(r"(\d{1,9})([KMG])", text) if isinstance(text, str) else None
        if not found:
            raise ValueError(f'{text!r} is no size (write "512M" or "2G")')
        return cls(int(found[1]) << {"K": 10, "M": 20, "G": 30}[found[2]])


class ListenAddress(str):
    """Where nginx listens: ``":80"`` (every address, IPv4 and IPv6), ``"127.0.0.1:8080"``, ``"[::1]:80"``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> ListenAddress:
        """Read *text*; raise ValueError when it is no address and port."""
        found = (
            re.fullmatch(r"(|[\d.]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", text) if isinstance(text, str) else None
        )
        if not found or not 0 < int(found[2]) < 65536:
            raise ValueError(f'{text!r} is no address to listen on (write ":80" or "127.0.0.1:8080")')
        if found[1]:
            kind = ipaddress.IPv6Address if found[1][0] == "[" else ipaddress.IPv4Address
            try:
                kind(found[1].strip("[]"))
            except ValueError as exc:
                raise ValueError(f"{text!r} is no address to listen on ({exc})") from None
        return cls(found[0])

    @property
    def host(self) -> str:
        """The address without brackets, or "" for every address."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])


class Network(str):
    """An address or network in CIDR notation, canonical."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Network:
        """Read *text*; raise ValueError when it is no network."""
        try:
            return cls(ipaddress.ip_network(str(text)))
        except ValueError as exc:
            raise ValueError(f'{exc} (write "10.0.0.0/8" or "192.0.2.7")') from None


class Via(str):
    """How nginx is reached.

    ``"local"``, a process on this host; ``"docker:NAME"``, in that container; ``"pid"``, in a container whose
    processes we see.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Via:
        """Read *text*; raise ValueError when it is no way."""
        if not isinstance(text, str) or not re.fullmatch(
            r"local|pid|docker:[A-Za-z0-9][A-Za-z0-9_.-]*", text
        ):
            raise ValueError(f'{text!r} is no way to an nginx (write "local", "docker:CONTAINER" or "pid")')
        return cls(text)

    @property
    def is_local(self) -> bool:
        """Whether it is a process on this host, with the files that we have."""
        return self == "local"

    @property
    def container(self) -> str:
        """The container's name, or the Compose service that it is of; "" where the engine is not asked."""
        return self.partition(":")[2]
