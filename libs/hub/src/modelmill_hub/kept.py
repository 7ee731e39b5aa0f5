"""What is kept of a repository below the folder of downloads: files, listing, imports.

Listings of commits and records of imports are small, and stay when the files are deleted: with them
nothing has to be asked or downloaded twice.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelmill_hub.address import HubAddress
from modelmill_hub.repository import RemoteFile, Repository, check_paths


def folder_of(root: Path, address: HubAddress, commit: str) -> Path:
    """Where a repository's files are downloaded to."""
    return root / address.hub / f"{address.kind}s" / address.repository.replace("/", "--") / commit


def read_listing(root: Path, address: HubAddress) -> Repository | None:
    """The listing of a commit, where it was kept."""
    held = _read(_beside(root, address, address.revision, "listing"))
    try:
        files = tuple(RemoteFile(**each) for each in held["files"])
        check_paths(files)
        licence, revision = str(held["licence"]), str(held.get("revision", ""))
        return Repository(address, address.revision, licence, files, revision)
    except (KeyError, TypeError):
        return None


def write_listing(root: Path, repository: Repository) -> None:
    """Keep a listing."""
    file = _beside(root, repository.address, repository.commit, "listing")
    files = [asdict(each) for each in repository.files]
    named = {"licence": repository.licence, "revision": repository.revision}
    _write(file, {**named, "files": files})


class KeptImports:
    """Which versions a commit was imported as, by tenant and name."""

    def __init__(self, root: Path, address: HubAddress, commit: str) -> None:
        self._file = _beside(root, address, commit, "imports")

    def version_id(self, tenant: str, name: str) -> str:
        """Of an import under this name; empty where there was none."""
        return str(_read(self._file).get(f"{tenant}/{name}", ""))

    def note(self, tenant: str, name: str, version_id: str) -> None:
        """Keep what an import made."""
        _write(self._file, {**_read(self._file), f"{tenant}/{name}": version_id})


def imported_versions(root: Path, address: HubAddress, tenant: str) -> list[str]:
    """Versions that any commit of a repository was imported as, newest first."""
    folder = folder_of(root, address, "x").parent
    files = sorted(folder.glob("*.imports.json"), key=lambda it: it.stat().st_mtime, reverse=True)
    return [
        str(version_id)
        for file in files
        for key, version_id in reversed([*_read(file).items()])
        if key.startswith(f"{tenant}/")
    ]


def forget(folder: Path) -> None:
    """Delete downloaded files, once their content is elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)


def _beside(root: Path, address: HubAddress, commit: str, what: str) -> Path:
    folder = folder_of(root, address, commit)
    return folder.with_name(f"{folder.name}.{what}.json")


def _read(file: Path) -> Mapping[str, Any]:
    """What a file has; nothing where it has no object."""
    try:
        held = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _write(file: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(value))
    partial.replace(file)
