"""What happened to a job: a page of it, or all of it as server-sent events while it happens."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from modelmill_job_index.index import JobEvent as IndexedEvent
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import DomainError, InvalidInputError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.domain.requests_in_hand import KeyEndedError
from modelmill_gateway.entrypoints.http.errors import error_body
from modelmill_gateway.entrypoints.http.requests import context_of, shown_page
from modelmill_gateway.entrypoints.schemas.base import Page
from modelmill_gateway.entrypoints.schemas.jobs import JobEvent
from modelmill_gateway.entrypoints.schemas.queries import PageQuery
from modelmill_gateway.ordering.watch_job import EventIds, WatchJob

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
REFUSAL_SECONDS = 1.0
"""How long a stream that goes on after an id may wait for its headers."""
HEARTBEAT = b": alive\n\n"
"""A comment, so that nothing on the way takes a quiet stream for a dead one."""
RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a client whose stream broke comes back with its Last-Event-ID."""


class JobEventReplies:
    """Answers for both paths that tell of a job's events.

    Args:
        stopping: set when the process is to end; streams then end at once, and their clients come
            back to another replica.
        heartbeat_seconds: how long a stream may be quiet.
    """

    def __init__(
        self,
        watch_job: WatchJob,
        ids: EventIds,
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
