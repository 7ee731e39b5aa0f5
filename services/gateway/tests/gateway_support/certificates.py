"""Certificates for tests, good and otherwise."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class CertificateFiles:
    """Where a server finds its pair. The certificate is also what its clients trust."""

    certificate: Path
    key: Path

    @classmethod
    def inside(cls, folder: Path) -> "CertificateFiles":
        """A good pair in `folder`."""
        files = cls(folder / "gateway.crt", folder / "gateway.key")
        files.renew()
        return files

    def renew(
        self,
        *,
        starts: timedelta = timedelta(minutes=-5),
        ends: timedelta = timedelta(days=1),
        key: PrivateKey | None = None,
    ) -> datetime:
        """Write a new pair, valid between two moments from now; gives the later one."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC).replace(microsecond=0)
        self.key.write_bytes(pem(key))
        self.certificate.write_bytes(_certificate(key, now + starts, now + ends))
        return now + ends


def pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """A private key as a file has it."""
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _certificate(key: PrivateKey, starts: datetime, ends: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway of a test")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
