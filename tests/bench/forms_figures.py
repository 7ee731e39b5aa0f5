"""Entries of forms.*, from what its cells kept."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tests.bench.figures import RESAMPLES, Entry
from tests.bench.forms_cells import (
    BASE,
    BF16,
    COMPETED,
    IN_FLIGHT,
    MADE,
    OPENVINO,
    REFUSED,
    RIVALS,
    SERVED,
    TUNED,
    MadeForm,
)

Results = Mapping[str, Mapping[str, Any]]
MOST_SHARE, MOST_POINTS, MOST_GROWTH, LEAST_SPEEDUP = 0.34, 2.0, 1.05, 1.2
MEGABYTE = 1e6


def entries(results: Results) -> list[Entry]:
    """Of every cell that is done."""
    return [
        *(entry for made in MADE for entry in _made(made, results)),
        *(entry for count in IN_FLIGHT for entry in _served(count, results)),
        *(entry for name in RIVALS for entry in _rival(name, results)),
    ]


def _made(made: MadeForm, results: Results) -> Iterator[Entry]:
    is_goal = made.name == COMPETED
    if tuned := _worked(f"{TUNED}.{made.name}", results):
        figures = tuned["figures"]
        yield _size(made, tuned, is_goal=is_goal)
        yield _points(made, figures, is_goal=is_goal)
        yield _labels(made, figures)
    if base := _worked(f"{BASE}.{made.name}", results):
        yield _general(made, base, is_goal=is_goal)


def _worked(cell: str, results: Results) -> Mapping[str, Any] | None:
    """What a cell found, unless it is not done or was refused."""
    result = results.get(cell)
    return None if result is None or REFUSED in result else result


def _size(made: MadeForm, result: Mapping[str, Any], *, is_goal: bool) -> Entry:
    figures = result["figures"]
    share = figures["size_ratio"]
    return Entry(
        f"forms.bytes.{made.name}",
        figures["bytes"] / MEGABYTE,
        "MB",
        "bf16 safetensors",
        share,
        f"ratio <= {MOST_SHARE}" if is_goal else "",
        share <= MOST_SHARE if is_goal else None,
        (share, share),
        f"{result['seconds'] / 60:.1f} minutes to make, check and score{_method(result)}",
    )


def _method(result: Mapping[str, Any]) -> str:
    method = result["method"]
    candidates = [one["name"] for one in method.get("candidates", ())]
    if len(candidates) < 2:
        return ""
    return f"; of {', '.join(candidates)} chosen: {method['scales']} ({method['chosen_for']})"


def _points(made: MadeForm, figures: Mapping[str, float], *, is_goal: bool) -> Entry:
    lost, low, high = (100 * each for each in _interval(figures, "accuracy_loss"))
    before = 100 * figures["accuracy_source"]
    return Entry(
        f"forms.score.{made.name}",
        lost,
        "points lost",
        "bf16 in the same engine, same rows",
        figures["accuracy"] / figures["accuracy_source"],
        f"upper bound <= {MOST_POINTS:g} points" if is_goal else "",
        high <= MOST_POINTS if is_goal else None,
        (1 - high / before, 1 - low / before),
        f"{100 * figures['accuracy']:.1f} beside {before:.1f} % of {figures['test_rows']:.0f} test "
        f"rows; lost {low:.2f} to {high:.2f} points, paired by row",
    )


def _labels(made: MadeForm, figures: Mapping[str, float]) -> Entry:
    lost, low, high = _interval(figures, "label_log_likelihood_loss")
    return Entry(
        f"forms.labels.{made.name}",
        figures["label_log_likelihood"],
        "mean log-likelihood of right labels",
        "bf16 in the same engine, same rows",
        math.exp(-lost),
        "",
        None,
        (math.exp(-high), math.exp(-low)),
        f"bf16 {figures['label_log_likelihood_bf16']:.3f}; lost {low:.3f} to {high:.3f}; the ratio "
        "is of geometric means of likelihoods",
    )


def _general(made: MadeForm, result: Mapping[str, Any], *, is_goal: bool) -> Entry:
    figures = result["figures"]
    growth, low, high = _interval(figures, "general_perplexity_loss")
    return Entry(
        f"forms.general.{made.name}",
        figures["general_perplexity"],
        "perplexity of general text",
        "bf16 in the same engine, the base model",
        1 + growth,
        f"ratio <= {MOST_GROWTH}" if is_goal else "",
        1 + growth <= MOST_GROWTH if is_goal else None,
        (1 + low, 1 + high),
        f"bf16 {figures['general_perplexity_bf16']:.2f}; text that neither calibrated nor chose",
    )


def _interval(figures: Mapping[str, float], name: str) -> tuple[float, float, float]:
    return figures[name], figures[f"{name}_low"], figures[f"{name}_high"]


def _served(count: int, results: Results) -> Iterator[Entry]:
    result, floor = results.get(f"served.{count}"), f"{OPENVINO}.{BF16}"
    if not result or floor not in result["rates"]:
        return
    rates = result["rates"]
    for served in SERVED:
        if served.id in rates:
            yield _speed(served.id, rates, floor, count)
    int4, int8 = f"{OPENVINO}.{COMPETED}", f"{OPENVINO}.openvino-int8"
    if count == 1 and int4 in rates and int8 in rates:
        yield _speed(int4, rates, int8, count, goal=LEAST_SPEEDUP)
    if count == 1:
        yield from (_memory(name, result["memory"], floor) for name in result["memory"])


def _speed(
    name: str, rates: Mapping[str, Sequence[float]], over: str, count: int, goal: float = 0.0
) -> Entry:
    ratio, low, high = paired_ratio(rates[name], rates[over])
    is_over_int8 = bool(goal)
    own = sorted(rates[name])
    return Entry(
        f"forms.int4_over_int8.{count}" if is_over_int8 else f"forms.speed.{name}.{count}",
        statistics.median(own),
        "tokens/s",
        over,
        ratio,
        f"ratio >= {goal:g}" if is_over_int8 else "",
        ratio >= goal if is_over_int8 else None,
        (low, high),
        f"{count} in flight, {len(own)} rounds, {own[0]:.0f} to {own[-1]:.0f}; the other "
        f"{statistics.median(rates[over]):.0f}",
    )


def paired_ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """Median of the ratios by round, and its bootstrap 95 % interval."""
    ratios = np.asarray(ours) / np.asarray(others)
    draws = np.random.default_rng(0).choice(ratios, size=(RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def _memory(name: str, memory: Mapping[str, Sequence[float]], floor: str) -> Entry:
    (resident, own), (floor_resident, _) = memory[name], memory[floor]
    ratio = resident / floor_resident
    return Entry(
        f"forms.memory.{name}",
        resident / MEGABYTE,
        "MB resident, its own process",
        floor,
        ratio,
        "",
        None,
        (ratio, ratio),
        f"{own / MEGABYTE:.0f} MB of it no other process has; after answers of 64 tokens, one in "
        "flight",
    )


def _rival(name: str, results: Results) -> Iterator[Entry]:
    rival, ours = (_worked(cell, results) for cell in (f"rival.{name}", f"{TUNED}.{COMPETED}"))
    if not rival or not ours:
        return
    figures = ours["figures"]
    share = figures["bytes"] / rival["bytes"]
    about = f"{rival['what']}; {rival['seconds'] / 60:.1f} minutes to make"
    yield Entry(
        f"forms.rival.{name}.bytes",
        figures["bytes"] / MEGABYTE,
        "MB",
        f"{name}: {rival['bytes'] / MEGABYTE:.1f} MB",
        share,
        "",
        None,
        (share, share),
        about,
    )
    ratio = figures["accuracy"] / rival["accuracy"] if rival["accuracy"] else math.inf
    yield Entry(
        f"forms.rival.{name}.score",
        100 * figures["accuracy"],
        "% of test rows",
        f"{name}: {100 * rival['accuracy']:.1f} %",
        ratio,
        "",
        None,
        (ratio, ratio),
        f"{about}; mean log-likelihood of right labels {rival['label_log_likelihood']:.3f}, ours "
        f"{figures['label_log_likelihood']:.3f}; {rival['rows']} rows, the same",
    )


def refusals(results: Results) -> dict[str, str]:
    """Forms and rivals that are not made of this model, with what was said."""
    return {
        f"forms.{cell}": result[REFUSED] for cell, result in results.items() if REFUSED in result
    }
