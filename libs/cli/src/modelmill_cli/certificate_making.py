"""What goes into our certificates: names, uses, lifetimes, keys."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from modelmill_service_kit.errors import InvalidInputError

AuthorityKey = EllipticCurvePrivateKey | RSAPrivateKey
"""Ours is ECDSA; an authority that was there before may be of the other kind."""

BACKDATED = timedelta(minutes=5)
"""Clocks of machines differ; a certificate must be in force on all of them at once."""

BOTH_SIDES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def alternative_names(hosts: Iterable[str]) -> set[x509.GeneralName]:
    """Addresses as addresses, anything else as DNS names.

    Raises:
        InvalidInputError: one cannot be a name.
    """
    names: set[x509.GeneralName] = set()
    for host in hosts:
        try:
            names.add(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.add(_dns_name(host))
    return names


def _dns_name(host: str) -> x509.DNSName:
    letters = host.replace("-", "").replace(".", "").removeprefix("*")
    if not (letters.isalnum() and letters.isascii()):
        raise InvalidInputError(f"{host!r} is neither a DNS name nor an address")
    return x509.DNSName(host)


def make_authority(key: EllipticCurvePrivateKey, life: timedelta) -> x509.Certificate:
    """An authority that vouches for itself, and for certificates that vouch for nobody."""
    name = _called("Modelmill private authority")
    return (
        _unsigned(name, name, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(of_an_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def make_leaf(
    name: str,
    public_key: EllipticCurvePublicKey,
    names: set[x509.GeneralName],
    authority: x509.Certificate,
    authority_key: AuthorityKey,
    life: timedelta,
) -> x509.Certificate:
    """A certificate with which its holder both serves and calls."""
    made_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    # In one order, so that two certificates for the same names read the same.
    sorted_names = x509.SubjectAlternativeName(sorted(names, key=repr))
    return (
        _unsigned(_called(name), authority.subject, public_key, life)
        .add_extension(sorted_names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(of_an_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(BOTH_SIDES), critical=False)
        .add_extension(made_by, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def key_pem(key: EllipticCurvePrivateKey) -> bytes:
    """A private key as its file has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _unsigned(
    subject: x509.Name, issuer: x509.Name, public_key: EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, of_an_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_an_authority,
        key_cert_sign=of_an_authority,
        crl_sign=of_an_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
