"""Training jobs, as OpenAI's clients order, read and steer them."""

import re
from collections.abc import Callable

from modelmill.jobs.v1.job_pb2 import JobDesiredState
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import TRAIN
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.fine_tuning_body import (
    FineTuningBody,
    in_callers_words,
    order_from,
)
from modelmill_gateway.entrypoints.http.job_event_replies import JobEventReplies
from modelmill_gateway.entrypoints.http.jobs import ACTIONS, Jobs, job_of
from modelmill_gateway.entrypoints.http.requests import (
    Handler,
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import read_body
from modelmill_gateway.entrypoints.views.checkpoint_views import checkpoint_views
from modelmill_gateway.entrypoints.views.job_views import View, fine_tuning_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_fine_tuning_job import CreateFineTuningJob

WHAT = "fine-tuning job"
METADATA = re.compile(r"metadata\[(.{1,64})\]")


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
            **{
                f"{name}_fine_tuning": self._steer(desired_state)
                for name, desired_state in ACTIONS.items()
            },
        }

    async def _post(self, request: Request) -> Response:
        order = order_from(await read_body(request, FineTuningBody))
        caller = caller_of(request)
        key = idempotency_key_of(request)
        try:
            record = await self._create_fine_tuning_job(order, caller, key)
        except InvalidInputError as error:
            raise InvalidInputError([in_callers_words(each) for each in error.errors]) from error
        return json_response(self._training(record))

    async def _list(self, request: Request) -> Response:
        is_wanted = _wanted_metadata(request.query_params)
        known = self._jobs.list(caller_of(request).tenant, TRAIN)
        records = [job for job in known if is_wanted(job)]
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

    def _steer(self, desired_state: JobDesiredState.ValueType) -> Handler:
        async def handler(request: Request) -> Response:
            job = job_of(request, self._jobs, TRAIN, WHAT)
            caller = caller_of(request)
            record = await self._control_job(job.requested.job_id, desired_state, caller)
            return json_response(self._training(record))

        return handler

    def _training(self, record: JobRecord) -> View:
        """With the files that its datasets are made from, where those are known."""
        return fine_tuning_view(
            record, self._file_of(record, "dataset"), self._file_of(record, "validation_dataset")
        )

    def _file_of(self, record: JobRecord, role: str) -> str:
        spec = record.requested.spec
        source = text_of(spec, f"{role}_id")
        made_by = text_of(spec, f"{role}_job_id")
        if made_by:
            try:
                dataset_job = self._jobs.get(record.requested.tenant, made_by)
            except NotFoundError:
                return source
            source = text_of(dataset_job.requested.spec, "file_id")
        return source


def _wanted_metadata(query: QueryParams) -> Callable[[JobRecord], bool]:
    """Whether a job has the pairs that `metadata[key]=value` asks for; `metadata=null`: none."""
    pairs = {}
    for name, value in query.items():
        if (found := METADATA.fullmatch(name)) is not None:
            pairs[found[1]] = value
        elif name.startswith("metadata") and (name, value) != ("metadata", "null"):
            raise BadRequestError(
                "metadata: must be null, or pairs as metadata[key]=value", param="metadata"
            )
    wants_none = "metadata" in query

    def has(record: JobRecord) -> bool:
        spec = record.requested.spec.fields
        own = spec["metadata"].struct_value.fields if "metadata" in spec else {}
        if wants_none and own:
            return False
        return all(key in own and own[key].string_value == pairs[key] for key in pairs)

    return has
