"""Statements of provenance (SLSA 1.0): what was made, out of what, by which job or build."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modelmill_registry.manifest import Edge, Manifest, ManifestSource, hex_of, origin_of, walk
from modelmill_service_kit.errors import DomainError
from securesystemslib.signer import CryptoSigner

from modelmill_cli.keys import ISSUER
from modelmill_cli.provenance.envelope import BUNDLE, PREDICATE, STATEMENT, write_signed

IMAGE = "application/vnd.oci.image.config.v1+json"
"""Media type of a subject that is a container image, named by its id."""
PARTIAL = {"lineage": "partial"}
"""Parameter of a statement whose dependencies are the nearest artifacts alone."""
VERSION_FIELDS = ("parent_version_id", "base_version_id", "dataset_id")


def sha256_of(file: Path) -> str:
    """Of a file's content, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Each entry that is no folder, by its path in `folder`; links are not followed."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry))
                else:
                    yield Path(entry).relative_to(folder).as_posix(), entry


def file_subjects(folder: Path) -> list[dict[str, Any]]:
    """Every file of a folder but its bundle."""
    return [
        {"name": name, "digest": {"sha256": sha256_of(folder / name)}}
        for name in sorted(name for name, _ in files_below(folder))
        if name != BUNDLE
    ]


def statement(
    subjects: Sequence[Mapping[str, Any]],
    what: str,
    *,
    parameters: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    invocation: str,
    found: Mapping[str, Any] | None = None,
    byproducts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A statement.

    Args:
        what: `model` or `release`: how it was made.
        parameters: What whoever ordered it could choose.
        invocation: Id of the job, or the commit that was built.
        found: What nobody chose and a reader must know, such as `PARTIAL`.
    """
    own = {"modelmill": version("modelmill")}
    run = {
        "builder": {"id": f"{ISSUER}/provenance/{what}-builder", "version": own},
        "byproducts": list(byproducts),
        **({"metadata": {"invocationId": invocation}} if invocation else {}),
    }
    return {
        "_type": STATEMENT,
        "subject": list(subjects),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{ISSUER}/provenance/{what}/v1",
                "externalParameters": dict(parameters),
                **({"internalParameters": dict(found)} if found else {}),
                "resolvedDependencies": list(dependencies),
            },
            "runDetails": run,
        },
    }


class ExportSigner:
    """Signs exports with the key of this installation."""

    def __init__(
        self, signer: CryptoSigner, store: ManifestSource, model: Mapping[str, Any]
    ) -> None:
        """`model` is the version as the gateway has it."""
        self.key = signer.public_key.keyid
        self._signer = signer
        self._store = store
        self._model = model

    def __call__(self, folder: Path) -> None:
        """Say in `folder` where its files come from."""
        manifest = self._store.manifest(self._model["digest"])
        edges, is_whole = self._edges(manifest)
        made = statement(
            file_subjects(folder),
            "model",
            parameters={
                "version_id": self._model["id"],
                "name": self._model.get("name") or self._model["id"],
                "form": manifest.form,
                **{name: self._model[name] for name in VERSION_FIELDS if self._model.get(name)},
                "attributes": dict(manifest.attributes),
            },
            dependencies=[*self._made_from(manifest, edges)],
            invocation=self._model.get("job_id") or "",
            found={} if is_whole else PARTIAL,
            byproducts=[
                {
                    "name": "manifest",
                    "mediaType": "application/json",
                    "digest": {"sha256": hex_of(manifest.digest)},
                }
            ],
        )
        write_signed([made], self._signer, folder)

    def _made_from(self, manifest: Manifest, edges: Sequence[Edge]) -> Iterator[dict[str, Any]]:
        """Artifacts of the lineage, nearest first, and the hub that gave the base."""
        for edge in edges:
            yield {
                "name": edge.role,
                "digest": {"sha256": hex_of(edge.source)},
                "annotations": {"of": edge.made},
            }
        origin = origin_of(self._store, manifest.digest)
        if origin:
            yield {"name": "origin", "uri": origin["source"], "annotations": origin}

    def _edges(self, manifest: Manifest) -> tuple[Sequence[Edge], bool]:
        """Of the lineage, and whether that is all of it."""
        try:
            return walk(self._store, manifest.digest), True
        except DomainError:  # a part of the lineage is on another machine, or gone
            nearest = sorted(manifest.made_from.items())
            return [Edge(manifest.digest, *each) for each in nearest], False
