"""TLS of both doors: one certificate, checked before it is served, read again when it changes."""

import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
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
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from prometheus_client import Gauge
from service_kit.errors import InvalidInputError

log = logging.getLogger(__name__)

FILE_CHECK_SECONDS = 1.0
MIN_RSA_BITS = 2048

EXPIRES = Gauge(
    "modelmill_tls_certificate_expires_timestamp_seconds",
    "When the certificate that is served expires, in seconds since 1970.",
)


class CertificateError(InvalidInputError):
    """A door cannot be opened as it is set up; says which file or setting, and what to do."""


class _Pair(NamedTuple):
    """A certificate that may be served, with its key."""

    certificate: bytes
    key: bytes
    context: ssl.SSLContext


class ServedCertificate:
    """The certificate in force. Files that change are looked at on the next handshake.

    A pair that is no good is logged once and the last good one stays in force: an operator who
    writes one file after the other, or the wrong one, does not close the doors.

    Raises:
        CertificateError: there is no good pair to begin with.
    """

    def __init__(
        self, certificate: Path, key: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = (certificate, key)
        self._clock = clock
        self._looked_at = clock()
        # Handshakes of gRPC come from threads of its own.
        self._lock = threading.Lock()
        self._stamp = _stamp(self._files)
        self._pair = _read(*self._files)

    def ssl_context(self) -> ssl.SSLContext:
        """For the HTTP door. Every handshake is given the certificate then in force."""
        context = _context(*self._files)

        def choose(socket: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: object) -> None:
            socket.context = self._current().context

        context.sni_callback = choose
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For the gRPC door, likewise."""
        known = self._pair

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal known
            current = self._current()
            if current is known:
                return None
            known = current
            return _configuration(current)

        return grpc.dynamic_ssl_server_credentials(_configuration(known), changed)  # type: ignore[arg-type]

    def _current(self) -> _Pair:
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= FILE_CHECK_SECONDS:
                self._looked_at = now
                self._read_if_changed()
            return self._pair

    def _read_if_changed(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return
        # Kept also for a bad pair, so that it is said once and not at every handshake.
        self._stamp = stamp
        try:
            self._pair = _read(*self._files)
        except CertificateError as error:
            log.error("keeping the last good certificate: %s", error)
        else:
            log.info("serving the certificate that was put into %s", self._files[0])


def open_tls(
    addresses: Mapping[str, str],
    certificate: Path | None,
    key: Path | None,
    *,
    plaintext_behind_proxy: bool,
) -> ServedCertificate | None:
    """What both doors serve TLS with; None when they are to answer plainly.

    Args:
        addresses: host:port of each door, by the name of its setting.

    Raises:
        CertificateError: the pair is no good, half of it is missing, or a door that other machines
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
    certificate_text, key_text = _bytes(certificate), _bytes(key)
    try:
        leaf = x509.load_pem_x509_certificates(certificate_text)[0]
    except ValueError as error:
        raise CertificateError(f"{certificate} holds no certificate in PEM") from error
    _check_dates(certificate, leaf)
    _check_kind(certificate, leaf)
    try:
        public_key = load_pem_private_key(key_text, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key} holds no private key in PEM without passphrase") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public_key.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise CertificateError(f"the key in {key} is not that of the certificate in {certificate}")
    try:
        pair = _Pair(certificate_text, key_text, _context(certificate, key))
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"{certificate} with {key} cannot be served: {error}") from error
    EXPIRES.set(leaf.not_valid_after_utc.timestamp())
    return pair


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {error.strerror}") from error


def _check_dates(path: Path, leaf: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > leaf.not_valid_after_utc:
        raise CertificateError(
            f"the certificate in {path} expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            "renew it"
        )
    if now < leaf.not_valid_before_utc:
        raise CertificateError(
            f"the certificate in {path} is not valid before "
            f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )


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


def _stamp(files: tuple[Path, ...]) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes when a file does; None for one that is not there."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(stamps)
