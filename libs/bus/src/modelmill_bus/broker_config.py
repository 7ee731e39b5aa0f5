"""The broker's accounts and TLS configuration."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from modelmill_service_kit.bus_access import SEED_SUFFIX, NkeySeed, OwnerPassword

from modelmill_bus.accounts import accounts, owner_account
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import identities

REMARK = "# Made from the table of subjects; make it anew instead of changing it."


def authorization(public_keys: Mapping[str, str]) -> str:
    """An `accounts` block for nats-server, to be included or pasted; nothing in it is secret.

    Args:
        public_keys: the public nkey of each identity that may connect.
    """
    return f"{REMARK}\naccounts {json.dumps(accounts(public_keys), indent=1)}\n"


def owner_authorization(password: OwnerPassword) -> str:
    """The same of a broker that nobody but its owner uses."""
    return f"accounts {json.dumps(owner_account(password.user, password.password))}\n"


def tls_settings(certificates: Path, *, clients_show: bool) -> str:
    """A `tls` block for nats-server; it begins with the handshake, as our services demand.

    Args:
        certificates: folder with ca.pem, nats.pem and nats-key.pem.
        clients_show: whether a client must show a certificate of that authority, too.
    """
    verify = f"\n  ca_file: {json.dumps(str(certificates / 'ca.pem'))}\n  verify: true"
    return f"""\
tls {{
  cert_file: {json.dumps(str(certificates / "nats.pem"))}
  key_file: {json.dumps(str(certificates / "nats-key.pem"))}{verify if clients_show else ""}
  # At once from ours, of which a busy one takes its time; others are then told that it wants TLS.
  handshake_first: 1s
  timeout: 5
}}
"""


class Identities:
    """Seeds in a folder, made once: whoever was given one keeps it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ensure(self) -> None:
        """Make the seeds that are missing, each readable by its owner alone.

        Raises:
            OSError: the folder cannot be made or written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in identities():
            if not self._file(name).exists():
                _write_private(self._file(name), Nkey.generate().seed)

    def seed(self, name: str) -> NkeySeed:
        """What the identity connects with."""
        return NkeySeed(self._file(name))

    def public_keys(self) -> Mapping[str, str]:
        """What the broker knows each by.

        Raises:
            PreconditionError: a seed cannot be read, or is none; the message names the file.
        """
        return {name: Nkey.from_file(self._file(name)).public for name in identities()}

    def authorization(self) -> str:
        """The block of the broker's configuration that admits them, each to its own."""
        return authorization(self.public_keys())

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}{SEED_SUFFIX}"


def _write_private(file: Path, seed: str) -> None:
    """The whole seed or no file; at no moment for others to read."""
    temporary = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as writing:
        writing.write(f"{seed}\n")
        writing.flush()
        os.fsync(writing.fileno())
    temporary.replace(file)
