"""Certificates for tests, signed by themselves, as they would be in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0
NOW = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def put(self, folder: Path, name: str) -> None:
        """Write it as NAME.crt and NAME.key."""
        (folder / f"{name}.crt").write_bytes(self.certificate)
        (folder / f"{name}.key").write_bytes(self.key)


def make_pair(
    *names: str, begin: float = NOW - DAY_S, end: float = NOW + 90 * DAY_S, passphrase: bytes = b""
) -> Pair:
    """Return a certificate for *names*, of which the first is the common name; without, it has no others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names[:1]])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(begin, UTC))
        .not_valid_after(datetime.fromtimestamp(end, UTC))
    )
    if len(names) > 1:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names[1:]])
        builder = builder.add_extension(alternative, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
    )
