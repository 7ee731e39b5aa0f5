"""Certificate files: checked before they are used, and looked at again when they change."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from modelmill_service_kit.errors import InvalidInputError

log = logging.getLogger(__name__)

FILE_CHECK_SECONDS = 1.0

ReadT = TypeVar("ReadT")


class CertificateError(InvalidInputError):
    """Invalid TLS configuration; the message names the file or setting, and the remedy."""


class KeyPair(NamedTuple):
    """A valid certificate and its key."""

    certificate: bytes
    """PEM: the certificate, then those between it and its authority."""
    key: bytes
    chain: tuple[x509.Certificate, ...]

    @property
    def ends(self) -> datetime:
        return self.chain[0].not_valid_after_utc


def read_pair(certificate: Path, key: Path) -> KeyPair:
    """Read a certificate and its key.

    Raises:
        CertificateError: a file cannot be read, the certificate is not in force now, or the key is
            not its key.
    """
    certificate_text, key_text = read_bytes(certificate), read_bytes(key)
    chain = parse_certificates(certificate, certificate_text)
    check_dates(certificate, chain[0])
    try:
        public_key = load_pem_private_key(key_text, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key} holds no private key in PEM without passphrase") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public_key.public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise CertificateError(f"the key in {key} is not that of the certificate in {certificate}")
    return KeyPair(certificate_text, key_text, tuple(chain))


def read_bytes(path: Path) -> bytes:
    """What is in a file.

    Raises:
        CertificateError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {error.strerror}") from error


def parse_certificates(path: Path, text: bytes) -> list[x509.Certificate]:
    """The certificates in `text`, which was read from `path`; one at least.

    Raises:
        CertificateError: there is none.
    """
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate in PEM") from error


def check_dates(path: Path, certificate: x509.Certificate) -> None:
    """Raise CertificateError when `certificate`, which was read from `path`, is not in force."""
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise CertificateError(
            f"the certificate in {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
            " UTC. Renew it"
        )
    if now < certificate.not_valid_before_utc:
        raise CertificateError(
            f"the certificate in {path} is not valid before "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )


class Watched(Generic[ReadT]):
    """Cached result of `read`, which reads files again when they change.

    What is no good is logged once and the last good one stays in force: an operator who writes one
    file after the other, or the wrong one, does not cut anybody off.

    Args:
        files: those that are looked at; the first is the one that log lines name.
        read: raises CertificateError when they are no good, which the constructor passes on.
    """

    def __init__(
        self,
        files: tuple[Path, ...],
        read: Callable[[], ReadT],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._read = read
        self._clock = clock
        self._looked_at = clock()
        # Handshakes of gRPC come from threads of its own.
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        self._good = read()

    def current(self) -> ReadT:
        """The last valid value; files are checked at most once a second."""
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= FILE_CHECK_SECONDS:
                self._looked_at = now
                self._read_if_changed()
            return self._good

    def _read_if_changed(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return
        # Kept also for a bad one, so that it is said once and not at every handshake.
        self._stamp = stamp
        try:
            self._good = self._read()
        except CertificateError as error:
            log.error("keeping the last good certificate: %s", error)
        else:
            log.info("using the certificate that was put into %s", self._files[0])


def _stamp(files: tuple[Path, ...]) -> tuple[tuple[int, int, int] | None, ...]:
    """Change stamp of a file; None if it does not exist."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(stamps)
