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
from modelmill_gateway.domain.eval_rows import (
    BY_MODEL,
    BadRowsError,
    EvalRow,
    Grade,
    MissingPlaceError,
    NoGradeError,
    grade_said,
    graded,
    grading_request,
    looked_up,
    messages_of,
    read_rows,
    results_of,
)
from modelmill_gateway.evals.item_schema import BadSchemaError, ItemSchema
from modelmill_gateway.identity.credentials import DelegatedIdentity
from modelmill_gateway.ports import DataPrep

CHAT = "/v1/chat/completions"
SAMPLE, GRADE, FINISH = "sample", "grade", "finish"
ITEMS = "items.jsonl"
OK = 200


class RunEval:
    """Job handler of eval runs (`EvalRunSpec`)."""

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
                content = self._files.content(tenant=job.tenant, file_id=spec.file_id)
                async for chunk in content:
                    written.write(chunk)
            return await asyncio.to_thread(_read, path, spec.item_schema)
        except NotFoundError as error:
            raise JobFailed("INPUT_GONE", f"the rows were deleted: {error}") from error
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


Answers = Mapping[str, Mapping[str, Any]]
"""Rows of the journal by their custom ids."""
SAMPLED = ("temperature", "top_p", "seed", "max_completion_tokens")


class SampleRows:
    """Each row is answered by the model of the data source; of type jsonl it has its sample."""

    name = "sample"

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def requests(self, row: EvalRow) -> Iterator[tuple[str, dict[str, Any]]]:
        """Custom ids and bodies of chats."""
        if self._source["type"] != "completions" or row.error:
            return
        try:
            messages = self._messages(row)
        except MissingPlaceError as error:
            row.error = str(error)
            return
        sampling = self._source.get("sampling_params") or {}
        yield _sample_id(row), {**sampling, "model": self._source["model"], "messages": messages}

    def apply(self, row: EvalRow, answers: Answers) -> None:
        """Give the row its sample."""
        answer = answers.get(_sample_id(row))
        if answer is None:
            return
        row.shown = shown_sample(answer)
        row.error = row.shown["error"]["message"] if row.shown["error"] else ""
        if not row.error:
            text = row.shown["output"][0]["content"]
            row.sample = {"output_text": text, **_as_json(text)}

    def _messages(self, row: EvalRow) -> list[Any]:
        asked = self._source["input_messages"]
        if asked["type"] == "template":
            return messages_of(asked["template"], row.places)
        found = looked_up(asked["item_reference"], row.places)
        if not isinstance(found, list):
            raise MissingPlaceError(f"{asked['item_reference']} is no list of turns")
        return found


class GradeRows:
    """Each criterion says whether a row passes."""

    name = "grade"

    def __init__(self, criteria: Sequence[Mapping[str, Any]]) -> None:
        self._criteria = criteria

    def requests(self, row: EvalRow) -> Iterator[tuple[str, dict[str, Any]]]:
        """Custom ids and bodies of chats, for criteria that ask a model."""
        if row.error:
            return
        for place, criterion in enumerate(self._criteria):
            if criterion["type"] in BY_MODEL:
                try:
                    yield _grade_id(row, place), grading_request(criterion, row.places)
                except MissingPlaceError as error:
                    row.error = str(error)
                    return

    def apply(self, row: EvalRow, answers: Answers) -> None:
        """Give the row its grades, as far as there are any."""
        if row.error:
            return
        for place, criterion in enumerate(self._criteria):
            try:
                result = self._result(row, place, criterion, answers)
            except MissingPlaceError as error:
                row.error = f"{criterion['name']}: {error}"
                return
            if result is not None:
                row.results[criterion["name"]] = result

    def _result(
        self, row: EvalRow, place: int, criterion: Mapping[str, Any], answers: Answers
    ) -> dict[str, Any] | None:
        said: dict[str, Any] = {"name": criterion["name"], "type": criterion["type"]}
        if criterion["type"] not in BY_MODEL:
            grade = graded(criterion, row.places)
            return {**said, "passed": grade.passed, "score": grade.score}
        answer = answers.get(_grade_id(row, place))
        if answer is None:
            return None
        sample = shown_sample(answer)
        try:
            grade = _grade_in(sample, criterion)
        except NoGradeError as error:
            row.error, grade = f"{criterion['name']}: {error}", Grade(passed=False, score=0.0)
        return {**said, "passed": grade.passed, "score": grade.score, "sample": sample}


def _grade_in(sample: Mapping[str, Any], criterion: Mapping[str, Any]) -> Grade:
    if sample["error"]:
        raise NoGradeError(sample["error"]["message"])
    return grade_said(criterion, sample["output"][0]["content"])


def shown_sample(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and answered, as OpenAI's API shows a sample."""
    asked, body = answer["asked"], answer["body"] or {}
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    failure = body.get("error")
    usage = body.get("usage") or {}
    counted = {
        each: usage.get(each, 0) for each in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {
        "error": {"code": failure["code"], "message": failure["message"]} if failure else None,
        "finish_reason": choice.get("finish_reason"),
        "input": asked["messages"],
        "model": asked["model"],
        "output": []
        if failure
        else [{"role": "assistant", "content": message.get("content") or ""}],
        "usage": None if failure else {**counted, "cached_tokens": 0},
        **{name: asked.get(name) for name in SAMPLED},
    }


def _as_json(text: str) -> dict[str, Any]:
    """What templates may name as `sample.output_json`; nothing when the text is none."""
    try:
        return {"output_json": json.loads(text)}
    except (ValueError, RecursionError):
        return {}


def _sample_id(row: EvalRow) -> str:
    return f"sample-{row.number}"


def _grade_id(row: EvalRow, place: int) -> str:
    return f"grade-{row.number}-{place}"
