"""nkeys, the broker's Ed25519 identities: seeds as text, public keys, signatures.

The broker keeps the public key and asks for a signature, so what it knows opens nothing.
"""

import base64
import binascii
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from modelmill_service_kit.errors import PreconditionError

SEED, USER = 18 << 3, 20 << 3
"""First bits of a seed (`S`) and of a user's public key (`U`)."""
SEED_CHARACTERS = 58


class Nkey:
    """A user's key pair.

    Args:
        secret: 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._key = Ed25519PrivateKey.from_private_bytes(secret)

    @classmethod
    def generate(cls) -> "Nkey":
        """A new one."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_file(cls, file: Path) -> "Nkey":
        """The one whose seed a file holds.

        Raises:
            PreconditionError: the file cannot be read, or holds no seed of a user.
        """
        try:
            return cls.from_seed(file.read_text("ascii").strip())
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise PreconditionError(f"the nkey seed {file} cannot be read: {reason}") from error
        except ValueError as error:
            raise PreconditionError(f"{file} does not hold the nkey seed of a user") from error

    @classmethod
    def from_seed(cls, seed: str) -> "Nkey":
        """The one that `seed` says.

        Raises:
            ValueError: it is not the seed of a user.
        """
        if len(seed) != SEED_CHARACTERS:
            raise ValueError("a seed has 58 characters")
        body = base64.b32decode(seed + "=" * (-len(seed) % 8))[:-2]
        # Written again and not only checked: the last character has bits that mean nothing.
        if body[:2] != _seed_prefix() or _encoded(body) != seed:
            raise ValueError("not the seed of a user")
        return cls(body[2:])

    @property
    def seed(self) -> str:
        """The secret as text, 58 characters that begin with SU."""
        return _encoded(_seed_prefix() + self._secret)

    @property
    def public(self) -> str:
        """The public key as text, 56 characters that begin with U."""
        key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _encoded(bytes([USER]) + key)

    def sign(self, nonce: str) -> bytes:
        """The answer to the broker's challenge, in base64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def _seed_prefix() -> bytes:
    # Five bits for `S`, five for whose seed it is, and six of the next.
    return bytes([SEED | (USER >> 5), (USER & 31) << 3])


def _encoded(body: bytes) -> str:
    return base64.b32encode(body + _checksum(body)).decode().rstrip("=")


def _checksum(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")
