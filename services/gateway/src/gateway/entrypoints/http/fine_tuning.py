"""Training jobs, as OpenAI's clients order, read and steer them."""

from jobs.kinds import TRAIN
from jobs.ledger import JobRecord
from modelmill.jobs.v1.job_pb2 import JobWish
from service_kit.errors import NotFoundError
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.errors import unsupported
from gateway.domain.pages import page_of
from gateway.entrypoints.bodies.fine_tuning_body import FineTuningBody, order_from
from gateway.entrypoints.bodies.parsing import read_body
from gateway.entrypoints.http.job_event_replies import JobEventReplies
from gateway.entrypoints.http.jobs import WISHES, Jobs, job_of
from gateway.entrypoints.http.requests import (
    Handler,
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from gateway.entrypoints.views.checkpoint_views import checkpoint_views
from gateway.entrypoints.views.job_views import View, fine_tuning_view
from gateway.entrypoints.views.pages import page_view
from gateway.ordering.control_job import ControlJob
from gateway.ordering.create_fine_tuning_job import CreateFineTuningJob

WHAT = "fine-tuning job"


class FineTuningRoutes:
    """/v1/fine_tuning/jobs."""

    def __init__(
        self,
        create_fine_tuning_job: CreateFineTuningJob,
        control_job: ControlJob,
        events: JobEventReplies,
        jobs: Jobs,
    ) -> None:
        self._create_fine_tuning_job = create_fine_tuning_job
        self._control_job = control_job
        self._events = events
        self._jobs = jobs

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_fine_tuning": self._post,
            "list_fine_tuning": self._list,
            "get_fine_tuning": self._get,
            "list_fine_tuning_events": self._list_events,
            "list_fine_tuning_checkpoints": self._list_checkpoints,
            **{f"{name}_fine_tuning": self._steer(wish) for name, wish in WISHES.items()},
        }

    async def _post(self, request: Request) -> Response:
        order = order_from(await read_body(request, FineTuningBody))
        caller = caller_of(request)
        record = await self._create_fine_tuning_job(order, caller, idempotency_key_of(request))
        return json_response(self._training(record))

    async def _list(self, request: Request) -> Response:
        if any(name.startswith("metadata") for name in request.query_params):
            raise unsupported("metadata")
        records = self._jobs.list(caller_of(request).tenant, TRAIN)
        page = page_of(records, page_request_of(request), lambda job: job.requested.job_id)
        return json_response(page_view(page, self._training))

    async def _get(self, request: Request) -> Response:
        return json_response(self._training(job_of(request, self._jobs, TRAIN, WHAT)))

    async def _list_events(self, request: Request) -> Response:
        job = job_of(request, self._jobs, TRAIN, WHAT)
        return await self._events.reply(request, job, "fine_tuning.job.event")

    async def _list_checkpoints(self, request: Request) -> Response:
        job = job_of(request, self._jobs, TRAIN, WHAT)
        saved = checkpoint_views(job, await self._events.all_events(job))
        page = page_of(saved, page_request_of(request), lambda view: str(view["id"]))
        return json_response(page_view(page, lambda view: view))

    def _steer(self, wish: JobWish.ValueType) -> Handler:
        async def handler(request: Request) -> Response:
            job = job_of(request, self._jobs, TRAIN, WHAT)
            caller = caller_of(request)
            record = await self._control_job(job.requested.job_id, wish, caller)
            return json_response(self._training(record))

        return handler

    def _training(self, record: JobRecord) -> View:
        """With the file that its dataset is made from, where that is known."""
        spec = record.requested.spec.fields
        source = spec["dataset_id"].string_value
        made_by = spec["dataset_job_id"].string_value
        if made_by:
            try:
                dataset_job = self._jobs.get(record.requested.tenant, made_by)
            except NotFoundError:
                return fine_tuning_view(record, source)
            source = dataset_job.requested.spec.fields["file_id"].string_value
        return fine_tuning_view(record, source)
