"""What a job's record says, in words for a terminal."""

import time
from collections.abc import Iterator
from typing import Any

from modelmill_bus.kinds import DATASET, dataset_id_of

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

Job = dict[str, Any]


def turn_words(job: Job, now: float | None = None) -> str:
    """Where it waits and for how long probably; empty when it does not wait.

    Args:
        now: seconds since 1970.
    """
    if job.get("waiting_reason"):
        return str(job["waiting_reason"])
    position = job.get("queue_position")
    if not position:
        return ""
    words = "next" if position == 1 else f"{position - 1} before it"
    starts_at = job.get("estimated_start")
    if starts_at is None:
        return words
    seconds = starts_at - (time.time() if now is None else now)
    if seconds < 0:  # of a record that was read before
        return words
    return f"{words}, starts in about {duration_words(seconds)}"


def duration_words(seconds: float) -> str:
    """Rounded so that it is read at a glance."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def name_of(job: Job) -> str:
    """What its maker calls what it makes; empty when that has no name."""
    return str(_spec(job).get("name") or "")


def model_of(job: Job) -> str:
    """The model that it trains, builds or measures, as it was ordered."""
    spec = _spec(job)
    named = (spec.get(field) for field in ("base_version_id", "source_version_id", "model"))
    return next((str(name) for name in named if name), "")


def dataset_of(job: Job) -> str:
    """The dataset that it reads or has made."""
    if job["kind"] == DATASET:
        return dataset_id_of(job["id"])
    return str(_spec(job).get("dataset_id") or "")


def _spec(job: Job) -> dict[str, Any]:
    return job.get("spec") or {}


def error_words(job: Job) -> str:
    """Why it failed, and what to do about it; empty when it has not."""
    error = job.get("error") or {}
    return " ".join(word for word in (error.get("message", ""), error.get("remedy", "")) if word)


def advice_words(job: Job) -> str:
    """What a training run says that did not learn; empty for others."""
    summary = (job.get("result") or {}).get("summary") or {}
    return str(summary.get("advice", ""))


def log_tail(job: Job) -> str:
    """The last lines of a failed job's log."""
    return str((job.get("error") or {}).get("log_tail") or "")


def facts(job: Job) -> Iterator[tuple[str, str]]:
    """What is known of a job, by name; what is not known is left out."""
    cost = job.get("cost") or {}
    trained = cost.get("trained_tokens")
    progress = job.get("progress") or {}
    for name, value in (
        ("kind", job["kind"]),
        ("name", name_of(job)),
        ("model", model_of(job)),
        ("dataset", dataset_of(job)),
        ("status", job["status"]),
        ("desired_state", job.get("desired_state") if job.get("desired_state") != "run" else ""),
        ("asked by", job.get("requested_by")),
        ("priority", job.get("priority")),
        ("turn", turn_words(job)),
        ("phase", progress.get("phase")),
        ("done", _done_words(progress, seconds_left(job))),
        ("attempts", cost.get("attempts")),
        ("work", duration_words(cost.get("work_seconds") or 0.0)),
        ("trained on", f"{trained:,} tokens" if trained is not None else ""),
        ("spec sha256", job.get("spec_sha256")),
        ("error", error_words(job)),
        ("advice", advice_words(job)),
    ):
        if value not in (None, ""):
            yield name, str(value)


def seconds_left(job: Job) -> float | None:
    """Of its phase, while it runs; what it said last of that is kept behind its end."""
    if job["status"] in TERMINAL:
        return None
    left: float | None = (job.get("progress") or {}).get("eta_seconds")
    return left


def _done_words(progress: dict[str, Any], left: float | None) -> str:
    if not progress.get("done") and not progress.get("total"):
        return ""  # of a phase in which nothing is counted
    of = f" of {progress['total']}" if progress.get("total") else ""
    words = f"{progress.get('done', 0)}{of} {progress.get('unit', '')}".strip()
    return words if left is None else f"{words}, {duration_words(left)} left"
