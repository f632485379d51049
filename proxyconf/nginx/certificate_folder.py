"""The folder of certificates: read again whenever a file in it is another one, each pair checked."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from proxyconf.errors import BadValueError
from proxyconf.model import Problem
from proxyconf.nginx.certificates import Certificate, CertificateSet
from proxyconf.nginx.part import Part, file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from proxyconf.nginx.part import PartKind

_WARN_S = 14 * 86_400.0
_WARN_SHARE = 4  # of those that live for days only: at a quarter of their life
_SIZE_MAX = 1 << 20
_PARTIAL = (".issuer", ".chain")  # which nobody needs beside the whole
_NAME = b"\n# proxyconf has this from the certificate "
_KEYS = ("privkey.pem", "key.pem")

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Where a certificate and its key are."""

    name: str
    certificate: Path
    key: Path


class CertificateFolder:
    """Reads the folder; every method blocks.

    Args:
        path: The folder. It need not be there yet.
        clock: Unix time.

    Attributes:
        found: What it had when it was read last. A pair that can't be used any more stays as it was.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.found = CertificateSet()
        self._path = path
        self._clock = clock
        self._earlier: dict[str, Certificate] = {}
        self._stamps: dict[Path, _Stamp] = {}
        self._until = 0.0

    def is_current(self) -> bool:
        """Tell whether it is as it was, and nothing has come near its end meanwhile."""
        return self._clock() < self._until and self._look() == self._stamps

    def refresh(self) -> None:
        """Read it, unless it is as it was."""
        now, stamps = self._clock(), self._look()
        if now < self._until and stamps == self._stamps:
            return
        problems: list[Problem] = []
        pairs = tuple(self._pairs(stamps, problems))
        certificates = [one for pair in pairs if (one := self._read(pair, now, problems))]
        self._stamps = stamps
        self._until = min(
            [turn for one in certificates for turn in _turns(one) if turn > now] or [now + _WARN_S]
        )
        problems += [problem for one in certificates if (problem := _aged(one, now))]
        authorities = dict(self._authorities(stamps, problems))
        self.found = CertificateSet(certificates, authorities, tuple(problems))

    def restore(self, texts: Iterable[bytes]) -> None:
        """Take parts of an earlier run for what certificates were before, and look anew."""
        for text in texts:
            name = text.rpartition(_NAME)[2].rstrip(b"\n").decode(errors="surrogateescape")
            with suppress(BadValueError, ValueError, TypeError, UnsupportedAlgorithm):
                chain = x509.load_pem_x509_certificates(text)
                self._earlier[name] = _certificate(name, "", chain, load_pem_private_key(text, password=None))
        self._until = 0.0

    def _look(self) -> dict[Path, _Stamp]:
        """Return what tells whether a file is another one; of symbolic links, those they lead to."""
        found: dict[Path, _Stamp] = {}
        with suppress(OSError):
            for entry in sorted(self._path.iterdir()):
                files = [entry]
                if entry.is_dir():
                    files = [entry / name for name in ("fullchain.pem", *_KEYS)]
                for file in files:
                    with suppress(OSError):
                        status = file.stat()
                        found[file] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found

    def _pairs(self, stamps: dict[Path, _Stamp], problems: list[Problem]) -> Iterator[_Pair]:
        """Yield each name once; files beside each other come before those in a folder of that name."""
        if not self._path.is_dir():
            problems.append(Problem("folder", str(self._path), "is no folder (make it, or set certificates)"))
        names = set()
        for file in stamps:
            if file.parent != self._path or file.suffix != ".crt" or _is_of_authorities(file):
                continue
            names.add(file.stem)
            key = file.with_suffix(".key")
            if key in stamps:
                yield _Pair(file.stem, file, key)
            elif file.stem.rpartition(".")[2] not in (
                "issuer",
                "chain",
            ):  # which nobody needs beside the whole
                problems.append(_problem(file, f"has no key (put it into {key.name}, beside it)"))
        for file in stamps:
            folder = file.parent
            if folder != self._path and file.name == "fullchain.pem" and folder.name not in names:
                key = next((folder / name for name in _KEYS if folder / name in stamps), folder / _KEYS[0])
                yield _Pair(folder.name, file, key)

    def _read(self, pair: _Pair, now: float, problems: list[Problem]) -> Certificate | None:
        """Return the pair, or what it was before where it can't be used."""
        found: Certificate | None
        try:
            found = _read_pair(pair)
        except BadValueError as exc:
            found = self.found.by_name.get(pair.name) or self._earlier.get(pair.name)
            kept = "; the one before is still used" if found else ""
            problems.append(_problem(pair.certificate, f"{exc}{kept}"))
        if found is None:
            return None
        is_good = found.not_before <= now < found.not_after
        return replace(found, where=str(pair.certificate), is_good=is_good)

    def _authorities(self, stamps: dict[Path, _Stamp], problems: list[Problem]) -> Iterator[tuple[str, Part]]:
        for file in stamps:
            if file.parent == self._path and _is_of_authorities(file):
                name = file.stem.removesuffix("ca").removesuffix(".")
                try:
                    yield name, _part("authority", name, _pem_of(_load_chain(file)))
                except BadValueError as exc:
                    problems.append(_problem(file, str(exc)))


def _is_of_authorities(file: Path) -> bool:
    return file.name == "ca.crt" or file.name.endswith(".ca.crt")


def _problem(file: Path, why: str) -> Problem:
    return Problem("certificate", str(file), why)


def _turns(certificate: Certificate) -> tuple[float, float, float]:
    """Return when there is something else to say of it."""
    life_s = certificate.not_after - certificate.not_before
    soon = certificate.not_after - min(_WARN_S, life_s / _WARN_SHARE)
    return certificate.not_before, soon, certificate.not_after


def _aged(certificate: Certificate, now: float) -> Problem | None:
    begin, soon, end = _turns(certificate)
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
    if now >= end:
        why = f"has expired on {day} (renew it)"
    elif now >= soon:
        why = f"expires on {day} (renew it; what should have done so?)"
    elif now < begin:
        why = "is not valid yet (is the clock of this machine right?)"
    else:
        return None
    return _problem(Path(certificate.where), why)


def _read_pair(pair: _Pair) -> Certificate:
    """Return the certificate of *pair*.

    Raises:
        BadValueError: It can't be used, or the two are not one pair.
    """
    chain = _load_chain(pair.certificate)
    key = _load_key(pair.key)
    leaf = chain[0]
    if _public(leaf.public_key()) != _public(key.public_key()):
        raise BadValueError(
            f"is not of the key in {pair.key} (the first certificate has to be the host's own; is one of the"
            " two files still the old one?)"
        )
    return _certificate(pair.name, str(pair.certificate), chain, key)


def _certificate(name: str, where: str, chain: list[x509.Certificate], key: PrivateKeyTypes) -> Certificate:
    leaf = chain[0]
    names = _names(leaf)
    if not names:
        raise BadValueError("names no host (ask for one with a DNS name in it)")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + _pem_of(chain)
    # what is no PEM is passed over; a later run knows by it whose the part was
    text = pem + _NAME + name.encode(errors="surrogateescape") + b"\n"
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return Certificate(name, where, names, begin, end, _part("certificate", name, text))


def _part(kind: PartKind, name: str, text: bytes) -> Part:
    return Part(kind, name, file_name(kind, text), text)


def _load_chain(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_content(file))
    except ValueError as exc:
        raise BadValueError("is no certificate in PEM (it begins with -----BEGIN CERTIFICATE-----)") from exc


def _load_key(file: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_content(file), password=None)
    except TypeError as exc:
        raise BadValueError(f"has a key with a passphrase, {file} (take it off: openssl pkey)") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BadValueError(f"has no key that can be read in {file} (a private key in PEM)") from exc


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_SIZE_MAX + 1)
    except OSError as exc:
        raise BadValueError(f"can't be read: {file}: {exc.strerror} (may we?)") from exc
    if len(content) > _SIZE_MAX:
        raise BadValueError(f"is too large: {file} has more than {_SIZE_MAX} bytes")
    return content


def _public(key: object) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]


def _pem_of(chain: list[x509.Certificate]) -> bytes:
    return b"".join([one.public_bytes(Encoding.PEM) for one in chain])


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names; of a certificate without such names its common name, as OpenSSL takes it."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found = [str(one.value) for one in common]
    except (ValueError, x509.DuplicateExtension) as exc:
        raise BadValueError(f"has extensions that can't be read ({exc})") from exc
    return tuple(sorted({name.lower() for name in found}))
