"""Forms of a model from their metrics: the source, its builds, and builds that failed."""

from collections.abc import Iterable, Mapping, Sequence

from modelmill_gateway.domain.form_candidates import (
    COSTS,
    DISAGREEMENT,
    LOSSES,
    FormCandidate,
    FormComparison,
    FormRefusal,
)
from modelmill_gateway.domain.job_differences import ScoreFigure

LOAD = ("prompt_tokens", "output_tokens", "in_flight")
OF_ANY_ROWS = ("general_perplexity_loss", DISAGREEMENT)
"""Losses that are measured on texts of our own or of the source: all builds have the same."""
METRIC_OF = {DISAGREEMENT: "parity_greedy_agreement"}
BYTES_PER_MB = 1e6

Metrics = Mapping[str, float]


def load_of(metrics: Metrics) -> dict[str, int]:
    """The load under which a build was measured; empty where it was not."""
    found = {name: int(metrics[f"load_{name}"]) for name in LOAD if f"load_{name}" in metrics}
    return found if len(found) == len(LOAD) else {}


def build_costs(
    metrics: Metrics, size_bytes: int, load: Mapping[str, int]
) -> dict[str, ScoreFigure]:
    """What a build costs; of another load than `load` are no times, memory or price."""
    found = _size(size_bytes)
    if "speedup" in metrics:
        found["speedup"] = _figure(metrics, "speedup")
    if load and load_of(metrics) == load:
        names = (name for name in COSTS if f"load_{name}" in metrics and name not in found)
        found |= {name: _figure(metrics, f"load_{name}") for name in names}
    return found


def source_costs(
    builds: Iterable[Metrics], size_bytes: int, load: Mapping[str, int]
) -> dict[str, ScoreFigure]:
    """What the source costs, by what was measured of it beside its builds."""
    found = _size(size_bytes)
    for metrics in builds:
        if "speedup" in metrics:
            found["speedup"] = ScoreFigure(1.0, 1.0, 1.0)
        if load and load_of(metrics) == load:
            names = (name for name in COSTS if f"load_{name}_source" in metrics)
            found = {name: ScoreFigure(metrics[f"load_{name}_source"]) for name in names} | found
    return found


def build_losses(metrics: Metrics, *, has_same_rows: bool) -> dict[str, ScoreFigure]:
    """What quality a build loses.

    Args:
        has_same_rows: whether it was scored on the rows of the comparison; else losses of other
            rows are left out.
    """
    found = {}
    for name in LOSSES:
        metric = METRIC_OF.get(name, name)
        if metric in metrics and (has_same_rows or name in OF_ANY_ROWS):
            found[name] = _figure(metrics, metric)
    if agreement := found.get(DISAGREEMENT):
        found[DISAGREEMENT] = ScoreFigure(1 - agreement.value)
    return found


def compared(
    source: FormCandidate,
    builds: Sequence[FormCandidate],
    failed: Iterable[tuple[str, str]],
    *,
    load: Mapping[str, int],
    dataset_id: str,
) -> FormComparison:
    """The source first, then its builds, then forms of which there is no build.

    Args:
        source: without losses: by definition it has none of those that its builds have.
        failed: form and reason of builds that failed, newest first.
    """
    known = {name for each in builds for name in each.losses}
    whole = FormCandidate(
        source.form,
        source.version_id,
        source.costs,
        {name: ScoreFigure(0.0, 0.0, 0.0) for name in LOSSES if name in known},
        source.is_chosen,
    )
    lacking: dict[str, str] = {}
    for form, reason in failed:
        if form not in {each.form for each in builds}:
            lacking.setdefault(form, reason)
    unbuilt = (
        FormCandidate(it, refusal=FormRefusal("not_built", why)) for it, why in lacking.items()
    )
    return FormComparison([whole, *builds, *unbuilt], load=load, dataset_id=dataset_id)


def _size(size_bytes: int) -> dict[str, ScoreFigure]:
    size = size_bytes / BYTES_PER_MB
    return {"size_mb": ScoreFigure(size, size, size)} if size_bytes else {}


def _figure(metrics: Metrics, name: str) -> ScoreFigure:
    return ScoreFigure(metrics[name], metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))
