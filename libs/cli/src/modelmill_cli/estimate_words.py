"""What a training would take, in words for a terminal."""

from collections.abc import Iterator

from modelmill_client import types

from modelmill_cli.job_words import duration_words
from modelmill_cli.tables import megabytes

UNKNOWN = "unknown"


def estimate_facts(estimate: types.FineTuningEstimate) -> Iterator[tuple[str, str]]:
    """What is known of an estimate, by name."""
    tokens, seconds = estimate["trained_tokens"], estimate["seconds"]
    yield "method", estimate["method_reason"] or estimate["training_method"]
    if estimate["train_rows"] is not None:
        yield "rows", f"{estimate['train_rows']:,} to train on, {estimate['test_rows']:,} to test"
    yield "tokens", f"{tokens:,}, in {_steps(estimate)}" if tokens is not None else UNKNOWN
    yield "time", f"about {duration_words(seconds)}" if seconds is not None else UNKNOWN
    yield "memory", megabytes(estimate["peak_memory_bytes"])
    yield "worker needs", megabytes(estimate["needed_memory_bytes"])
    yield "worker has", megabytes(estimate["worker_memory_bytes"])
    if estimate["waiting_reason"]:
        yield "waits", estimate["waiting_reason"]
    earlier = ", ".join(estimate["earlier_job_ids"])
    yield "as of", earlier or "a rule: no such training has succeeded yet"
    for note in estimate["notes"]:
        yield "note", note


def _steps(estimate: types.FineTuningEstimate) -> str:
    epochs = estimate["n_epochs"] or 0
    return f"{epochs:g} epochs, {estimate['steps']:,} steps of {estimate['batch_size']} rows"
