"""Evals in OpenAI's shape: definitions, runs, and rows of runs."""

from collections.abc import Sequence
from typing import TypeVar

from modelmill.jobs.v1.job_pb2 import JOB_DESIRED_STATE_CANCEL
from modelmill_service_kit.nearest import no_such
from starlette.requests import Request
from starlette.responses import Response

from modelmill_gateway.domain.errors import BadRequestError, unsupported
from modelmill_gateway.domain.pages import page_of
from modelmill_gateway.entrypoints.bodies.eval_body import ChangedEvalBody, parse_eval, parse_run
from modelmill_gateway.entrypoints.http.requests import (
    Handlers,
    caller_of,
    idempotency_key_of,
    json_response,
    page_request_of,
)
from modelmill_gateway.entrypoints.schemas.parsing import parse_open
from modelmill_gateway.entrypoints.views.eval_views import eval_view, output_item_view, run_view
from modelmill_gateway.entrypoints.views.pages import page_view
from modelmill_gateway.evals.create_eval_run import CreateEvalRun, RunRequest
from modelmill_gateway.evals.manage_evals import ManageEvals, ShowEvalRuns
from modelmill_gateway.ordering.control_job import ControlJob

T = TypeVar("T")


class EvalRoutes:
    """/v1/evals."""

    def __init__(
        self,
        manage_evals: ManageEvals,
        create_run: CreateEvalRun,
        show_runs: ShowEvalRuns,
        control_job: ControlJob,
    ) -> None:
        self._manage_evals = manage_evals
        self._create_run = create_run
        self._show_runs = show_runs
        self._control_job = control_job

    def handlers(self) -> Handlers:
        """By the names of the route table."""
        return {
            "create_eval": self._post,
            "list_evals": self._list,
            "get_eval": self._get,
            "change_eval": self._change,
            "delete_eval": self._delete,
            "create_eval_run": self._post_run,
            "list_eval_runs": self._list_runs,
            "get_eval_run": self._get_run,
            "cancel_eval_run": self._cancel_run,
            "delete_eval_run": self._delete_run,
            "list_eval_items": self._list_items,
            "get_eval_item": self._get_item,
        }

    async def _post(self, request: Request) -> Response:
        body = parse_eval(await request.body())
        state = await self._manage_evals.create(
            name=body.name,
            data_source_config=body.data_source_config.definition,
            testing_criteria=[each.definition for each in body.testing_criteria],
            metadata=body.metadata or {},
            caller=caller_of(request),
            idempotency_key=idempotency_key_of(request),
        )
        return json_response(eval_view(state))

    async def _list(self, request: Request) -> Response:
        if request.query_params.get("order_by", "created_at") != "created_at":
            raise unsupported("order_by")
        found = _ordered(request, self._manage_evals.list(caller_of(request)))
        page = page_of(found, page_request_of(request), lambda state: state.eval_id)
        return json_response(page_view(page, eval_view))

    async def _get(self, request: Request) -> Response:
        state = self._manage_evals.get(request.path_params["eval_id"], caller_of(request))
        return json_response(eval_view(state))

    async def _change(self, request: Request) -> Response:
        body = parse_open(await request.body(), ChangedEvalBody)
        state = await self._manage_evals.change(
            request.path_params["eval_id"], caller_of(request), body.name, body.metadata
        )
        return json_response(eval_view(state))

    async def _delete(self, request: Request) -> Response:
        eval_id = request.path_params["eval_id"]
        await self._manage_evals.delete(eval_id, caller_of(request))
        return json_response({"object": "eval.deleted", "deleted": True, "eval_id": eval_id})

    async def _post_run(self, request: Request) -> Response:
        body = parse_run(await request.body())
        source = body.data_source.source
        asked = RunRequest(
            name=body.name,
            source=body.source,
            file_id=source.id or "" if source.type == "file_id" else "",
            rows=[row.model_dump(exclude_none=True) for row in source.content or ()],
            metadata=body.metadata or {},
        )
        eval_id, key = request.path_params["eval_id"], idempotency_key_of(request)
        record = await self._create_run(eval_id, asked, caller_of(request), key)
        return json_response(run_view(record))

    async def _list_runs(self, request: Request) -> Response:
        runs = self._show_runs.list(request.path_params["eval_id"], caller_of(request))
        wanted = request.query_params.get("status")
        found = [each for each in runs if wanted in (None, run_view(each)["status"])]
        ordered = _ordered(request, found)
        page = page_of(ordered, page_request_of(request), lambda run: run.requested.job_id)
        return json_response(page_view(page, run_view))

    async def _get_run(self, request: Request) -> Response:
        return json_response(run_view(self._show_runs.get(*_run_of(request), caller_of(request))))

    async def _cancel_run(self, request: Request) -> Response:
        caller = caller_of(request)
        record = self._show_runs.get(*_run_of(request), caller)
        job_id = record.requested.job_id
        return json_response(
            run_view(await self._control_job(job_id, JOB_DESIRED_STATE_CANCEL, caller))
        )

    async def _delete_run(self, request: Request) -> Response:
        (eval_id, run_id), caller = _run_of(request), caller_of(request)
        self._show_runs.get(eval_id, run_id, caller)
        await self._manage_evals.delete_run(eval_id, run_id, caller)
        return json_response({"object": "eval.run.deleted", "deleted": True, "run_id": run_id})

    async def _list_items(self, request: Request) -> Response:
        record = self._show_runs.get(*_run_of(request), caller_of(request))
        wanted = request.query_params.get("status")
        items = await self._show_runs.items(record)
        views = [
            output_item_view(each, record) for each in items if wanted in (None, each["status"])
        ]
        ordered = _ordered(request, views)
        page = page_of(ordered, page_request_of(request), lambda view: str(view["id"]))
        return json_response(page_view(page, lambda view: view))

    async def _get_item(self, request: Request) -> Response:
        record = self._show_runs.get(*_run_of(request), caller_of(request))
        wanted = request.path_params["output_item_id"]
        for each in await self._show_runs.items(record):
            view = output_item_view(each, record)
            if view["id"] == wanted:
                return json_response(view)
        listed_at = request.url.path.rpartition("/")[0]
        raise no_such("output item", wanted, listed_at)


def _run_of(request: Request) -> tuple[str, str]:
    return request.path_params["eval_id"], request.path_params["run_id"]


def _ordered(request: Request, oldest_first: Sequence[T]) -> Sequence[T]:
    """As `order` says. Raises BadRequestError when it says something else."""
    order = request.query_params.get("order", "asc")
    if order not in ("asc", "desc"):
        raise BadRequestError("order: must be asc or desc", param="order")
    return oldest_first if order == "asc" else oldest_first[::-1]
