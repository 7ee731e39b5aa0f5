"""What receivers of webhooks are told."""

from typing import Any

from modelmill.jobs.v1.job_pb2 import JobRequested, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_job_index.index import JobRecord

from modelmill_gateway.entrypoints.views.dataset_views import dataset_view
from modelmill_gateway.entrypoints.views.job_views import View, job_view
from modelmill_gateway.entrypoints.views.model_views import model_view

JOB_FACTS = ("id", "object", "kind", "status", "attempt", "started_at", "finished_at")
"""Of a job's view. Its spec may quote what somebody wrote, and receivers are not its owner."""


def job_facts(state: JobState) -> View:
    """What is told of a job: ids, where it stands, and the word of its failure."""
    requested = JobRequested(job_id=state.job_id, kind=state.kind, tenant=state.tenant)
    view = job_view(JobRecord(requested, state, progress=None, events=()))
    result, error = view["result"], view["error"]
    return {
        **{name: view[name] for name in JOB_FACTS},
        "result": {name: result[name] for name in ("digest", "version_id")} if result else None,
        "error": {"code": error["code"]} if error else None,
    }


FACTS: dict[Any, Any] = {JobState: job_facts, ModelReady: model_view, DatasetReady: dataset_view}
"""What is told of an event, by the message that it comes from."""
