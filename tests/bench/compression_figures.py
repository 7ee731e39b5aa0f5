"""Entries of compression.*, from what its cells kept."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.compression_cells import (
    BUILDS,
    BUILT,
    EXITS,
    INT8,
    ONNX_BUILT,
    PRUNED,
    RECOVERED,
    SHAPES,
    STUDENTS,
    WHOLE,
    Shape,
    Student,
)
from tests.bench.early_exit_figures import exit_entries
from tests.bench.figures import Entry
from tests.bench.forms_cells import IN_FLIGHT
from tests.bench.forms_figures import MEGABYTE, paired_ratio

Results = Mapping[str, Mapping[str, Any]]
BEFORE, AFTER = "before", "after"
SAME_ROWS = "the whole model, same rows"


def entries(results: Results) -> list[Entry]:
    """Of every cell that is done."""
    return [
        *(entry for shape in SHAPES for entry in _pruned(shape, results)),
        *(entry for student in STUDENTS for entry in _taught(student, results)),
        *(exit_entries(results[EXITS]) if EXITS in results else ()),
        *(entry for name in BUILDS for entry in _built(name, results)),
        *(entry for count in IN_FLIGHT for entry in _served(count, results)),
    ]


def _pruned(shape: Shape, results: Results) -> Iterator[Entry]:
    if (found := results.get(f"{PRUNED}.{shape.name}")) is None:
        return
    figures, method = found["figures"], found["method"]
    kept = f"{method['parameters'] / 1e6:.1f} of {method['parameters_before'] / 1e6:.1f} million"
    share = figures["size_ratio"]
    yield Entry(
        *(f"compression.bytes.{shape.name}", figures["bytes"] / MEGABYTE, "MB"),
        *("bf16 safetensors of the whole model", share, "", None, (share, share)),
        f"{kept} parameters; kept {method['kept']} of {method['of']}; "
        f"{found['seconds'] / 60:.1f} minutes to cut, check and score",
    )
    loss = _interval(figures, "accuracy_loss")
    yield _points(shape.name, BEFORE, figures["accuracy"], figures["accuracy_source"], loss, None)
    yield _general(
        shape.name,
        BEFORE,
        figures["general_perplexity"],
        1 + figures["general_perplexity_loss"],
        (1 + figures["general_perplexity_loss_low"], 1 + figures["general_perplexity_loss_high"]),
    )
    largest = figures["parity_largest_logit_share"]
    yield _support(
        shape.name, "transformers", largest, "the whole model in which the same parts are silent"
    )


def _taught(student: Student, results: Results) -> Iterator[Entry]:
    if (found := results.get(f"{RECOVERED}.{student.name}")) is None:
        return
    summary, left = found["summary"], found["differences"]["tuned-teacher"]
    lost = (-left["mean"], -left["high"], -left["low"])
    goals = {shape.name: shape.most_points for shape in SHAPES}
    tuned, teacher = summary["accuracy_tuned"]["mean"], summary["accuracy_teacher"]["mean"]
    yield _points(student.name, AFTER, tuned, teacher, lost, goals.get(student.name))
    seconds = summary["train_seconds"]
    gain = found["differences"]["tuned-base"]
    yield Entry(
        *(f"compression.cost.{student.name}", seconds / 60, "minutes of training"),
        *("none", 1.0, "", None, (1.0, 1.0)),
        f"{summary['steps']} steps, {summary['train_tokens']} tokens, "
        f"{summary['tokens_per_second']:.0f} tokens/s, at most "
        f"{summary['peak_memory_bytes'] / 1e9:.1f} GB; gained {100 * gain['mean']:+.1f} points "
        f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}); loss {summary['first_loss']:.2f}"
        f" to {summary['last_loss']:.2f}",
    )


def _built(name: str, results: Results) -> Iterator[Entry]:
    built, whole = (results.get(f"{BUILT}.{one}") for one in (name, WHOLE))
    if built is None or whole is None:
        return
    if name != WHOLE:
        ours, theirs = (one["figures"]["general_perplexity_bf16"] for one in (built, whole))
        yield _general(name, AFTER, ours, ours / theirs, (ours / theirs, ours / theirs))
    for engine, kind in (("openvino", BUILT), ("onnx", ONNX_BUILT)):
        if found := results.get(f"{kind}.{name}"):
            agreement = found["figures"]["parity_greedy_agreement"]
            yield _support(name, engine, agreement, "its own bf16 source", is_agreement=True)


def _points(
    name: str,
    when: str,
    found: float,
    whole: float,
    lost: tuple[float, float, float],
    most: float | None,
) -> Entry:
    mean, low, high = (100 * each for each in lost)
    before = 100 * whole
    return Entry(
        id=f"compression.score.{name}.{when}",
        value=mean,
        unit="points lost",
        against=SAME_ROWS,
        ratio=found / whole,
        goal="" if most is None else f"upper bound <= {most:g} points",
        met=None if most is None else high <= most,
        ci95=(1 - high / before, 1 - low / before),
        note=f"{100 * found:.1f} beside {before:.1f} % of test rows; lost {low:.2f} to {high:.2f} "
        "points, paired by row",
    )


def _general(
    name: str, when: str, found: float, ratio: float, interval: tuple[float, float]
) -> Entry:
    return Entry(
        *(f"compression.general.{name}.{when}", found, "perplexity of general text"),
        *("the whole model, same texts", ratio, "", None, interval),
        "text that neither calibrated nor chose",
    )


def _support(
    name: str, engine: str, found: float, against: str, *, is_agreement: bool = False
) -> Entry:
    unit = "share of greedy tokens that agree" if is_agreement else "of the logits' spread"
    return Entry(
        *(f"compression.support.{name}.{engine}", found, unit),
        *(against, found, "", None, (found, found)),
        "the product's own check passed",
    )


def _served(count: int, results: Results) -> Iterator[Entry]:
    result = results.get(f"served.{count}")
    if not result or WHOLE not in result["rates"]:
        return
    rates: Mapping[str, Sequence[float]] = result["rates"]
    for name in rates:
        ratio, low, high = paired_ratio(rates[name], rates[WHOLE])
        yield Entry(
            *(f"compression.speed.{name}.{count}", statistics.median(rates[name]), "tokens/s"),
            *(f"{INT8} of the whole model", ratio, "", None, (low, high)),
            f"{INT8}, {count} in flight, {len(rates[name])} rounds; the whole model "
            f"{statistics.median(rates[WHOLE]):.0f}",
        )
    if count == 1:
        for name, (resident, own) in result["memory"].items():
            share = resident / result["memory"][WHOLE][0]
            yield Entry(
                *(f"compression.memory.{name}", resident / MEGABYTE, "MB resident"),
                *(f"{INT8} of the whole model", share, "", None, (share, share)),
                f"{own / MEGABYTE:.0f} MB of it no other process has",
            )


def _interval(figures: Mapping[str, float], name: str) -> tuple[float, float, float]:
    return figures[name], figures[f"{name}_low"], figures[f"{name}_high"]
