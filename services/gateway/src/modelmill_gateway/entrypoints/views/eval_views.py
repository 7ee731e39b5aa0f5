"""Evals, their runs and rows as OpenAI's clients read them."""

import json
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import EvalState
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_job_index.index import JobRecord

from modelmill_gateway.entrypoints.views.job_views import View, as_object, unix_seconds

STATUS = {
    pb.JOB_STATUS_QUEUED: "queued",
    pb.JOB_STATUS_RUNNING: "in_progress",
    pb.JOB_STATUS_PAUSED: "in_progress",
    pb.JOB_STATUS_SUCCEEDED: "completed",
    pb.JOB_STATUS_FAILED: "failed",
    pb.JOB_STATUS_CANCELLED: "canceled",
}
COUNTED = ("total", "passed", "failed", "errored")
USED = ("invocation_count", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")


def eval_view(state: EvalState) -> View:
    """A definition."""
    return {
        "id": state.eval_id,
        "object": "eval",
        "created_at": unix_seconds(state.created_at),
        "name": state.name,
        "data_source_config": json.loads(state.data_source_config),
        "testing_criteria": json.loads(state.testing_criteria),
        "metadata": dict(state.metadata),
    }


def run_view(record: JobRecord) -> View:
    """A job as OpenAI's `eval.run`; `report_url` is where its rows are."""
    requested, state = record.requested, record.state
    spec, summary = as_object(requested.spec), as_object(state.result.summary)
    source = json.loads(spec["data_source"])
    counts, eval_id = summary.get("result_counts", {}), spec["eval_id"]
    failed = state.status == pb.JOB_STATUS_FAILED
    error = {"code": state.error.code.lower(), "message": state.error.message} if failed else None
    return {
        "id": requested.job_id,
        "object": "eval.run",
        "created_at": unix_seconds(requested.requested_at),
        "eval_id": eval_id,
        "name": spec.get("name", ""),
        "model": source.get("model", ""),
        "status": STATUS[state.status],
        "data_source": {**source, "source": {"type": "file_id", "id": spec["file_id"]}},
        "result_counts": {name: int(counts.get(name, 0)) for name in COUNTED},
        "per_testing_criteria_results": [
            {**each, "passed": int(each["passed"]), "failed": int(each["failed"])}
            for each in summary.get("per_testing_criteria_results", ())
        ],
        "per_model_usage": [
            {"model_name": each["model_name"], **{name: int(each.get(name, 0)) for name in USED}}
            for each in summary.get("per_model_usage", ())
        ],
        "report_url": f"/v1/evals/{eval_id}/runs/{requested.job_id}/output_items",
        "error": error,
        "metadata": spec.get("metadata", {}),
    }


def output_item_view(item: dict[str, Any], record: JobRecord) -> View:
    """A row of a run, and what the criteria say of it."""
    run_id, number = record.requested.job_id, item["number"]
    return {
        "id": f"{run_id}-{number}",
        "object": "eval.run.output_item",
        "created_at": item["at"],
        "run_id": run_id,
        "eval_id": as_object(record.requested.spec)["eval_id"],
        "status": item["status"],
        "datasource_item_id": number,
        "datasource_item": item["item"],
        "results": item["results"],
        "sample": item["sample"],
        "error": item["error"] or None,
    }
