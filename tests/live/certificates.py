"""Certificates for servers and clients in tests, made by the program openssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files, and how a server is to use them.

    Attributes:
        folder: Has NAME.pem and NAME-key.pem for the authorities ca and other-ca, and for server, elsewhere
            and client of ca, and foreign of other-ca.
        server: Which certificate the server shows: ``server``, for 127.0.0.1 and localhost, or ``elsewhere``.
        mutual: Clients must show one of ca, too.
    """

    folder: Path
    server: str = "server"
    mutual: bool = False

    def path(self, name: str) -> Path:
        """Return the file *name*.pem."""
        return self.folder / f"{name}.pem"

    def context(self) -> ssl.SSLContext:
        """Return what a client needs that may do everything."""
        context = ssl.create_default_context(cafile=self.path("ca"))
        context.check_hostname = False
        context.load_cert_chain(self.path("client"), self.path("client-key"))
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make them all, valid for two days.

    Raises:
        OSError: There is no openssl.
        subprocess.CalledProcessError: It failed.
    """
    for name in ("ca", "other-ca"):
        usage = ["-addext", "keyUsage=keyCertSign"]
        files = ["-keyout", f"{name}-key.pem", "-out", f"{name}.pem"]
        _openssl(folder, "req", "-x509", *_NEW_KEY, *files, "-subj", f"/CN={name}", *usage)
    for name, authority, subject in (
        ("server", "ca", "IP:127.0.0.1,DNS:localhost"),
        ("elsewhere", "ca", "DNS:elsewhere.example"),
        ("client", "ca", "DNS:client"),
        ("foreign", "other-ca", "DNS:client"),
    ):
        files = ["-keyout", f"{name}-key.pem", "-out", "request"]
        _openssl(folder, "req", *_NEW_KEY, *files, "-subj", f"/CN={name}")
        (folder / "extensions").write_text(f"subjectAltName={subject}\n")
        sign = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}-key.pem", "-CAcreateserial", "-days", "2"]
        files = ["-in", "request", "-extfile", "extensions", "-out", f"{name}.pem"]
        _openssl(folder, "x509", "-req", *sign, *files)
    return Certificates(folder)


def _openssl(folder: Path, *args: str) -> None:
    program = shutil.which("openssl") or "openssl"
    subprocess.run([program, *args], cwd=folder, check=True, capture_output=True)
