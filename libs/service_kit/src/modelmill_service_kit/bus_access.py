"""Credentials and TLS of a connection to the message broker."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from modelmill_service_kit.errors import PreconditionError

SEED_SUFFIX = ".nk"
"""Of files with a seed, behind the name of the identity."""


@dataclass(frozen=True)
class NkeySeed:
    """A file with the seed of an nkey: an identity of its own, with its own permissions."""

    file: Path


@dataclass(frozen=True)
class OwnerPassword:
    """Opens the streams' account of a broker that nobody but its owner uses."""

    password: str
    user: str = "owner"


Credential = str | NkeySeed | OwnerPassword
"""A token that all share and that opens everything, an identity, or an owner's password."""


@dataclass(frozen=True)
class BusTls:
    """TLS to the broker."""

    ca_file: Path
    """Whose certificates are believed, and nobody else's."""
    certificate_file: Path | None = None
    """Shown to a broker that asks for one."""
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS context of these settings.

        Raises:
            PreconditionError: a file cannot be read or is none of these; the message names it.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.read_into(context)
        return context

    def read_into(self, context: ssl.SSLContext) -> None:
        """Load the files again into a context: authorities, certificate and key.

        Raises:
            PreconditionError: as `context`; it believes and shows what it did, then.
        """
        at = self.ca_file
        try:
            context.load_verify_locations(cafile=self.ca_file)
            if self.certificate_file is not None:
                at = self.certificate_file
                context.load_cert_chain(self.certificate_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise PreconditionError(f"TLS to the broker: {at} cannot be used: {error}") from error
