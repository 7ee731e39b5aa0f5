"""Run an eval: sample the rows, grade the samples, and keep what came of each row."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill.gateway.v1.gateway_jobs_pb2 import EvalRunSpec
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed, Preempted
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.batches.answer_many import (
    ALL,
    EXPIRED,
    STOPPED,
    AnswerMany,
    BatchRequest,
    BatchResponse,
    ManyRequests,
)
from modelmill_gateway.batches.batch_journal import BatchJournal
from modelmill_gateway.domain.eval_rows import BadRowsError, EvalRow, read_rows, results_of
from modelmill_gateway.evals.grade_rows import GradeRows, SampleRows
from modelmill_gateway.evals.item_schema import BadSchemaError, ItemSchema
from modelmill_gateway.identity.credentials import DelegatedIdentity
from modelmill_gateway.ports import DataPrep

CHAT = "/v1/chat/completions"
SAMPLE, GRADE, FINISH = "sample", "grade", "finish"
ITEMS = "items.jsonl"
OK = 200


class RunEval:
    """Works on jobs of `EvalRunSpec`."""

    def __init__(
        self,
        files: DataPrep,
        store: ArtifactStore,
        answer_many: AnswerMany,
        standing: DelegatedIdentity,
    ) -> None:
        self._files = files
        self._store = store
        self._answer_many = answer_many
        self._standing = standing

    async def __call__(self, job: ActiveJob, spec: EvalRunSpec) -> tuple[str, dict[str, Any]]:
        """Digest of the graded rows, and what is said of all of them.

        Raises:
            JobFailed: the file is wrong or gone, its window is over, or its key was revoked.
            Preempted: it is to stop; what was answered is saved, and of a cancelled one graded.
        """
        rows = await self._rows(job, spec)
        criteria = json.loads(spec.testing_criteria)
        journal = BatchJournal(job, self._store, "eval-run")
        try:
            await asyncio.to_thread(journal.open)
            run = _Run(job, spec, rows, journal)
            why = ALL
            for phase in (SampleRows(json.loads(spec.data_source)), GradeRows(criteria)):
                await run.apply_answers(phase)
                if why == ALL:
                    why = await self._answered(run, phase)
                    await run.apply_answers(phase)
            return await self._finish(run, criteria, why)
        finally:
            journal.close()

    async def _rows(self, job: ActiveJob, spec: EvalRunSpec) -> list[EvalRow]:
        path = job.folder / "rows.jsonl"
        try:
            with path.open("wb") as written:
                content = self._files.content(
                    tenant=job.tenant, file_id=spec.file_id, include_deleted=True
                )
                async for chunk in content:
                    written.write(chunk)
            return await asyncio.to_thread(_read, path, spec.item_schema)
        except NotFoundError as error:
            raise JobFailed("INPUT_GONE", f"the rows are not there any more: {error}") from error
        except BadRowsError as error:
            raise JobFailed("INVALID_ROWS", str(error), "Mend the file and run again.") from error
        except BadSchemaError as error:
            # Of an eval that was made before schemas were held to.
            raise JobFailed("INVALID_SCHEMA", f"item_schema: {error}") from error

    async def _answered(self, run: "_Run", phase: "SampleRows | GradeRows") -> str:
        job, spec = run.job, run.spec
        asked_at: float = job.request.requested_at.ToNanoseconds() / 1e9
        many = ManyRequests(
            requests=run.requests(phase),
            caller=lambda: self._standing.caller_of(spec.authority, job.tenant),
            until=asked_at + spec.window_seconds,
            row_of=run.row_of,
            summary=run.counted,
            report=lambda: run.report(phase.name),
        )
        return await self._answer_many(job, run.journal, many)

    async def _finish(
        self, run: "_Run", criteria: Sequence[Mapping[str, Any]], why: str
    ) -> tuple[str, dict[str, Any]]:
        job = run.job
        await job.report(FINISH)
        if why != ALL:
            await run.journal.save(run.counted())
        if why == STOPPED and not job.is_cancelled:
            raise Preempted
        run.close(criteria)
        digest = await self._kept(run)
        summary = {**results_of(run.rows, criteria), "items": digest}
        if why == ALL:
            return digest, summary
        await job.save_summary(summary)
        if why == STOPPED:
            raise Preempted
        if why == EXPIRED:
            raise JobFailed("EXPIRED", "the run's window was over before the last answer")
        raise JobFailed("KEY_REVOKED", "the API key that ordered it may not ask any more")

    async def _kept(self, run: "_Run") -> str:
        folder = run.job.folder / "graded"

        def write() -> str:
            folder.mkdir(exist_ok=True)
            with (folder / ITEMS).open("w", encoding="utf-8") as items:
                for row in run.rows:
                    items.write(json.dumps(item_of(row), ensure_ascii=False) + "\n")
            return self._store.commit(folder, kind="eval-run", form="jsonl").digest

        return await asyncio.to_thread(write)


class _Run:
    """One run while it is answered."""

    def __init__(
        self, job: ActiveJob, spec: EvalRunSpec, rows: list[EvalRow], journal: BatchJournal
    ) -> None:
        self.job, self.spec, self.rows, self.journal = job, spec, rows, journal

    def requests(self, phase: "SampleRows | GradeRows") -> Iterator[BatchRequest]:
        """Those of a phase that are not answered yet."""
        for row in self.rows:
            for custom_id, body in phase.requests(row):
                if custom_id not in self.journal.done:
                    yield BatchRequest(custom_id, CHAT, json.dumps(body).encode())

    def row_of(self, request: BatchRequest, answer: BatchResponse) -> tuple[str, dict[str, Any]]:
        """As it is kept: the request, too, of which a sample shows its turns."""
        asked = json.loads(request.body)
        row = {"custom_id": request.custom_id, "asked": asked, "body": answer.body}
        return ("output" if answer.status == OK else "error"), row

    async def apply_answers(self, phase: "SampleRows | GradeRows") -> None:
        """Give the rows what is known of their answers."""

        def apply() -> None:
            answers = self.journal.read()
            for row in self.rows:
                phase.apply(row, answers)

        await asyncio.to_thread(apply)

    def close(self, criteria: Sequence[Mapping[str, Any]]) -> None:
        """What the run did not come to is no pass."""
        for row in self.rows:
            if not row.error and len(row.results) < len(criteria):
                row.error = "the run ended before this was graded"

    def counted(self) -> dict[str, Any]:
        """While it runs only how many there are."""
        return {"result_counts": {"total": len(self.rows), "passed": 0, "failed": 0, "errored": 0}}

    async def report(self, phase: str) -> None:
        """Report how far it is."""
        await self.job.report(phase, done=len(self.journal.done), unit="answer")


def item_of(row: EvalRow) -> dict[str, Any]:
    """A row as it is kept."""
    return {
        "number": row.number,
        "at": int(time.time()),
        "item": row.item,
        "sample": row.shown,
        "results": list(row.results.values()),
        "status": row.status,
        "error": row.error,
    }


def _read(path: Path, item_schema: str) -> list[EvalRow]:
    schema = ItemSchema(json.loads(item_schema)) if item_schema else None
    with path.open("rb") as lines:
        return read_rows(lines, schema.wrong if schema else None)
