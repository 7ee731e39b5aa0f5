"""Answer a file of requests, each by its own route and as its caller, however often we die."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec
from modelmill_bus.kinds import derived_id
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed, Preempted
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_service_kit.errors import AlreadyExistsError, NotFoundError

from modelmill_gateway.batches.answer_many import (
    ALL,
    EXPIRED,
    STOPPED,
    AnswerMany,
    BatchRequest,
    BatchResponse,
    ManyRequests,
)
from modelmill_gateway.batches.batch_journal import KINDS, BatchJournal
from modelmill_gateway.domain.batch_lines import BatchLine, ReadLines, body_of, read_lines
from modelmill_gateway.identity.credentials import DelegatedIdentity
from modelmill_gateway.ports import DataPrep

PURPOSE = "batch_output"
CHUNK_BYTES = 1 << 20


async def keep_files(
    files: DataPrep, journal: BatchJournal, *, tenant: str, job_id: str
) -> dict[str, str]:
    """Ids of files with the rows of a saved journal, by their kind; none for a kind without rows.

    An id is made of the job and of the rows: an attempt that finds no more of them than one before
    it, which died behind this, finds its files.

    Raises:
        UnavailableError: they do not answer.
    """
    kept = {}
    for kind in KINDS:
        if not journal.counts[kind]:
            continue
        path = journal.path(kind)
        file_id = derived_id("file", job_id, kind, await asyncio.to_thread(_digest, path))
        # There is one of this id when an attempt died behind this.
        with suppress(AlreadyExistsError):
            await files.upload(
                _chunks(path),
                tenant=tenant,
                filename=f"{job_id}_{kind}.jsonl",
                purpose=PURPOSE,
                file_id=file_id,
            )
        kept[kind] = file_id
    return kept


def _digest(path: Path) -> str:
    with path.open("rb") as rows:
        return hashlib.file_digest(rows, "sha256").hexdigest()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as rows:
        while chunk := rows.read(CHUNK_BYTES):
            yield chunk


VALIDATE, ANSWER, FINISH = "validate", "answer", "finish"
"""Phases that the progress of a batch names."""
BATCH_EXPIRED = "BATCH_EXPIRED"
OK = 200


class AnswerBatch:
    """Job handler of batches (`BatchSpec`).

    Args:
        max_bytes: that a request may have, as over HTTP.
    """

    def __init__(
        self,
        files: DataPrep,
        store: ArtifactStore,
        answer_many: AnswerMany,
        standing: DelegatedIdentity,
        max_bytes: int,
    ) -> None:
        self._files = files
        self._store = store
        self._answer_many = answer_many
        self._standing = standing
        self._max_bytes = max_bytes

    async def __call__(self, job: ActiveJob, spec: BatchSpec) -> dict[str, Any]:
        """What came of it: counts, and ids of files.

        Raises:
            JobFailed: the file is wrong or gone, its window is over, or its key was revoked.
            Preempted: it is to stop; what was answered is saved, and of a cancelled one kept.
        """
        path, read = await self._read(job, spec)
        journal = BatchJournal(job, self._store, "batch")
        try:
            await asyncio.to_thread(journal.open)
            work = _Work(job, spec, path, read.lines, journal)
            await work.report()
            why = await self._answer_many(job, journal, self._many(work))
            return await self._finish(work, why)
        finally:
            journal.close()

    async def _read(self, job: ActiveJob, spec: BatchSpec) -> tuple[Path, ReadLines]:
        await job.report(VALIDATE)
        path = job.folder / "input.jsonl"
        try:
            with path.open("wb") as input_file:
                content = self._files.content(tenant=job.tenant, file_id=spec.input_file_id)
                async for chunk in content:
                    input_file.write(chunk)
        except NotFoundError as error:
            raise JobFailed("INPUT_GONE", f"the input file was deleted: {error}") from error
        read = await asyncio.to_thread(_read_lines, path, spec.endpoint, self._max_bytes)
        if read.wrong:
            errors = [asdict(error) for error in read.errors]
            await job.save_summary({"errors": errors, "wrong": read.wrong})
            raise JobFailed(
                "INVALID_LINES",
                f"errors in the input: {read.wrong:,}; nothing was answered",
                "Mend what `errors` names and order the batch again.",
            )
        return path, read

    def _many(self, work: "_Work") -> ManyRequests:
        job, authority = work.job, work.spec.authority
        asked_at: float = job.request.requested_at.ToNanoseconds() / 1e9
        return ManyRequests(
            requests=work.requests(),
            caller=lambda: self._standing.caller_of(authority, job.tenant),
            until=asked_at + work.spec.window_seconds,
            row_of=work.row_of,
            summary=work.summary,
            report=work.report,
        )

    async def _finish(self, work: "_Work", why: str) -> dict[str, Any]:
        """Keep what there is, and end as it has to end."""
        job, journal = work.job, work.journal
        if why == EXPIRED:
            work.let_expire()
        await job.report(FINISH, done=len(journal.done), total=len(work.lines), unit="line")
        await journal.save(work.summary())
        if why == STOPPED and not job.is_cancelled:
            raise Preempted
        kept = await keep_files(self._files, journal, tenant=job.tenant, job_id=job.job_id)
        summary = work.summary() | {f"{kind}_file_id": file_id for kind, file_id in kept.items()}
        if why == ALL:
            return summary
        await job.save_summary(summary)
        if why == STOPPED:
            raise Preempted
        if why == EXPIRED:
            message = f"the window of {work.spec.window_seconds} s was over before the last answer"
            raise JobFailed(BATCH_EXPIRED, message, "Order what is missing again.")
        message = "the API key that ordered it may not ask any more"
        raise JobFailed("KEY_REVOKED", message, "Order what is missing with another key.")


class _Work:
    """One batch while it is answered."""

    def __init__(
        self,
        job: ActiveJob,
        spec: BatchSpec,
        path: Path,
        lines: list[BatchLine],
        journal: BatchJournal,
    ) -> None:
        self.job, self.spec, self.lines, self.journal = job, spec, lines, journal
        self._path = path

    def requests(self) -> Iterator[BatchRequest]:
        """Those that are not answered yet, in the order of the file."""
        with self._path.open("rb") as rows:
            for line in self.lines:
                if line.custom_id not in self.journal.done:
                    rows.seek(line.start)
                    body = body_of(rows.read(line.length))
                    yield BatchRequest(line.custom_id, self.spec.endpoint, body)

    def row_of(self, request: BatchRequest, answer: BatchResponse) -> tuple[str, dict[str, Any]]:
        """A line of the output, or of the errors."""
        response = {
            "status_code": answer.status,
            "request_id": answer.request_id,
            "body": answer.body,
        }
        row = {**self._row(request.custom_id), "response": response, "error": None}
        return ("output" if answer.status == OK else "error"), row

    def let_expire(self) -> None:
        """What is left is told in the errors."""
        error = {"code": "batch_expired", "message": "the batch's window was over before this"}
        for line in self.lines:
            if line.custom_id not in self.journal.done:
                row = {**self._row(line.custom_id), "response": None, "error": error}
                self.journal.add(line.custom_id, "error", row)

    def summary(self) -> dict[str, Any]:
        """Counts."""
        counts = self.journal.counts
        total = len(self.lines)
        return {"total": total, "completed": counts["output"], "failed": counts["error"]}

    async def report(self) -> None:
        """Report how far it is."""
        done, counts = len(self.journal.done), self.journal.counts
        metrics = {"completed": float(counts["output"]), "failed": float(counts["error"])}
        await self.job.report(
            ANSWER, done=done, total=len(self.lines), unit="line", metrics=metrics
        )

    def _row(self, custom_id: str) -> dict[str, Any]:
        return {"id": derived_id("batch_req", self.job.job_id, custom_id), "custom_id": custom_id}


def _read_lines(path: Path, endpoint: str, max_bytes: int) -> ReadLines:
    with path.open("rb") as rows:
        return read_lines(rows, endpoint, max_bytes)
