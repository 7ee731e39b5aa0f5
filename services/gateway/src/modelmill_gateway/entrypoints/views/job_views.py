"""Jobs as OpenAI's clients and ours read them."""

from datetime import UTC
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_bus.envelope import text_of
from modelmill_job_index.index import JobEvent, JobRecord

from modelmill_gateway.domain.log_tail import shown_tail
from modelmill_gateway.ordering.find_file import result_file_of

View = dict[str, Any]

STATUS = {
    pb.JOB_STATUS_QUEUED: "queued",
    pb.JOB_STATUS_RUNNING: "running",
    pb.JOB_STATUS_PAUSED: "paused",
    pb.JOB_STATUS_SUCCEEDED: "succeeded",
    pb.JOB_STATUS_FAILED: "failed",
    pb.JOB_STATUS_CANCELLED: "cancelled",
}
"""Our states under OpenAI's names; they differ from ours in nothing but the missing prefix."""

DESIRED_STATE_WORDS = {
    pb.JOB_DESIRED_STATE_RUN: "run",
    pb.JOB_DESIRED_STATE_PAUSE: "pause",
    pb.JOB_DESIRED_STATE_CANCEL: "cancel",
}
"""The desired state; differs from the state until the worker has acted."""

PRIORITY = {
    pb.JOB_PRIORITY_UNSPECIFIED: "normal",
    pb.JOB_PRIORITY_LOW: "low",
    pb.JOB_PRIORITY_NORMAL: "normal",
    pb.JOB_PRIORITY_HIGH: "high",
}


def unix_seconds(at: Timestamp) -> int:
    """Whole seconds since 1970, as OpenAI writes times."""
    return at.seconds


def maybe_unix_seconds(message: Message, field: str) -> int | None:
    """The time in `field`, or None when it is not set."""
    return unix_seconds(getattr(message, field)) if message.HasField(field) else None


def as_object(message: Message) -> View:
    """A message as JSON, under the names of the .proto files."""
    fields: View = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def job_view(record: JobRecord) -> View:
    """A job of any kind."""
    requested, state = record.requested, record.state
    return {
        "id": requested.job_id,
        "object": "job",
        "kind": requested.kind,
        "status": STATUS[state.status],
        "desired_state": DESIRED_STATE_WORDS[record.desired_state],
        "created_at": unix_seconds(requested.requested_at),
        "started_at": maybe_unix_seconds(state, "started_at"),
        "finished_at": maybe_unix_seconds(state, "finished_at"),
        **_order_and_turn(record),
        "attempt": state.attempt,
        "failures": state.failures,
        "lost": state.lost,
        "preemptions": state.preemptions,
        "checkpoint_step": state.checkpoint.step if state.checkpoint.digest else None,
        "progress": _progress(record.progress),
        "spec": as_object(requested.spec),
        "result": _result(state),
        "error": _error(state),
    }


def fine_tuning_view(record: JobRecord, training_file: str, validation_file: str) -> View:
    """A training job as OpenAI's `fine_tuning.job`; what follows `estimated_finish` is ours."""
    requested, state = record.requested, record.state
    spec = as_object(requested.spec)
    method = _method(spec)
    way = "dpo" if method["objective"] == "dpo" else "supervised"
    hyperparameters = _hyper_parameters(spec, state)
    return {
        "id": requested.job_id,
        "object": "fine_tuning.job",
        "created_at": unix_seconds(requested.requested_at),
        "finished_at": maybe_unix_seconds(state, "finished_at"),
        "status": STATUS[state.status],
        "model": spec.get("adapter_version_id") or spec.get("base_version_id", ""),
        "fine_tuned_model": state.result.version_id or None,
        "organization_id": requested.tenant,
        "training_file": training_file,
        "validation_file": validation_file or None,
        "result_files": [file for file in (result_file_of(record),) if file],
        "seed": int(spec.get("hyper_parameters", {}).get("seed", 0)),
        "trained_tokens": trained_tokens(record),
        "hyperparameters": hyperparameters,
        "method": {way: {"hyperparameters": hyperparameters}, "type": way},
        "user_provided_suffix": spec.get("name"),
        **{"integrations": [], "metadata": spec.get("metadata")},
        "estimated_finish": _estimated_finish(record),
        **_order_and_turn(record),
        "error": _error(state),
        "progress": _progress(record.progress),
        "result": _result(state),
        "desired_state": DESIRED_STATE_WORDS[record.desired_state],
        **method,
    }


def _method(spec: View) -> View:
    """Which weights change and what becomes smaller, in our words."""
    return {
        "training_method": _word(spec, "method", "TRAINING_METHOD_", "lora"),
        "method_reason": spec.get("method_reason"),
        "objective": _word(spec, "objective", "TRAINING_OBJECTIVE_", "answers"),
        "teacher": spec.get("teacher_version_id"),
        "teacher_answers": spec.get("teacher_answers"),
    }


def _hyper_parameters(spec: View, state: pb.JobState) -> View:
    """All choices of a training job, those that are left open too."""
    chosen = spec.get("hyper_parameters", {}) | _decided(state)
    searched = chosen.get("search_learning_rate", False)
    return {
        "n_epochs": chosen.get("epochs", "auto"),
        "batch_size": "auto",
        "learning_rate": "search" if searched else "auto",
        "learning_rate_multiplier": "auto",
        **{name: value for name, value in chosen.items() if name not in _UNDER_OTHER_NAMES},
    }


_UNDER_OTHER_NAMES = ("epochs", "seed", "search_learning_rate")


def _decided(state: pb.JobState) -> View:
    """What the trainer chose where the caller had left it open; nothing before the job's end."""
    if "chosen" not in state.result.summary.fields:
        return {}
    chosen: View = as_object(state.result.summary)["chosen"]
    return chosen


def _word(spec: View, field: str, prefix: str, default: str) -> str:
    """A value of an enumeration as callers write it."""
    return str(spec[field]).removeprefix(prefix).lower() if field in spec else default


def trained_tokens(record: JobRecord) -> int | None:
    """Tokens that a training job read; None for other jobs, and before it has succeeded."""
    counted = record.state.result.summary.fields.get("train_tokens")
    return int(counted.number_value) if counted is not None else None


def optimization_view(record: JobRecord) -> View:
    """A job that builds a smaller, faster form."""
    job = job_view(record)
    spec = job["spec"]
    return {
        **job,
        "object": "optimization",
        "source_version_id": spec.get("source_version_id", ""),
        "target_form": spec.get("target_form", ""),
        "version_id": record.state.result.version_id or None,
    }


def evaluation_view(record: JobRecord) -> View:
    """A job that measures a model."""
    job = job_view(record)
    spec = job["spec"]
    return {
        **job,
        "object": "evaluation",
        "model": spec.get("model", ""),
        "compare_to": spec.get("compare_to") or None,
        "dataset_id": spec.get("dataset_id") or None,
    }


def event_view(event: JobEvent, kind: str, shown_id: str) -> View:
    """Something that happened, in the shape of OpenAI's `fine_tuning.job.event`."""
    progress = isinstance(event.body, pb.JobProgress)
    failed = isinstance(event.body, pb.JobState) and event.body.status == pb.JOB_STATUS_FAILED
    advice = _advice(event.body)
    return {
        "id": shown_id,
        "object": kind,
        "created_at": int(event.at.replace(tzinfo=UTC).timestamp()),
        "level": "error" if failed else "warn" if advice else "info",
        "message": advice or event.message,
        "type": "metrics" if progress else "message",
        "data": _event_facts(event.body),
    }


def _advice(body: Message) -> str:
    """What the end of a training run says that did not learn; empty for others."""
    return text_of(body.result.summary, "advice") if isinstance(body, pb.JobState) else ""


def _event_facts(body: Message) -> View:
    """The figures of a report, the facts of a state; no owner, nonce or fence of a worker's."""
    if isinstance(body, pb.JobProgress):
        return {
            "phase": body.phase,
            "step": body.done,
            "total_steps": body.total,
            "unit": body.unit,
            "eta_seconds": body.eta_seconds if body.eta_seconds >= 0 else None,
            **body.metrics,
        }
    if isinstance(body, pb.JobState):
        return {"status": STATUS[body.status], "attempt": body.attempt, "error": _error(body)}
    return {}


def _progress(progress: pb.JobProgress | None) -> View | None:
    if progress is None:
        return None
    return {
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit,
        "metrics": dict(progress.metrics),
        "eta_seconds": progress.eta_seconds if progress.eta_seconds >= 0 else None,
        "at": unix_seconds(progress.at),
    }


def _result(state: pb.JobState) -> View | None:
    if state.status != pb.JOB_STATUS_SUCCEEDED:
        return None
    result = state.result
    summary = as_object(result.summary)
    return {"digest": result.digest, "version_id": result.version_id or None, "summary": summary}


def _error(state: pb.JobState) -> View | None:
    """Why it failed, with the end of its log: the data in it are the reader's own."""
    if not state.error.code:
        return None
    error = state.error
    return {
        "code": error.code,
        "message": error.message,
        "param": None,
        "remedy": error.remedy,
        "log_tail": shown_tail(error.log_tail),
    }


def _order_and_turn(record: JobRecord) -> View:
    """What was asked for by whom, when its turn comes, and what it took so far."""
    requested, turn = record.requested, record.turn
    starts_at = turn.starts_at
    return {
        "requested_by": requested.requested_by,
        "spec_sha256": requested.spec_sha256 or None,
        "priority": PRIORITY[requested.priority],
        "queue_position": turn.position,
        "estimated_start": int(starts_at.replace(tzinfo=UTC).timestamp()) if starts_at else None,
        "waiting_reason": turn.reason or None,
        "cost": {
            "work_seconds": round(record.work_seconds, 3),
            "attempts": record.state.attempt,
            "trained_tokens": trained_tokens(record),
        },
    }


def _estimated_finish(record: JobRecord) -> int | None:
    progress = record.progress
    running = record.state.status == pb.JOB_STATUS_RUNNING
    if not running or progress is None or progress.eta_seconds < 0:
        return None
    return int(unix_seconds(progress.at) + progress.eta_seconds)
