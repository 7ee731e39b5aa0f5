"""Certificates as `mill certs` makes them, and ways to spoil them."""

import shutil
from datetime import timedelta
from pathlib import Path

from modelmill_cli.certificates import CertificateFolder
from modelmill_service_kit.mutual_tls import MutualTls

NAMES = ("gateway", "moderation", "trainer")


def certificates(folder: Path, life: timedelta = timedelta(days=1)) -> CertificateFolder:
    made = CertificateFolder(folder)
    made.ensure(names=NAMES, life=life)
    return made


def of_another_life(made: CertificateFolder, folder: Path, life: timedelta) -> CertificateFolder:
    """Certificates of the same authority that live so long."""
    folder.mkdir()
    for name in ("ca.pem", "ca-key.pem"):
        shutil.copy(made.path / name, folder)
    return certificates(folder, life)


def identity(made: CertificateFolder, name: str) -> MutualTls:
    return MutualTls(made.certificate("ca"), made.certificate(name), made.key(name))


def put(there: CertificateFolder, name: str, made: CertificateFolder, other: str) -> None:
    """Let the files of `name` hold the pair of `other`."""
    shutil.copy(made.key(other), there.key(name))
    shutil.copy(made.certificate(other), there.certificate(name))
