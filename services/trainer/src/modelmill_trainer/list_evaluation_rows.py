"""Use case: list rows of an evaluation, filtered, from its artifact."""

import asyncio
from pathlib import Path

from modelmill_bus.kinds import EVALUATE
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.materialised import in_use
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.domain.evaluation_rows import (
    DEFAULT_PAGE,
    MAX_PAGE,
    RowFilter,
    RowPage,
    rows_page,
)
from modelmill_trainer.read_evaluation import FILES, results_folder
from modelmill_trainer.stored_records import JobReader


class ListEvaluationRows:
    """Reads `rows.jsonl` of an evaluation from a line on: what it has never changes."""

    def __init__(self, jobs: JobReader, store: ArtifactStore) -> None:
        self._jobs = jobs
        self._store = store

    async def __call__(
        self, *, tenant: str, job_id: str, after: int, limit: int, wanted: RowFilter
    ) -> RowPage:
        """The first rows behind line `after` that match.

        Args:
            limit: rows at most; 0 means 20.

        Raises:
            InvalidInputError: more than 100 rows, or they have no group of the slice.
            NotFoundError: the tenant has no such evaluation, or it has not succeeded.
            UnavailableError: the bus or the store does not answer.
        """
        if limit > MAX_PAGE:
            raise InvalidInputError(f"limit must be at most {MAX_PAGE}")
        digest = await self._jobs.result_digest(tenant=tenant, kind=EVALUATE, job_id=job_id)
        if digest is None:
            raise no_such("finished evaluation", job_id, "/v1/evaluations")
        folder = await asyncio.to_thread(results_folder, self._store, digest, job_id)
        return await asyncio.to_thread(self._read, folder, after, limit or DEFAULT_PAGE, wanted)

    @staticmethod
    def _read(folder: Path, after: int, limit: int, wanted: RowFilter) -> RowPage:
        with in_use(folder), (folder / FILES["rows"]).open("rb") as lines:
            return rows_page(lines, after, limit, wanted)
