"""Checks of certificates and their keys."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from modelmill_service_kit.checks import Check, FindingSeverity, Symptom

from modelmill_cli.doctor.examined import AUTHORITY, CertificateFacts

SOON = timedelta(days=14)
"""As the alert says."""


def _certificates(it: CertificateFacts) -> Iterator[tuple[str, x509.Certificate]]:
    """Those that can be read, by name."""
    for name, files in it.certificates.items():
        with suppress(OSError, ValueError):
            yield name, x509.load_pem_x509_certificate(files.certificate.read_bytes())


def unreadable(it: CertificateFacts) -> Iterator[Symptom]:
    """Files that hold no certificate."""
    read = {name for name, _ in _certificates(it)}
    for name, (file, _) in it.certificates.items():
        if file.exists() and name not in read:
            yield Symptom(f"{file} holds no certificate in PEM", f"Move it away. {it.renewal}")


def expired(it: CertificateFacts) -> Iterator[Symptom]:
    """Those whose end has come."""
    for name, each in _certificates(it):
        if each.not_valid_after_utc <= it.now:
            ends = f"{each.not_valid_after_utc:%Y-%m-%d}"
            yield Symptom(f"the certificate of {name} ended on {ends}", it.renewal)


def expires(it: CertificateFacts) -> Iterator[Symptom]:
    """Those that end within two weeks."""
    for name, each in _certificates(it):
        if it.now < each.not_valid_after_utc <= it.now + SOON:
            ends = f"{each.not_valid_after_utc:%Y-%m-%d}"
            yield Symptom(f"the certificate of {name} ends on {ends}", it.renewal)


def early(it: CertificateFacts) -> Iterator[Symptom]:
    """Those that are not valid yet."""
    for name, each in _certificates(it):
        if each.not_valid_before_utc > it.now:
            begins = f"{each.not_valid_before_utc:%Y-%m-%d %H:%M}"
            yield Symptom(
                f"the certificate of {name} is valid from {begins} UTC on, which is not yet",
                "Set this machine's clock right, or make the certificate anew",
            )


def foreign(it: CertificateFacts) -> Iterator[Symptom]:
    """Those that the folder's authority did not make."""
    found = dict(_certificates(it))
    authority = found.pop(AUTHORITY, None)
    if authority is None:
        return
    for name, each in found.items():
        try:
            each.verify_directly_issued_by(authority)
        except (TypeError, ValueError, InvalidSignature):
            file = it.certificates[name].certificate
            yield Symptom(
                f"{file} was not made by the authority beside it, so that peers refuse it",
                f"Move it away. {it.renewal}",
            )


def key_of_another(it: CertificateFacts) -> Iterator[Symptom]:
    """Certificates of services without their key."""
    for name, each in _certificates(it):
        file = it.certificates[name].key
        if name == AUTHORITY:
            continue
        try:
            key = load_pem_private_key(file.read_bytes(), password=None)
            fits = key.public_key() == each.public_key()
        except (OSError, TypeError, ValueError):
            fits = False
        if not fits:
            yield Symptom(f"{file} is not the key of {name}'s certificate", it.renewal)


def authority_key(it: CertificateFacts) -> Iterator[Symptom]:
    """The key with which certificates are renewed."""
    certificate, key = it.certificates[AUTHORITY]
    if certificate.exists() and not key.exists():
        yield Symptom(
            f"{key} is missing, so that no certificate can be renewed",
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
