"""What a job would take, in words for a terminal."""

from collections.abc import Iterator

from modelmill_client import types

from modelmill_cli.job_words import duration_words
from modelmill_cli.tables import data_size

UNKNOWN = "unknown"
BY_RULE = "a rule: no such training has succeeded yet"
Fact = tuple[str, str]
OrderEstimate = types.FineTuningEstimate | types.EvaluationEstimate | types.OptimizationEstimate


def training_facts(estimate: types.FineTuningEstimate) -> Iterator[Fact]:
    """What is known of a training, by name."""
    tokens = estimate["trained_tokens"]
    yield "method", estimate["method_reason"] or estimate["training_method"]
    if estimate["train_rows"] is not None:
        yield "rows", f"{estimate['train_rows']:,} to train on, {estimate['test_rows']:,} to test"
    yield "tokens", f"{tokens:,}, in {_steps(estimate)}" if tokens is not None else UNKNOWN
    yield "time", _about(estimate["seconds"])
    yield "memory", data_size(estimate["peak_memory_bytes"])
    yield from _common_facts(estimate, BY_RULE)


def evaluation_facts(estimate: types.EvaluationEstimate) -> Iterator[Fact]:
    """What is known of an evaluation, by name."""
    rows = estimate["rows"]
    yield "rows", f"{rows:,}" if rows is not None else f"at most {estimate['most_rows']:,}"
    yield "time", _about(estimate["seconds"])
    yield from _common_facts(estimate)


def build_facts(estimate: types.OptimizationEstimate) -> Iterator[Fact]:
    """What is known of a build or a search, by name."""
    size, most = estimate["built_bytes"], estimate["most_seconds"]
    if estimate["target_form"]:
        yield "form", estimate["target_form"]
    yield "rows to test", f"{estimate['test_rows']:,}"
    yield "size", f"about {data_size(size)}" if size is not None else UNKNOWN
    yield "time", _about(estimate["seconds"])
    if most is not None:
        yield "budget", duration_words(most)
    yield from _common_facts(estimate)


def _common_facts(estimate: OrderEstimate, without_earlier: str = "") -> Iterator[Fact]:
    yield "worker needs", data_size(estimate["needed_memory_bytes"])
    yield "worker has", data_size(estimate["worker_memory_bytes"])
    if estimate["waiting_reason"]:
        yield "waits", estimate["waiting_reason"]
    if earlier := ", ".join(estimate["earlier_job_ids"]) or without_earlier:
        yield "as of", earlier
    for note in estimate["notes"]:
        yield "note", note


def _about(seconds: float | None) -> str:
    return f"about {duration_words(seconds)}" if seconds is not None else UNKNOWN


def _steps(estimate: types.FineTuningEstimate) -> str:
    epochs = estimate["n_epochs"] or 0
    return f"{epochs:g} epochs, {estimate['steps']:,} steps of {estimate['batch_size']} rows"
