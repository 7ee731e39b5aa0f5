"""Jobs of every kind: shown, followed and steered."""

from collections.abc import Sequence
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_CANCEL,
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JobDesiredState,
)
from modelmill_bus.kinds import KINDS
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.nearest import no_such
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.http.job_event_replies import JobEventReplies
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    Handlers,
    caller_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.views.job_views import job_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.ordering.control_job import ControlJob

ACTIONS = {
    "cancel": JOB_DESIRED_STATE_CANCEL,
    "pause": JOB_DESIRED_STATE_PAUSE,
    "resume": JOB_DESIRED_STATE_RUN,
}
"""By the last part of the path that asks for it."""


class Jobs(Protocol):
    """The list of jobs, newest first; raises NotFoundError for another tenant's."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...
    def list(self, tenant: str, kind: str | None = None) -> Sequence[JobRecord]: ...


class JobRoutes:
    """/v1/jobs."""

    def __init__(self, control_job: ControlJob, events: JobEventReplies, jobs: Jobs) -> None:
        self._control_job = control_job
        self._events = events
        self._jobs = jobs

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "list_jobs": self._list,
            "get_job": self._get,
            "list_job_events": self._list_events,
            **{
                f"{name}_job": self._steer(desired_state) for name, desired_state in ACTIONS.items()
            },
        }

    async def _list(self, request: Request) -> Response:
        records = self._jobs.list(caller_of(request).tenant, _kind_of(request))
        page = page_of(records, page_request_of(request), lambda job: job.requested.job_id)
        return json_response(page_view(page, job_view))

    async def _get(self, request: Request) -> Response:
        return json_response(job_view(job_of(request, self._jobs)))

    async def _list_events(self, request: Request) -> Response:
        return await self._events.reply(request, job_of(request, self._jobs), "job.event")

    def _steer(self, desired_state: JobDesiredState.ValueType) -> Handler:
        async def handler(request: Request) -> Response:
            job_id = request.path_params["job_id"]
            record = await self._control_job(job_id, desired_state, caller_of(request))
            return json_response(job_view(record))

        return handler


def job_of(request: Request, jobs: Jobs, kind: str | None = None, what: str = "job") -> JobRecord:
    """The job that the path names, of `kind` when that is given.

    Raises:
        NotFoundError: no such job, another tenant's, or of another kind.
    """
    job_id = request.path_params["job_id"]
    record = jobs.get(caller_of(request).tenant, job_id)
    if kind not in (None, record.requested.kind):
        raise no_such(what, job_id, f"/v1/jobs?kind={kind}")
    return record


def _kind_of(request: Request) -> str | None:
    kind = request.query_params.get("kind")
    if kind is not None and kind not in KINDS:
        raise BadRequestError(f"kind must be one of {', '.join(KINDS)}", param="kind")
    return kind
