"""Certificates of those sources that are asked over HTTPS by aiohttp."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxyconf.errors import UsageError
from proxyconf.sources._failures import trim

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates as PEM files: the authority of the server's, and our own with its key."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.ca or self.cert or self.key)


def read_certificates(tls: Tls) -> ssl.SSLContext:
    """Read the files into a context; blocks.

    Raises:
        UsageError: Starts with the key that is wrong: ca, cert or key.
    """
    if bool(tls.cert) != bool(tls.key):
        missing, other = ("key", "cert") if tls.cert else ("cert", "key")
        raise UsageError(f"{missing}: not set, but {other} is (set both, or neither)")
    for name, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        try:
            if path:
                path.read_bytes()  # ssl does not say which file it could not read
        except OSError as exc:
            raise UsageError(
                f"{name}: read {path}: {exc.strerror} (is the path right, and readable for us?)"
            ) from exc
    name = "ca"
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        name = "cert"
        if tls.cert:
            # without a password function, OpenSSL would ask on the terminal for an encrypted key's
            context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except ssl.SSLError as exc:
        why = "not of the key in key" if exc.reason == "KEY_VALUES_MISMATCH" else "not in PEM format"
        path = tls.ca if name == "ca" else tls.cert
        raise UsageError(f"{name}: {path}: {exc.reason or exc} (is it {why}, or encrypted?)") from exc
    return context


def tls_reason(text: str, *, who: str, at: str) -> str:
    """Return why a handshake failed, and the mend.

    Args:
        text: What OpenSSL says.
        who: The server, as people call it.
        at: The setting that holds its address.
    """
    upper = text.upper()
    if "CERTIFICATE_VERIFY_FAILED" in upper:
        mend = f"set ca to the authority that signed {who}'s certificate"
        if "MISMATCH" in upper or "NOT VALID FOR" in upper:
            mend = f"use a name or address in {at} that {who}'s certificate has"
        elif "EXPIRED" in upper or "NOT YET VALID" in upper:
            mend = f"renew {who}'s certificate, or set the clock"
    elif any(word in upper for word in ("WRONG_VERSION", "HTTP_REQUEST", "RECORD_LAYER", "PACKET_LENGTH")):
        mend = f"{who} speaks plain HTTP there: write http:// in {at}, without ca, cert and key"
    else:
        mend = f"{who} refuses our certificate: set cert and key to ones that its authority signed"
    return f"TLS: {trim(re.sub(r' *[(]_ssl.*', '', text))} ({mend})"
