"""Where ACME's challenges are answered: whoever gets certificates proves that way whose a host is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxyconf.nginx import quoting
from proxyconf.nginx.writing import Lines, block, directive

if TYPE_CHECKING:
    from proxyconf.nginx.dialect import Dialect

PATH = "/.well-known/acme-challenge"


def challenge_location(dialect: Dialect) -> tuple[Lines, ...]:
    """Return the location, if challenges are answered at all.

    Raises:
        BadValueError: The folder or the address can't be written.
    """
    place = dialect.settings.tls.challenge
    if not place:
        return ()
    if place.startswith("/"):
        body = [directive("root", quoting.file(place)), directive("default_type text/plain")]
    else:
        body = [directive("proxy_pass", quoting.http_target(place.removeprefix("http://")))]
    return (block("location ^~ /.well-known/acme-challenge/", body=body),)
