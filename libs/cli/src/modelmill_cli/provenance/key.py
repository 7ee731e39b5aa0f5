"""The key of provenance: an Ed25519 pair in a folder, whose public half is given away."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from modelmill_service_kit.errors import PreconditionError
from securesystemslib.signer import CryptoSigner, SSlibKey

from modelmill_cli.state_folder import write_private, write_public

MOST_BYTES = 16_384
"""Of a file with a key."""


class ProvenanceKey:
    """The pair in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.private_file = folder / "provenance-key.pem"
        self.public_file = folder / "provenance.pub"

    def create(self) -> str:
        """Make the pair; gives the id of the key.

        Raises:
            PreconditionError: There is one, by which somebody may verify.
        """
        if self.private_file.exists():
            raise PreconditionError(
                f"{self.private_file} is there already, and others verify by its public half. "
                "Name another folder, or move it away"
            )
        signer = CryptoSigner.generate_ed25519()
        self.private_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.private_file, signer.private_bytes)
        write_public(self.public_file, _public_pem(signer))
        return signer.public_key.keyid

    def signer(self) -> CryptoSigner | None:
        """What signs with it; None where no key was made.

        Raises:
            PreconditionError: The file holds no such key.
        """
        try:
            pem = self.private_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):  # encrypted, or no PEM at all
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise PreconditionError(
                f"{self.private_file} does not hold an unencrypted Ed25519 key in PEM. "
                "Bring back the one that was made, or move it away and make a new one"
            )
        return CryptoSigner(key)


def _public_pem(signer: CryptoSigner) -> bytes:
    key = load_pem_private_key(signer.private_bytes, password=None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(file: Path) -> SSlibKey:
    """The public key in a file, as PEM.

    Raises:
        PreconditionError: It holds no public Ed25519 key.
    """
    with file.open("rb") as opened:
        pem = opened.read(MOST_BYTES)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise PreconditionError(
            f"{file} holds no public Ed25519 key in PEM. Give the file provenance.pub of whoever "
            "signed"
        )
    return SSlibKey.from_crypto(key)
