"""Checkpoints of a job: artifacts that are deleted when no state names them any more.

Each claim of a job (its fence) writes to a part of the store of its own, so nobody else's commit
can come to need what it deletes.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import NotFoundError

from modelmill_registry.artifact_store import ArtifactStore, PrivateStore
from modelmill_registry.manifest import Manifest


class JobCheckpoints:
    """As the holder of one claim sees them.

    Methods block like the store's, and may raise what it raises.

    Args:
        fence: Of the claim; a later claim's is greater.
    """

    def __init__(self, store: ArtifactStore, job_id: str, fence: int) -> None:
        self._store = store
        self._job_id = job_id
        self._fence = fence

    def commit(
        self,
        folder: Path,
        step: int,
        *,
        form: str,
        made_from: Mapping[str, str],
        attributes: Mapping[str, Any] = {},
    ) -> str:
        """Store a checkpoint and return its digest, which no other claim's has."""
        told = {"step": step, "job": self._job_id, "fence": self._fence}
        manifest = self._part(self._fence).commit(
            folder,
            kind="checkpoint",
            form=form,
            made_from=made_from,
            attributes={**attributes, **told},
        )
        return manifest.digest

    def manifest(self, digest: str) -> Manifest:
        """Of a checkpoint of this claim or one before; NotFoundError without one."""
        for fence in self._fences():
            try:
                return self._part(fence).manifest(digest)
            except NotFoundError:
                continue
        raise NotFoundError(f"no checkpoint {digest}")

    def materialise(self, digest: str) -> Path:
        """A local folder of it, as `ArtifactStore.materialise` gives."""
        fence = self.manifest(digest).attributes["fence"]
        return self._part(fence).materialise(digest)

    def content(self, digest: str, path: str) -> bytes:
        """A small file of it, as `ArtifactStore.content` gives."""
        fence = self.manifest(digest).attributes["fence"]
        return self._part(fence).content(digest, path)

    def keep_only(self, digests: Collection[str]) -> None:
        """Delete what the job's state names no more.

        A claim that was overtaken may call it late: what a later claim wrote is out of its reach,
        and of earlier ones' a later claim names nothing that its own last state did not name.

        Args:
            digests: Those that the last state names which this claim has written.
        """
        for fence in self._fences():
            self._part(fence).keep_only(digests)

    def _fences(self) -> list[int]:
        """Of this claim and those before that left something, the newest first."""
        fences = map(int, filter(str.isdecimal, self._store.parts(self._job_id)))
        return sorted((fence for fence in fences if fence <= self._fence), reverse=True)

    def _part(self, fence: int) -> PrivateStore:
        return self._store.part(f"{self._job_id}/{fence}")


def forget_checkpoints(store: ArtifactStore, job_id: str) -> None:
    """Delete all checkpoints of a job that will never go on from one."""
    store.remove_parts(job_id)
