"""Snapshot in Hugging Face's cache: a folder of links to blobs that lie beside it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError

from modelmill_hub.address import HubAddress
from modelmill_hub.choice import choose_model
from modelmill_hub.fetch import FetchedModel
from modelmill_hub.repository import RemoteFile, Repository

SNAPSHOTS, BLOBS, MODELS, SEPARATOR = "snapshots", "blobs", "models--", "--"


@dataclass(frozen=True)
class CachedSnapshot:
    """A revision of a model, as `huggingface_hub` and `transformers` keep it."""

    folder: Path
    """`models--ORG--NAME/snapshots/COMMIT`."""
    address: HubAddress

    @classmethod
    def at(cls, folder: Path) -> "CachedSnapshot | None":
        """The snapshot that a folder is; None where it is something else."""
        folder = folder.resolve()
        if folder.parent.name != SNAPSHOTS or not (folder.parents[1] / BLOBS).is_dir():
            return None
        kind, *names = folder.parents[1].name.split(SEPARATOR)
        if kind + SEPARATOR != MODELS or not names:
            return None
        try:
            return cls(folder, HubAddress.parse(f"hf://{'/'.join(names)}@{folder.name}"))
        except InvalidInputError:
            return None

    def plain_copy(self, target: Path) -> FetchedModel:
        """Those of its files that make a model, without links, in `target`.

        Blobs are linked hard where the file system can, which takes no room.

        Raises:
            InvalidInputError: A link leads out of the cache.
            PickleOnlyError, MissingFileError: As `choose_model`.
        """
        chosen = choose_model(self._listing())
        for file in (*chosen.small, *chosen.weights):
            copy = target / file.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            blob = (self.folder / file.path).resolve()
            try:
                os.link(blob, copy)
            except OSError:
                shutil.copyfile(blob, copy)
        source, commit = self.address.source, self.folder.name
        return FetchedModel(target, chosen.form, self.address.name, source, commit, licence="")

    def _listing(self) -> Repository:
        files = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_dir():
                continue
            blob, name = path.resolve(), path.relative_to(self.folder).as_posix()
            if not blob.is_relative_to(self.folder.parents[1]) or not blob.is_file():
                raise InvalidInputError(
                    f"{name} is a link out of the cache, or to nothing. Download"
                    f" {self.address.source} again"
                )
            files.append(RemoteFile(name, blob.stat().st_size))
        return Repository(self.address, self.folder.name, "", tuple(files))
