"""TLS of both servers: one certificate, checked before it is served, read again when it changes."""

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from modelmill_service_kit.certificates import CertificateError, Watched, read_pair
from prometheus_client import Gauge

MIN_RSA_BITS = 2048

EXPIRES = Gauge(
    "modelmill_tls_certificate_expires_timestamp_seconds",
    "When the certificate that is served expires, in seconds since 1970.",
)


class _Pair(NamedTuple):
    """A certificate that may be served, with its key."""

    certificate: bytes
    key: bytes
    context: ssl.SSLContext


class ServedCertificate:
    """The certificate in force. Files that change are looked at on the next handshake.

    Raises:
        CertificateError: there is no good pair to begin with.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._watched = Watched(self._files, lambda: _read(*self._files))

    def ssl_context(self) -> ssl.SSLContext:
        """For the HTTP server. Every handshake is given the certificate then in force."""
        context = _context(*self._files)

        def choose(socket: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: object) -> None:
            socket.context = self._watched.current().context

        context.sni_callback = choose
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For the gRPC server, likewise."""
        known = self._watched.current()

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal known
            current = self._watched.current()
            if current is known:
                return None
            known = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(_configuration(known), changed)  # type: ignore[arg-type]


def open_tls(
    addresses: Mapping[str, str],
    certificate: Path | None,
    key: Path | None,
    *,
    plaintext_behind_proxy: bool,
) -> ServedCertificate | None:
    """What both servers serve TLS with; None when they are to answer plainly.

    Args:
        addresses: host:port of each server, by the name of its setting.

    Raises:
        CertificateError: the pair is no good, half of it is missing, or a server that others
            can reach would answer plainly.
    """
    if certificate is not None and key is not None:
        return ServedCertificate(certificate, key)
    if certificate is not None or key is not None:
        raise CertificateError(
            "give both GATEWAY_TLS_CERTIFICATE_PATH and GATEWAY_TLS_KEY_PATH, or neither"
        )
    for setting, address in addresses.items():
        if not plaintext_behind_proxy and not _is_loopback(address):
            raise CertificateError(
                f"{setting}={address} can be reached from other machines and would answer without "
                "TLS: give GATEWAY_TLS_CERTIFICATE_PATH and GATEWAY_TLS_KEY_PATH, or set "
                "GATEWAY_PLAINTEXT_BEHIND_PROXY=true where a proxy in front ends TLS"
            )
    return None


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(certificate: Path, key: Path) -> _Pair:
    """The pair in these files.

    Raises:
        CertificateError: a file cannot be read, the certificate is not in force now or of a kind
            that not every client takes, or the key is not its key.
    """
    found = read_pair(certificate, key)
    _check_kind(certificate, found.chain[0])
    try:
        pair = _Pair(found.certificate, found.key, _context(certificate, key))
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"{certificate} with {key} cannot be served: {error}") from error
    EXPIRES.set(found.ends.timestamp())
    return pair


def _check_kind(path: Path, leaf: x509.Certificate) -> None:
    """What one of our two TLS libraries does not serve would only fail at the first handshake."""
    key = leaf.public_key()
    rsa = isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS
    ecdsa = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1 | SECP384R1)
    if not rsa and not ecdsa:
        raise CertificateError(
            f"the certificate in {path} must be for an RSA key of at least {MIN_RSA_BITS} bits, or "
            "an ECDSA key on P-256 or P-384"
        )


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # Never asks at a terminal for a passphrase.
    context.load_cert_chain(certificate, key, password="")
    return context


def _configuration(pair: _Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)])
