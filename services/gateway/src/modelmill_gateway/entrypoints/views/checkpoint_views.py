"""Checkpoints of a training job, as OpenAI's clients read them."""

from collections.abc import Sequence
from datetime import UTC

from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_job_index.index import JobEvent, JobRecord

from modelmill_gateway.entrypoints.views.job_views import View, unix_seconds

ID_CHARS = 24


def checkpoint_views(record: JobRecord, events: Sequence[JobEvent]) -> list[View]:
    """What the job has saved, newest first.

    A job that has succeeded keeps nothing but its model, which is then its only checkpoint. Until
    then they are states to go on from, which no engine serves: they name no model.

    Args:
        events: of the job, oldest first; they have the figures of its steps.
    """
    state = record.state
    if state.status == pb.JOB_STATUS_SUCCEEDED:
        return [_of_result(record, events)]
    saved = [it for it in (state.checkpoint, state.checkpoint_before) if it.digest]
    return [_view(record, it.digest, it.step, None, events) for it in saved]


def _of_result(record: JobRecord, events: Sequence[JobEvent]) -> View:
    """The model; where its weights are the best of several steps, as of that step."""
    result = record.state.result
    figures = result.summary.fields
    step = next((figures[name] for name in ("best_step", "steps") if name in figures), None)
    number = int(step.number_value) if step is not None else 0
    view = _view(record, result.digest, number, result.version_id or None, events)
    if "valid_loss" in figures:
        view["metrics"]["full_valid_loss"] = figures["valid_loss"].number_value
    return view


def _view(
    record: JobRecord, digest: str, step: int, version_id: str | None, events: Sequence[JobEvent]
) -> View:
    report = next(
        (it for it in reversed(events) if _is_of_step(it.body, step)),
        None,
    )
    figures = report.body.metrics if report and isinstance(report.body, pb.JobProgress) else {}
    at = unix_seconds(record.state.updated_at)
    if report is not None:
        at = int(report.at.replace(tzinfo=UTC).timestamp())
    return {
        "id": f"ftckpt-{digest.rpartition(':')[2][:ID_CHARS]}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": at,
        "fine_tuned_model_checkpoint": version_id,
        "fine_tuning_job_id": record.requested.job_id,
        "step_number": step,
        "metrics": {
            "step": step,
            "train_loss": figures.get("loss"),
            "train_mean_token_accuracy": None,
            "valid_loss": figures.get("valid_loss"),
            "valid_mean_token_accuracy": None,
            "full_valid_loss": None,
            "full_valid_mean_token_accuracy": None,
        },
    }


def _is_of_step(body: object, step: int) -> bool:
    """Whether it tells the figures that were measured at that step."""
    return isinstance(body, pb.JobProgress) and body.phase == "train" and body.done == step
