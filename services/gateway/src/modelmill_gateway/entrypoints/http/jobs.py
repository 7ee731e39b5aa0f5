"""Jobs: ordered, shown, steered, and told of, in pages or as server-sent events while they run."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JobDesiredState,
    JobStatus,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.kinds import EVALUATE, KINDS, OPTIMIZE, job_id, prefix_of
from modelmill_job_index.index import JobEvent as IndexedEvent
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.errors import DomainError, InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import no_such
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import Page as Items
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import KeyEndedError, RequestContext
from modelmill_gateway.entrypoints.http.errors import error_body
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    caller_of,
    context_of,
    idempotency_key_of,
    page,
    report,
    shown_page,
)
from modelmill_gateway.entrypoints.schemas.base import Page, ResponseModel
from modelmill_gateway.entrypoints.schemas.evaluation_rows import EvaluationRow
from modelmill_gateway.entrypoints.schemas.evaluations import Evaluation, EvaluationBody
from modelmill_gateway.entrypoints.schemas.form_candidates import FormComparisonReport
from modelmill_gateway.entrypoints.schemas.jobs import (
    Job,
    JobEvent,
    Optimization,
    OptimizationBody,
)
from modelmill_gateway.entrypoints.schemas.order_estimates import (
    EvaluationEstimate,
    OptimizationEstimate,
)
from modelmill_gateway.entrypoints.schemas.parsing import JobBody, read_body
from modelmill_gateway.entrypoints.schemas.queries import (
    EvaluationReportQuery,
    EvaluationRowsQuery,
    JobQuery,
    PageQuery,
)
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.estimate_build import EstimateBuild
from modelmill_gateway.ordering.estimate_evaluation import EstimateEvaluation
from modelmill_gateway.ordering.order_job import CreateJob
from modelmill_gateway.ordering.watch_job import SealedEventIds, WatchJob
from modelmill_gateway.ports import Trainer
from modelmill_gateway.routing.compare_forms import CompareForms

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
REFUSAL_SECONDS = 1.0
"""How long a stream that goes on after an id may wait for its headers."""
HEARTBEAT = b": alive\n\n"
"""A comment, so that nothing on the way takes a quiet stream for a dead one."""
RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a client whose stream broke comes back with its Last-Event-ID."""


class JobEventReplies:
    """Responses with a job's events: a page, or a stream of server-sent events.

    Args:
        stopping: set when the process is to end; streams then end at once, and their clients come
            back to another replica.
        heartbeat_seconds: how long a stream may be quiet.
    """

    def __init__(
        self,
        watch_job: WatchJob,
        ids: SealedEventIds,
        stopping: asyncio.Event,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._watch_job = watch_job
        self._ids = ids
        self._stopping = stopping
        self._heartbeat_seconds = heartbeat_seconds

    async def reply(self, request: Request, job: JobRecord, kind: str) -> Response | Page[JobEvent]:
        """A stream for who accepts one, else a page, newest first.

        Args:
            kind: what the events are called.

        Raises:
            BadRequestError: there is no such page.
            InvalidInputError: the id after which to go on is none of ours.
        """
        if EVENT_STREAM in request.headers.get("accept", ""):
            return await self._stream(request, job, kind)
        job_id, wanted = job.requested.job_id, PageQuery.of(request.query_params).page
        try:
            wanted = replace(wanted, after=self._ids.unseal(job_id, wanted.after))
        except InvalidInputError as error:
            raise BadRequestError(error.errors, param="after") from error
        events = await self._watch_job.all_events(job)
        page = page_of(events[::-1], wanted, lambda event: event.id)
        return shown_page(page, lambda event: self._shown(job_id, event, kind))

    def _shown(self, job_id: str, event: IndexedEvent, kind: str) -> JobEvent:
        return JobEvent.of_event(event, kind, self._ids.seal(job_id, event.id))

    async def all_events(self, job: JobRecord) -> Sequence[IndexedEvent]:
        """What is kept of a job's events, oldest first."""
        return await self._watch_job.all_events(job)

    async def _stream(self, request: Request, job: JobRecord, kind: str) -> Response:
        job_id = job.requested.job_id
        shown = request.headers.get("last-event-id") or request.query_params.get("after")
        after = self._ids.unseal(job_id, shown) if shown else None
        context = context_of(request.scope)
        events = self._watch_job(context.caller, job_id, after)
        first = asyncio.ensure_future(anext(events, None))
        # The first event of a job may take hours; what is wrong with an id is found out sooner.
        await asyncio.wait((first,), timeout=REFUSAL_SECONDS if after else 0)
        if first.done() and first.result() is None:
            # Browsers come back after every end of a stream; this status is what stops them.
            return Response(status_code=204)
        return StreamingResponse(
            self._lines(first, events, (job_id, kind), context),
            media_type=EVENT_STREAM,
            headers={"cache-control": "no-store"},
        )

    async def _lines(
        self,
        first: "asyncio.Future[IndexedEvent | None]",
        events: AsyncIterator[IndexedEvent],
        shown_as: tuple[str, str],
        context: RequestContext,
    ) -> AsyncGenerator[bytes]:
        """The stream; its last event is the job's last, unless the process ends before."""
        step = first
        stopping = asyncio.ensure_future(self._stopping.wait())
        in_hand = context.in_hand
        key_end = asyncio.Future() if in_hand is None else in_hand.ended()
        try:
            yield RETRY
            while True:
                await asyncio.wait(
                    (step, stopping, key_end),
                    timeout=self._heartbeat_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if key_end.done():
                    raise KeyEndedError
                if step.done():
                    event = step.result()
                    if event is None:
                        return
                    shown = self._shown(shown_as[0], event, shown_as[1])
                    yield sse_event(shown.id, shown.as_dict())
                    step = asyncio.ensure_future(anext(events, None))
                elif stopping.done():
                    return
                else:
                    yield HEARTBEAT
        except DomainError as error:
            yield b"event: error\ndata: " + error_body(error, context.request_id) + b"\n\n"
        finally:
            stopping.cancel()
            step.cancel()


def sse_event(event_id: str, fields: dict[str, Any]) -> bytes:
    """One event. ASCII only: some clients split lines at characters like U+2028."""
    return f"id: {event_id}\ndata: {json.dumps(fields)}\n\n".encode()


class JobsOfKind:
    """Jobs of one kind, or of all: listed, shown and controlled alike.

    Args:
        kind: None for all.
        what: what they are called where there is none.
        model: what one is shown as.
    """

    def __init__(
        self,
        jobs: JobIndex,
        control_job: ControlJob,
        kind: str | None,
        what: str,
        model: Callable[[JobRecord], ResponseModel],
    ) -> None:
        self._jobs = jobs
        self._control_job = control_job
        self._kind = kind
        self._what = what
        self._model = model

    def record(self, request: Request) -> JobRecord:
        """The job that the path names.

        Raises:
            NotFoundError: no such job, another tenant's, or of another kind.
        """
        job_id = request.path_params["job_id"]
        if self._kind is None:
            return self._jobs.get(caller_of(request).tenant, job_id)
        with suppress(NotFoundError):
            record = self._jobs.get(caller_of(request).tenant, job_id)
            if record.requested.kind == self._kind:
                return record
        raise no_such(self._what, job_id, f"/v1/jobs?kind={self._kind}")

    async def get(self, request: Request) -> ResponseModel:
        """The job that the path names."""
        return self._model(self.record(request))

    async def list(self, request: Request) -> Page[Any]:
        """All of the tenant's."""
        return self.page(request, self._jobs.list(caller_of(request).tenant, self._kind))

    def page(self, request: Request, records: Sequence[JobRecord]) -> Page[Any]:
        """Some jobs in a page."""
        return page(request, records, self._model, lambda job: job.requested.job_id)

    def control(self, desired_state: JobDesiredState.ValueType) -> Handler:
        """A handler that asks for a state."""

        async def handler(request: Request) -> ResponseModel:
            job_id, caller = self.record(request).requested.job_id, caller_of(request)
            return self._model(await self._control_job(job_id, desired_state, caller))

        return handler


def creating(
    create_job: CreateJob[Any], kind: type[JobBody], model: Callable[[JobRecord], ResponseModel]
) -> Handler:
    """A handler that orders a job, and shows it by `model`."""

    async def handler(request: Request) -> ResponseModel:
        body = await read_body(request, kind)
        key = idempotency_key_of(request)
        record = await create_job(body.spec(), caller_of(request), key, body.job_priority)
        return model(record)

    return handler


def estimating(
    estimate: Callable[[Any, Caller], Awaitable[Any]],
    kind: type[JobBody],
    model: Callable[[Any], ResponseModel],
) -> Handler:
    """A handler that shows by `model` what a job would take; nothing is ordered."""

    async def handler(request: Request) -> ResponseModel:
        body = await read_body(request, kind)
        return model(await estimate(body.spec(), caller_of(request)))

    return handler


class JobRoutes:
    """/v1/jobs."""

    def __init__(self, control_job: ControlJob, events: JobEventReplies, jobs: JobIndex) -> None:
        self._events = events
        self._jobs = jobs
        self._all = JobsOfKind(jobs, control_job, None, "job", Job.of_record)
        self.get_job = self._all.get
        self.cancel_job = self._all.control(JOB_DESIRED_STATE_CANCEL)
        self.pause_job = self._all.control(JOB_DESIRED_STATE_PAUSE)
        self.resume_job = self._all.control(JOB_DESIRED_STATE_RUN)

    async def list_jobs(self, request: Request) -> Page[Any]:
        query, tenant = JobQuery.of(request.query_params), caller_of(request).tenant
        wanted = {JobStatus.Value(f"JOB_STATUS_{name.upper()}") for name in query.status}
        found = self._jobs.list(tenant, query.kind, wanted or None)
        if key := query.idempotency_key:
            ids = {
                job_id(prefix_of(kind), tenant=tenant, kind=kind, idempotency_key=key)
                for kind in KINDS
            }
            found = [record for record in found if record.requested.job_id in ids]
        return self._all.page(request, found)

    async def list_job_events(self, request: Request) -> Response | ResponseModel:
        return await self._events.reply(request, self._all.record(request), "job.event")


class OptimizationRoutes:
    """/v1/optimizations: smaller, faster forms of a model, scored before they are offered."""

    def __init__(
        self,
        create_job: CreateJob[BuildSpec],
        estimate: EstimateBuild,
        control_job: ControlJob,
        jobs: JobIndex,
        compare_forms: CompareForms,
    ) -> None:
        self._compare_forms = compare_forms
        builds = JobsOfKind(jobs, control_job, OPTIMIZE, "optimization", Optimization.of_record)
        self.create_optimization = creating(create_job, OptimizationBody, Optimization.of_record)
        self.estimate_optimization = estimating(
            estimate, OptimizationBody, OptimizationEstimate.of_estimate
        )
        self.list_optimizations = builds.list
        self.get_optimization = builds.get
        self.cancel_optimization = builds.control(JOB_DESIRED_STATE_CANCEL)

    async def compare_candidates(self, request: Request) -> FormComparisonReport:
        tenant, job_id = caller_of(request).tenant, request.path_params["job_id"]
        return FormComparisonReport.of_comparison(self._compare_forms.of_search(tenant, job_id))


class EvaluationRoutes:
    """/v1/evaluations: how good a model is, and what the figures come from."""

    def __init__(
        self,
        create_job: CreateJob[EvaluationSpec],
        estimate: EstimateEvaluation,
        control_job: ControlJob,
        jobs: JobIndex,
        trainer: Trainer,
    ) -> None:
        self._trainer = trainer
        self._jobs = JobsOfKind(jobs, control_job, EVALUATE, "evaluation", Evaluation.of_record)
        self.create_evaluation = creating(create_job, EvaluationBody, Evaluation.of_record)
        self.estimate_evaluation = estimating(
            estimate, EvaluationBody, EvaluationEstimate.of_estimate
        )
        self.list_evaluations = self._jobs.list
        self.get_evaluation = self._jobs.get
        self.cancel_evaluation = self._jobs.control(JOB_DESIRED_STATE_CANCEL)

    async def get_evaluation_report(self, request: Request) -> Response:
        wanted = EvaluationReportQuery.of(request.query_params).format
        job_id, tenant = self._jobs.record(request).requested.job_id, caller_of(request).tenant
        chunks = self._trainer.read_evaluation(tenant=tenant, job_id=job_id, wanted=wanted)
        return await report(chunks, job_id, wanted)

    async def list_evaluation_rows(self, request: Request) -> Page[EvaluationRow]:
        query = EvaluationRowsQuery.of(request.query_params)
        found = await self._trainer.list_evaluation_rows(
            tenant=caller_of(request).tenant,
            job_id=self._jobs.record(request).requested.job_id,
            after=query.line,
            limit=query.limit,
            wanted=query.filter,
        )
        return shown_page(Items(found.rows, found.has_more), EvaluationRow.of_row)
