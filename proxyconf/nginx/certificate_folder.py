"""The folder of certificates: read again whenever a file in it is another one, each pair checked."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from proxyconf.errors import BadValueError
from proxyconf.files import read_regular
from proxyconf.model import Problem
from proxyconf.nginx.certificates import Certificate, CertificateSet
from proxyconf.nginx.part import Part, make_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


_WARN_S = 14 * 86_400.0
_WARN_SHARE = 4  # of those that live for days only: at a quarter of their life
_SIZE_MAX = 1 << 20
_PARTIAL = (".issuer", ".chain")  # which nobody needs beside the whole
_KEYS = ("privkey.pem", "key.pem")

_Stamp = tuple[int, int, int, int]


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
        found: What it had when it was read last. What can't be used any more stays as it was, and so does all
            of a folder that can't be read.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.found = CertificateSet()
        self._path = path
        self._clock = clock
        self._stamps: dict[Path, _Stamp] | None = {}
        self._read_before: dict[_Pair, tuple[object, Certificate | str]] = {}
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
        if stamps is None:
            certificates = list(self.found.by_name.values())
            authorities = self.found.authorities
            kept = "; what was there before still counts" if certificates else "; all hosts are without one"
            why = f"can't be listed{kept} (is it there, and may we read it?)"
            problems.append(Problem("folder", str(self._path), why))
        else:
            pairs = self._pairs(stamps, problems)
            certificates = [one for pair in pairs if (one := self._certificate(pair, stamps, problems))]
            authorities = dict(self._authorities(stamps, problems))
            self._read_before = {pair: self._read_before[pair] for pair in pairs}
        certificates = [replace(one, is_good=one.not_before <= now < one.not_after) for one in certificates]
        self._stamps = stamps
        turns = [turn for one in certificates for turn in _turns(one) if turn > now]
        self._until = min(turns, default=now + _WARN_S)
        problems += [problem for one in certificates if (problem := _aged(one, now))]
        self.found = CertificateSet(certificates, authorities, tuple(problems))

    def restore(self, parts: Iterable[Part]) -> None:
        """Take parts of an earlier run for what was there before, and look anew."""
        certificates, authorities = [], {}
        for part in parts:
            if part.kind == "certificate":
                with suppress(BadValueError):
                    certificates.append(_made(part.name, str(self._path / part.name), part.text, part.text))
            elif part.kind == "authority":
                authorities[part.name] = part
        self.found = CertificateSet(certificates, authorities)
        self._until = 0.0

    def _look(self) -> dict[Path, _Stamp] | None:
        """Return what tells whether a file is another one, or may be read now; of links, what they lead to.

        None: the folder can't be listed.
        """
        found: dict[Path, _Stamp] = {}
        try:
            entries = sorted(self._path.iterdir())
        except OSError:
            return None
        for entry in entries:
            files = [entry]
            with suppress(OSError):
                if entry.is_dir():
                    files = [entry / name for name in ("fullchain.pem", *_KEYS)]
            for file in files:
                with suppress(OSError):
                    status = file.stat()
                    found[file] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        return found

    def _pairs(self, stamps: Iterable[Path], problems: list[Problem]) -> list[_Pair]:
        """Return each name once; files beside each other come before those in a folder of that name.

        A pair of which a file is missing is one, too, unless it is whole elsewhere: it may be in the making.
        """
        there = set(stamps)
        found: dict[str, _Pair] = {}
        for file in there:
            if file.name == "fullchain.pem" and file.parent != self._path:
                folder = file.parent
                key = next((folder / name for name in _KEYS if folder / name in there), folder / _KEYS[0])
                found[folder.name] = _Pair(folder.name, file, key)
        for file in sorted(there):
            name, is_key = file.stem, file.suffix == ".key"
            if file.parent != self._path or not (is_key or _is_certificate(file)):
                continue
            pair = _Pair(name, file.with_suffix(".crt"), file.with_suffix(".key"))
            if {pair.certificate, pair.key} <= there or (name not in found and not name.endswith(_PARTIAL)):
                found[name] = pair
        odd = sorted(name for name in found if not name.isprintable())
        why = "has a name that can't be shown (rename it)"
        problems += [Problem("certificate", ascii(str(found.pop(name).certificate)), why) for name in odd]
        return [found[name] for name in sorted(found)]

    def _certificate(
        self, pair: _Pair, stamps: Mapping[Path, _Stamp], problems: list[Problem]
    ) -> Certificate | None:
        """Return the pair, or what it was before where it can't be used."""
        stamp = stamps.get(pair.certificate), stamps.get(pair.key)
        known = self._read_before.get(pair)
        if known is None or known[0] != stamp:  # else it is as it was: to read a thousand takes seconds
            known = self._read_before[pair] = (stamp, _read_pair(pair))
        if isinstance(known[1], Certificate):
            return known[1]
        found = self.found.by_name.get(pair.name)
        kept = "; the one before is still used" if found else ""
        problems.append(_problem(pair.certificate, f"{known[1]}{kept}"))
        return replace(found, where=str(pair.certificate)) if found else None

    def _authorities(
        self, stamps: Iterable[Path], problems: list[Problem]
    ) -> Iterator[tuple[str, Part | None]]:
        for file in stamps:
            if file.parent == self._path and _is_of_authorities(file):
                name = file.stem.removesuffix("ca").removesuffix(".")
                try:
                    yield name, make_part("authority", name, _pem_of(_load_chain(_content(file))))
                except BadValueError as exc:
                    before = self.found.authorities.get(name)
                    kept = "; what it was before still counts" if before else "; nobody's certificate counts"
                    problems.append(_problem(file, f"{exc}{kept}"))
                    yield name, before


def _is_certificate(file: Path) -> bool:
    return file.suffix == ".crt" and not _is_of_authorities(file)


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


def _read_pair(pair: _Pair) -> Certificate | str:
    """Return the certificate of *pair*, or why it can't be used."""
    try:
        return _made(pair.name, str(pair.certificate), _content(pair.certificate), _content(pair.key))
    except BadValueError as exc:
        return str(exc)


def _made(name: str, where: str, certificate: bytes, key: bytes) -> Certificate:
    """Return the certificate that two texts are.

    Raises:
        BadValueError: It can't be used, or the two are not one pair.
    """
    chain, private = _load_chain(certificate), _load_key(key)
    leaf = chain[0]
    try:
        of_one_pair = _public(leaf.public_key()) == _public(private.public_key())
        names, own = _names(leaf), leaf.issuer == leaf.subject
    except Exception as exc:  # its library raises this and that for what is odd
        raise BadValueError(f"can't be understood ({exc})") from exc
    if not of_one_pair:
        raise BadValueError(
            "is not of the key beside it (the first certificate has to be the host's own; is one of the two"
            " files still the old one?)"
        )
    if not names:
        raise BadValueError("names no host (ask for one with a DNS name in it)")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + _pem_of(chain)
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    part = make_part("certificate", name, pem)
    return Certificate(name, where, names, begin, end, part, is_self_signed=own)


def _load_chain(text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except Exception as exc:  # as above
        why = "is no certificate in PEM (it should begin with -----BEGIN CERTIFICATE-----)"
        raise BadValueError(why) from exc


def _load_key(text: bytes) -> PrivateKeyTypes:
    try:
        # it is compared with the certificate, which is as good, and takes no 50 ms
        return load_pem_private_key(text, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError as exc:
        raise BadValueError("has a key with a passphrase (take it off: openssl pkey)") from exc
    except Exception as exc:
        raise BadValueError("has no key that can be read (a private key in PEM)") from exc


def _content(file: Path) -> bytes:
    try:
        return read_regular(file, _SIZE_MAX)
    except OSError as exc:
        raise BadValueError(f"can't be read: {file}: {exc.strerror} (is it there, and may we?)") from exc


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
    return tuple(sorted({name.lower() for name in found}))
