"""Interface of artifact stores."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelmill_registry.manifest import Manifest

REPEATING = ("evaluation", "teacher-answers", "dataset-report")
"""Kinds of artifacts that repeat rows of the files and datasets that they were made of."""
SWEEP_SECONDS = 24 * 3600.0
"""How old an orphan must be; longer than any commit takes."""


@dataclass(frozen=True)
class SweepReport:
    """What a sweep removed."""

    blobs: int
    """Contents that no manifest named."""
    bytes: int
    """Their size together."""
    uploads: int = 0
    """Uploads in parts that nobody finished."""


class ArtifactStore(Protocol):
    """`FolderStore` is the one for a single machine, `S3Store` the one for many.

    Methods block on the disk or the network and are thread-safe: call them through
    `asyncio.to_thread`. Each may raise UnavailableError where a server keeps the bytes.
    """

    def commit(
        self,
        folder: Path,
        *,
        kind: str,
        form: str,
        made_from: Mapping[str, str] = {},
        attributes: Mapping[str, Any] = {},
    ) -> Manifest:
        """Store every regular file of `folder`; durable and visible as a whole on return.

        Raises:
            InvalidInputError: A link, a device or an unsafe file is in it; all are listed.
            DiskFullError: There is no space for it.
            CommitAbandonedError: `abandon` was called.
        """
        ...

    def abandon(self) -> None:
        """Make commits in hand, in whatever thread, end soon: the process is about to."""
        ...

    def manifest(self, digest: str) -> Manifest:
        """The manifest of an artifact.

        Raises:
            NotFoundError: No such artifact.
            CorruptArtifactError: The manifest's bytes are not what its name says.
        """
        ...

    def materialise(self, digest: str) -> Path:
        """A local folder with the artifact's files: read-only, shared, not to be changed.

        A cache may remove it an hour later; who reads it for longer holds it by
        `modelmill_registry.materialised.in_use`.

        Raises:
            NotFoundError: No such artifact.
            CorruptArtifactError: A byte of it changed since the commit.
            DiskFullError: There is no space for the folder.
        """
        ...

    def content(self, digest: str, path: str) -> bytes:
        """A small file of an artifact, whole.

        Raises:
            NotFoundError: No such artifact, or it has no such file.
            CorruptArtifactError: A byte of it changed since the commit.
        """
        ...

    def verify(self, digest: str) -> Manifest:
        """Read every byte of an artifact against its manifest; raises like `materialise`."""
        ...

    def sweep(self, older_than_seconds: float = SWEEP_SECONDS) -> SweepReport:
        """Delete contents that no manifest names and that nobody has touched for so long.

        A commit in hand is safe as long as it takes less than that, less an hour.

        Raises:
            CorruptArtifactError: A manifest cannot be read, so that nobody knows what it names;
                nothing was deleted.
        """
        ...

    def present(self, digests: Collection[str]) -> set[str]:
        """Those of `digests` of which there is an artifact."""
        ...

    def repeating(self, digests: Collection[str]) -> set[str]:
        """Artifacts of `REPEATING` that were made of one of `digests`."""
        ...

    def erase(self, digests: Collection[str]) -> None:
        """Delete artifacts at once, with all contents that no other artifact has.

        Who calls it knows that nobody needs them. One that is stopped on the way is finished by a
        call with the same digests.
        """
        ...

    def part(self, name: str) -> "PrivateStore":
        """A store within this one that shares no contents with it, nor with other parts.

        Args:
            name: "word" or "word/word", of letters, digits, "-" and "_".
        """
        ...

    def parts(self, name: str) -> list[str]:
        """Words that follow `name` in the names of parts in which something is kept."""
        ...

    def remove_parts(self, name: str) -> None:
        """Delete the part of this name and all whose names begin with it; there may be none.

        One that is stopped on the way is finished by the next.
        """
        ...


class PrivateStore(ArtifactStore, Protocol):
    """A store whose one writer knows what is still needed."""

    def keep_only(self, digests: Collection[str]) -> None:
        """Delete every other artifact and all contents that these do not name, young or not.

        Call it between commits, as their writer. One that is stopped on the way is finished by
        the next.
        """
        ...
