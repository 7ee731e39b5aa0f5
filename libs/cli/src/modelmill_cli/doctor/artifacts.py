"""Checks of the artifact store in the state folder: whole artifacts, and models that fit."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from modelmill_service_kit.checks import Check, FindingSeverity, Symptom
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.doctor.examined import Examined
from modelmill_cli.tables import data_size

if TYPE_CHECKING:
    from modelmill_registry.manifest import Manifest

MOST_ARTIFACTS = 10_000
"""That are looked at; the newest of more."""
MEMORY_SHARE = 0.9
"""Of the memory that a model may take, beside what the services need."""


def _manifests(it: Examined) -> "Iterator[tuple[Path, Manifest | None]]":
    """Each manifest, or None where the file holds none; the newest first."""
    from modelmill_registry.manifest import decode_manifest

    files = [*(it.state.artifacts / "manifests").glob("*.json")]
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    for file in islice(files, MOST_ARTIFACTS):
        try:
            manifest = decode_manifest(file.read_bytes())
        except (OSError, InvalidInputError):
            yield file, None
        else:
            yield file, manifest if manifest.digest == f"sha256:{file.stem}" else None


def model_memory(it: Examined) -> Iterator[Symptom]:
    """Models that do not fit into this machine's memory."""
    room = MEMORY_SHARE * it.machine.memory_bytes
    for _, manifest in _manifests(it):
        if manifest is not None and manifest.kind == "model" and manifest.size_bytes > room:
            yield Symptom(
                f"a model ({manifest.form}, {manifest.digest[:19]}) has"
                f" {data_size(manifest.size_bytes)}, and this machine"
                f" {data_size(it.machine.memory_bytes)} of memory",
                "Build a smaller form with `mill optimize`, or serve it on a larger machine",
            )


def torn_manifests(it: Examined) -> Iterator[Symptom]:
    """Manifests that are not what their name says."""
    for file, manifest in _manifests(it):
        if manifest is None:
            yield Symptom(
                f"{file} is damaged: the artifact cannot be read",
                "Bring the file back from a backup, and check the disk",
            )


def missing_contents(it: Examined) -> Iterator[Symptom]:
    """Contents that a manifest names and that are not there, or not whole."""
    blobs = it.state.artifacts / "blobs" / "sha256"
    for _, manifest in _manifests(it):
        for entry in manifest.files if manifest is not None else ():
            file = blobs / entry.sha256[:2] / entry.sha256
            try:
                size = file.stat().st_size
            except OSError:
                size = -1
            if manifest is not None and size != entry.size:
                found = "is missing" if size < 0 else f"has {size:,} bytes of {entry.size:,}"
                yield Symptom(
                    f"{entry.path} of the {manifest.kind} {manifest.digest[:19]} {found}",
                    f"Bring {file} back from a backup, or make or import it again",
                )


CHECKS = (
    Check("model-memory", FindingSeverity.WARNING, "each model fits into memory", model_memory),
    Check("artifact-manifest", FindingSeverity.ERROR, "each manifest is whole", torn_manifests),
    Check("artifact-content", FindingSeverity.ERROR, "each content has its size", missing_contents),
)
