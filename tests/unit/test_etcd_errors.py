"""What the refusals of an etcd mean: in the words of gRPC and etcd, and in ours."""

from __future__ import annotations

import re

import pytest

from proxyconf.errors import SourceDeniedError, SourceError
from proxyconf.sources._etcd_connect import Server
from proxyconf.sources._etcd_errors import explain, translated
from proxyconf.sources._etcd_rpc import grpc

SERVER = Server("dns:///etcd:2379", "http://etcd:2379")


def failure(code: grpc.StatusCode, details: str) -> Exception:
    error: Exception = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    return error


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
CONNECT = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:2379: "
TLS = CONNECT + "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:"


@pytest.mark.parametrize(
    ("code", "details", "kind", "text"),
    [
        pytest.param(
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            SourceDeniedError,
            "wrong user or password (check user, and password or its file)",
            id="wrong password",
        ),
        pytest.param(
            UNAVAILABLE,
            TLS + "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            SourceDeniedError,
            "TLS: etcd's certificate is of no authority that we trust: unable to get local issuer"
            " certificate (set ca to the authority that signed it)",
            id="wrong ca",
        ),
        pytest.param(
            UNAVAILABLE,
            TLS + "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
            SourceDeniedError,
            "TLS: etcd's certificate is of no authority that we trust (set ca",
            id="wrong ca, in older versions of gRPC",
        ),
        pytest.param(
            UNAVAILABLE,
            TLS + "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK",
            SourceDeniedError,
            "TLS: certificate has expired (renew etcd's certificate, or set the clock)",
            id="expired",
        ),
        pytest.param(
            UNAVAILABLE,
            TLS + "OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA: OK",
            SourceDeniedError,
            "TLS: etcd refuses our certificate, or that we show none: TLSV1_ALERT_UNKNOWN_CA (set cert and",
            id="foreign certificate",
        ),
        pytest.param(
            UNAVAILABLE,
            "Unwrap failed (TSI_DATA_CORRUPTED)",
            SourceDeniedError,
            "TLS: etcd seems to refuse our certificate, or that we show none: TSI_DATA_CORRUPTED (set cert",
            id="no certificate",
        ),
        pytest.param(
            UNAVAILABLE,
            CONNECT + "Failed to create security handshaker.",
            SourceDeniedError,
            "TLS: gRPC cannot use our certificate (check cert and key)",
            id="unusable certificate",
        ),
        pytest.param(
            UNAVAILABLE,
            CONNECT + "Peer name etcd is not in peer certificate",
            SourceDeniedError,
            "TLS: etcd's certificate is for another name (use",
            id="name",
        ),
        pytest.param(
            UNAVAILABLE,
            TLS + "OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION: OK",
            SourceDeniedError,
            "TLS: TLSV1_ALERT_PROTOCOL_VERSION (check that",
            id="other TLS failure",
        ),
        pytest.param(
            UNAVAILABLE,
            CONNECT + "Failed to connect to remote host: Connection refused",
            SourceError,
            "connection refused (is etcd running there? check endpoints)",
            id="refused",
        ),
        pytest.param(
            UNAVAILABLE,
            "errors resolving etcd:2379: [field:hostname lookup error:address lookup failed]",
            SourceError,
            "no address for the name etcd (check endpoints, and the resolver)",
            id="unknown name",
        ),
        pytest.param(
            UNAVAILABLE,
            CONNECT + "connect: Network is unreachable (101)",
            SourceError,
            "cannot connect: UNKNOWN: ipv4:127.0.0.1:2379: connect: Network is unreachable (101) (check",
            id="no way there",
        ),
        pytest.param(
            UNAVAILABLE,
            "failed to connect to all addresses; last error: INTERNAL: ipv4:127.0.0.1:1: Failed parsing"
            " HTTP/2 (Trying to connect an http1.x server (HTTP status 400))",
            SourceError,
            "what answers is no etcd v3 (check endpoints)",
            id="another server",
        ),
        pytest.param(
            UNAVAILABLE,
            "Socket closed",
            SourceError,
            "connection lost: Socket closed (etcd stopped, or the network cut it)",
            id="lost",
        ),
        pytest.param(
            UNAVAILABLE,
            "etcdserver: no leader",
            SourceError,
            "the cluster has no leader (most of its members are down or cut off)",
            id="no leader",
        ),
        pytest.param(
            grpc.StatusCode.DEADLINE_EXCEEDED, "", SourceError, "no answer in time (etcd hangs", id="hangs"
        ),
        pytest.param(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (70000000 vs. 67108864)",
            SourceError,
            "2000 keys are more than 64 MiB (are",
            id="too large",
        ),
        pytest.param(
            grpc.StatusCode.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision has been compacted",
            SourceError,
            "the history was compacted meanwhile (it is listed anew)",
            id="compacted",
        ),
        pytest.param(
            grpc.StatusCode.UNAUTHENTICATED,
            "etcdserver: invalid auth token",
            SourceError,
            "UNAUTHENTICATED: etcdserver: invalid auth token",
            id="anything else",
        ),
    ],
)
def test_failures_are_told_apart(
    code: grpc.StatusCode, details: str, kind: type[SourceError], text: str
) -> None:
    """The texts are gRPC's and etcd's own, as the live tests met them."""
    with (
        pytest.raises(SourceError, match=f"^{re.escape('list at http://etcd:2379: ' + text)}") as caught,
        translated("list", SERVER),
    ):
        raise failure(code, details)
    assert type(caught.value) is kind


def test_long_texts_are_cut() -> None:
    error = explain("x" * 10_000, "watch", SERVER)
    assert len(str(error)) < 250


def test_bugs_are_not_disguised() -> None:
    with pytest.raises(ZeroDivisionError), translated("list", SERVER):
        raise ZeroDivisionError
