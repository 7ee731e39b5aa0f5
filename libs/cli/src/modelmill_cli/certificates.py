"""A private certificate authority in a folder, and the services' certificates."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from modelmill_service_kit.errors import DomainError, InvalidInputError, PreconditionError

from modelmill_cli.state_folder import write_private, write_public

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


NAMES = (
    *("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference"),
    *("nats", "client"),
)
"""The services, the broker, and people's own tools: as compose calls them, and certificates too."""

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
LOOK_AGAIN = timedelta(hours=12)


@dataclass(frozen=True)
class Issued:
    """What the folder has for one name."""

    name: str
    ends: datetime
    is_new: bool


@dataclass(frozen=True)
class CertificateFolder:
    """ca.pem and ca-key.pem, and for each name NAME.pem and NAME-key.pem.

    Args:
        is_shared: whether other users may read the certificates; nobody may read keys.
    """

    path: Path
    is_shared: bool = True

    def certificate(self, name: str) -> Path:
        return self.path / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.path / f"{name}-key.pem"

    def ensure(
        self,
        *,
        life: timedelta = LEAF_LIFE,
        hosts: Mapping[str, Collection[str]] | None = None,
        names: Sequence[str] = NAMES,
    ) -> list[Issued]:
        """Make what is missing, and renew what has only a third of its life left.

        Args:
            hosts: by a certificate's name, the further DNS names or addresses that it shall have;
                those that it has already stay.

        Returns:
            The authority, then each name.

        Raises:
            PreconditionError: what is in the folder cannot be used; the message says what to do.
            InvalidInputError: a host is no name, or certificates would outlive their authority.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not self.certificate("ca").exists()
        if is_new:
            self._make_authority()
        authority, key = self._read_authority(life)
        issued = [Issued("ca", authority.not_valid_after_utc, is_new)]
        for name in names:
            wanted = alternative_names([name, *THIS_MACHINE, *(hosts or {}).get(name, ())])
            kept = self._leaf(name, authority)
            if kept is not None and self._is_good(name, kept, wanted):
                issued.append(Issued(name, kept.not_valid_after_utc, is_new=False))
                continue
            wanted |= _names_in(kept) if kept is not None else set()
            leaf = self._issue(name, authority, key, wanted, life)
            issued.append(Issued(name, leaf.not_valid_after_utc, is_new=True))
        return issued

    def _make_authority(self) -> None:
        # An authority whose certificate is lost may still vouch for somebody.
        for file in (self.key("ca"), *map(self.certificate, NAMES)):
            if file.exists():
                raise PreconditionError(
                    f"{file} is there, but not the {self.certificate('ca')} that it belongs to."
                    " Bring that back, or name another folder"
                )
        key = ec.generate_private_key(ec.SECP256R1())
        authority = make_authority(key, AUTHORITY_LIFE)
        write_private(self.key("ca"), key_pem(key))
        self._write_certificate("ca", authority)

    def _write_certificate(self, name: str, certificate: x509.Certificate) -> None:
        write = write_public if self.is_shared else write_private
        write(self.certificate(name), certificate.public_bytes(Encoding.PEM))

    def _read_authority(self, life: timedelta) -> tuple[x509.Certificate, AuthorityKey]:
        """The authority and its key, when certificates of `life` can be made with them."""
        elsewhere = "name another folder for a new one, and give its files to every service"
        file, key_file = self.certificate("ca"), self.key("ca")
        try:
            authority = x509.load_pem_x509_certificate(file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except FileNotFoundError:
            raise PreconditionError(
                f"there is no {key_file}, so nothing can be made or renewed. Bring it back, or"
                f" {elsewhere}"
            ) from None
        except (TypeError, ValueError):
            raise PreconditionError(
                f"{file} and {key_file} are not a certificate and an unencrypted key in PEM."
                f" Bring them back, or {elsewhere}"
            ) from None
        if not isinstance(key, AuthorityKey) or key.public_key() != authority.public_key():
            raise PreconditionError(
                f"{key_file} is not the key of {file}. Bring it back, or {elsewhere}"
            )
        ends = authority.not_valid_after_utc
        if datetime.now(UTC) > ends:
            raise PreconditionError(f"{file} expired on {ends:%Y-%m-%d}. To go on, {elsewhere}")
        if datetime.now(UTC) + life > ends:
            raise InvalidInputError(
                f"{file} ends on {ends:%Y-%m-%d}, before a certificate of {life.days} days would."
                f" Give fewer --days, or {elsewhere}"
            )
        return authority, key

    def _leaf(self, name: str, authority: x509.Certificate) -> x509.Certificate | None:
        """The certificate there is; None when there is none that can be read."""
        try:
            leaf = x509.load_pem_x509_certificate(self.certificate(name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        try:
            leaf.verify_directly_issued_by(authority)
        except (TypeError, ValueError, InvalidSignature):
            raise PreconditionError(
                f"{self.certificate(name)} was not made by {self.certificate('ca')}. Move it away,"
                " or name another folder"
            ) from None
        return leaf

    def _is_good(self, name: str, leaf: x509.Certificate, wanted: set[x509.GeneralName]) -> bool:
        try:
            key = load_pem_private_key(self.key(name).read_bytes(), password=None)
        except (FileNotFoundError, TypeError, ValueError):
            return False
        whole = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        is_young = leaf.not_valid_after_utc - datetime.now(UTC) > whole / 3
        return is_young and key.public_key() == leaf.public_key() and wanted <= _names_in(leaf)

    def _issue(
        self,
        name: str,
        authority: x509.Certificate,
        authority_key: AuthorityKey,
        names: set[x509.GeneralName],
        life: timedelta,
    ) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = make_leaf(name, key.public_key(), names, authority, authority_key, life)
        write_private(self.key(name), key_pem(key))
        self._write_certificate(name, leaf)
        return leaf


@asynccontextmanager
async def kept_renewed(
    folder: CertificateFolder, on_trouble: Callable[[str], None]
) -> AsyncIterator[None]:
    """Within the block the folder has what `ensure` makes; services read again what is renewed."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN.total_seconds())
            try:
                await asyncio.to_thread(folder.ensure)
            except (DomainError, OSError) as error:  # may pass, and there is a month left
                on_trouble(f"certificates are not renewed: {error}")

    await asyncio.to_thread(folder.ensure)
    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()


def _names_in(leaf: x509.Certificate) -> set[x509.GeneralName]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(found.value)
