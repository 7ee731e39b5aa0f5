"""The secrets of everybody on a bus: one file with an nkey's seed for each identity."""

import os
from collections.abc import Mapping
from pathlib import Path

from modelmill_service_kit.bus_access import SEED_SUFFIX, NkeySeed

from modelmill_bus.broker_config import authorization
from modelmill_bus.nkeys import Nkey
from modelmill_bus.permissions import identities


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
