"""Checks of the certificates in the state folder, where `mill up --tls` keeps them."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from modelmill_cli.certificates import NAMES, CertificateFolder
from modelmill_cli.doctor.check import Check, FindingSeverity, Symptom
from modelmill_cli.doctor.examined import Examined

SOON = timedelta(days=14)
"""As the alert says."""
AUTHORITY = "ca"
RENEW = "Run `mill certs {folder}`, or start `mill up --tls` anew"


def _folder(it: Examined) -> CertificateFolder:
    return CertificateFolder(it.state.certificates)


def _certificates(it: Examined) -> Iterator[tuple[str, x509.Certificate]]:
    """Those that can be read, by name."""
    for name in (AUTHORITY, *NAMES):
        with suppress(OSError, ValueError):
            content = _folder(it).certificate(name).read_bytes()
            yield name, x509.load_pem_x509_certificate(content)


def _renew(it: Examined) -> str:
    return RENEW.format(folder=it.state.certificates)


def unreadable(it: Examined) -> Iterator[Symptom]:
    """Files that hold no certificate."""
    read = {name for name, _ in _certificates(it)}
    for name in (AUTHORITY, *NAMES):
        file = _folder(it).certificate(name)
        if file.exists() and name not in read:
            yield Symptom(f"{file} holds no certificate in PEM", f"Move it away. {_renew(it)}")


def expired(it: Examined) -> Iterator[Symptom]:
    """Those whose end has come."""
    for name, each in _certificates(it):
        if each.not_valid_after_utc <= it.now:
            ends = f"{each.not_valid_after_utc:%Y-%m-%d}"
            yield Symptom(f"the certificate of {name} ended on {ends}", _renew(it))


def expires(it: Examined) -> Iterator[Symptom]:
    """Those that end within two weeks."""
    for name, each in _certificates(it):
        if it.now < each.not_valid_after_utc <= it.now + SOON:
            ends = f"{each.not_valid_after_utc:%Y-%m-%d}"
            yield Symptom(f"the certificate of {name} ends on {ends}", _renew(it))


def early(it: Examined) -> Iterator[Symptom]:
    """Those that are not valid yet."""
    for name, each in _certificates(it):
        if each.not_valid_before_utc > it.now:
            begins = f"{each.not_valid_before_utc:%Y-%m-%d %H:%M}"
            yield Symptom(
                f"the certificate of {name} is valid from {begins} UTC on, which is not yet",
                "Set this machine's clock right, or make the certificate anew",
            )


def foreign(it: Examined) -> Iterator[Symptom]:
    """Those that the folder's authority did not make."""
    found = dict(_certificates(it))
    authority = found.pop(AUTHORITY, None)
    if authority is None:
        return
    for name, each in found.items():
        try:
            each.verify_directly_issued_by(authority)
        except (TypeError, ValueError, InvalidSignature):
            file = _folder(it).certificate(name)
            yield Symptom(
                f"{file} was not made by the authority beside it, so that peers refuse it",
                f"Move it away. {_renew(it)}",
            )


def key_of_another(it: Examined) -> Iterator[Symptom]:
    """Certificates of services without their key."""
    for name, each in _certificates(it):
        file = _folder(it).key(name)
        if name == AUTHORITY:
            continue
        try:
            key = load_pem_private_key(file.read_bytes(), password=None)
            fits = key.public_key() == each.public_key()
        except (OSError, TypeError, ValueError):
            fits = False
        if not fits:
            yield Symptom(f"{file} is not the key of {name}'s certificate", _renew(it))


def authority_key(it: Examined) -> Iterator[Symptom]:
    """The key with which certificates are renewed."""
    folder = _folder(it)
    if folder.certificate(AUTHORITY).exists() and not folder.key(AUTHORITY).exists():
        yield Symptom(
            f"{folder.key(AUTHORITY)} is missing, so that no certificate can be renewed",
            "Bring it back from where you keep it, before the certificates end",
        )


CHECKS = (
    Check("certificate-unreadable", FindingSeverity.ERROR, "certificates can be read", unreadable),
    Check("certificate-expired", FindingSeverity.ERROR, "no certificate has ended", expired),
    Check("certificate-expires", FindingSeverity.WARNING, "none ends within two weeks", expires),
    Check("certificate-early", FindingSeverity.ERROR, "each is valid by now", early),
    Check(
        "certificate-foreign", FindingSeverity.ERROR, "each is of the folder's authority", foreign
    ),
    Check(
        "certificate-key", FindingSeverity.ERROR, "each has its own key beside it", key_of_another
    ),
    Check("authority-key", FindingSeverity.WARNING, "they can be renewed", authority_key),
)
