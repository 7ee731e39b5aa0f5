"""Use case: download a result file of an evaluation, from its artifact."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from modelmill_bus.kinds import EVALUATE
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.stored_records import JobReader

FILES = {"json": "results.json", "rows": "rows.jsonl", "html": "report.html"}
"""File by requested format."""
CHUNK_BYTES = 64 * 1024


class ReadEvaluation:
    """Streams one file of an evaluation's artifact."""

    def __init__(self, jobs: JobReader, store: ArtifactStore) -> None:
        self._jobs = jobs
        self._store = store

    async def __call__(self, *, tenant: str, job_id: str, wanted: str) -> AsyncIterator[bytes]:
        """The file's bytes, in chunks.

        Raises:
            InvalidInputError: the format is unknown.
            NotFoundError: the tenant has no such evaluation, or it has not succeeded.
            UnavailableError: the bus or the store does not answer.
        """
        if wanted not in FILES:
            raise InvalidInputError(f"format must be {', '.join(FILES)}, got {wanted[:40]!r}")
        digest = await self._jobs.result_digest(tenant=tenant, kind=EVALUATE, job_id=job_id)
        if digest is None:
            raise no_such("finished evaluation", job_id, "/v1/evaluations")
        folder = await asyncio.to_thread(results_folder, self._store, digest, job_id)
        with in_use(folder):
            async for chunk in _chunks(folder / FILES[wanted]):
                yield chunk


def results_folder(store: ArtifactStore, digest: str, job_id: str) -> Path:
    """A local folder of an evaluation's files.

    Raises:
        NotFoundError: they were erased with the rows that they repeat.
        UnavailableError: the store does not answer.
    """
    try:
        return store.materialise(digest)
    except NotFoundError:
        raise NotFoundError(
            f"the rows of evaluation {job_id!r} were erased with their dataset or file. Its scores"
            f" are still in GET /v1/jobs/{job_id}"
        ) from None


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
