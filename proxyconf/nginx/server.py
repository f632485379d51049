"""The server blocks of a host: on http, on https, or on both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proxyconf.nginx import challenge, quoting, tls
from proxyconf.nginx.client import client_lines
from proxyconf.nginx.location import Beside
from proxyconf.nginx.passing import proxy_lines
from proxyconf.nginx.quoting import word
from proxyconf.nginx.writing import Lines, block, directive, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxyconf.nginx.dialect import Dialect
    from proxyconf.nginx.pages import Pages
    from proxyconf.nginx.tls import Standing
    from proxyconf.options import HostOptions

_ALONE = ("redirect", "only")  # https has a server of its own


class Begin(NamedTuple):
    """What every host's server blocks begin with.

    Attributes:
        http: On http.
        unknown: On http, with the requests for unknown hosts, too.
        https: On https.
        common: On both.
        challenge: The location of ACME's challenges, on http.
    """

    http: Lines
    unknown: Lines
    https: Lines
    common: Lines
    challenge: tuple[Lines, ...]


def begin_lines(dialect: Dialect) -> Begin:
    """Return what every host's server blocks begin with.

    Raises:
        BadValueError: A setting can't be written.
    """
    listens = [directive("listen", quoting.listen(address)) for address in dialect.addresses]
    https = tuple(tls.https_listens(dialect))
    return Begin(
        joined(listens),
        joined(_listens_for_unknown(dialect)),
        # in each server: in the http block they would clash with what operators' files say there
        joined((*https, tls.tls_lines(dialect)) if https else ()),
        joined((*client_lines(dialect), *(() if dialect.own else (proxy_lines(dialect),)))),
        challenge.challenge_location(dialect),
    )


def _listens_for_unknown(dialect: Dialect) -> Iterator[Lines]:
    for address in dialect.addresses:
        default = () if address in dialect.default_servers else (word("default_server"),)
        yield directive("listen", quoting.listen(address), *default)


def beside_of(
    found: Standing, asked: HostOptions, dialect: Dialect, *, last: tuple[Lines, ...], pages: Pages
) -> Beside:
    """Return what the locations of a host have to know of it; *last* stands last in each."""
    http2 = found.https != "off" and tls.speaks_http2(asked, dialect)
    return Beside(_headers(found, asked, dialect), http2, last, pages)


def _headers(found: Standing, asked: HostOptions, dialect: Dialect) -> tuple[Lines, ...]:
    return tls.hsts_lines(asked, dialect) if found.https in _ALONE else ()


@dataclass(frozen=True, slots=True)
class Server:
    """A host.

    Attributes:
        host: Its name.
        found: Where it is, and with what.
        asked: Its options.
        begin: What its blocks begin with.
        dialect: For which nginx.
        answers_unknown: It has the requests for unknown hosts, too, where its routes are on http.
        more: What else is in a block that has its routes.
    """

    host: str
    found: Standing
    asked: HostOptions
    begin: Begin
    dialect: Dialect
    answers_unknown: bool = False
    more: Sequence[Lines] = ()

    def blocks(self, routes: Mapping[str, Sequence[Lines]]) -> tuple[Lines, ...]:
        """Write its server blocks.

        Args:
            routes: Each path with its locations.

        Raises:
            BadValueError: The host or an option is none.
        """
        locations = [*(line for lines in routes.values() for line in lines), *self.more]
        on_http = self.begin.unknown if self.answers_unknown else self.begin.http
        # a route of that very path is as good as the operators'
        challenges = () if challenge.PATH in routes else self.begin.challenge
        if self.found.https == "off":
            return (self._block((on_http,), (*challenges, *locations)),)
        secure = tuple(tls.certificate_lines(self.found, self.asked, self.dialect))
        if self.found.https == "both":
            listens = (on_http, self.begin.https)
            return (self._block(listens, (*secure, *challenges, *locations)),)
        headers = _headers(self.found, self.asked, self.dialect)
        https = self._block((self.begin.https,), (*secure, *headers, *locations))
        http = self._beside_https(routes.get(challenge.PATH) or challenges)
        return (*http, https)

    def _beside_https(self, challenges: Sequence[Lines]) -> Iterator[Lines]:
        """Write what is on http of a host on https: challenges, which come before there is a certificate."""
        if self.found.https == "redirect":
            rest = tls.redirect_to_https(self.asked, self.dialect)
        elif challenges:
            rest = block("location /", body=(directive("return 404"),))
        else:
            return
        yield self._block((self.begin.http,), (*challenges, rest))

    def _block(self, listens: Sequence[Lines], body: Sequence[Lines]) -> Lines:
        name = directive("server_name", quoting.host_name(self.host))
        return block("server", body=(*listens, self.begin.common, name, *self._tokens(), *body))

    def _tokens(self) -> Iterator[Lines]:
        if self.asked.server_tokens is not None:
            yield directive("server_tokens", quoting.switch(on=self.asked.server_tokens))
