"""Forms of a model side by side: what each costs, what quality it loses, the Pareto frontier."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from modelmill_evaluation.pareto import on_frontier

from modelmill_gateway.domain.job_differences import ScoreFigure

RefusalCode = Literal[
    "loses_too_much", "slower", "not_scored", "contradictory", "not_measured", "not_built"
]


@dataclass(frozen=True)
class CostKind:
    """What a form costs or gives: size, memory, time or price."""

    unit: str
    higher_is_better: bool = False


COSTS: Mapping[str, CostKind] = {
    "size_mb": CostKind("MB"),
    "memory_mb": CostKind("MB"),
    "p95_ms": CostKind("ms"),
    "first_token_ms": CostKind("ms"),
    "tokens_per_s": CostKind("tokens/s", higher_is_better=True),
    "cost_per_1k_requests": CostKind(""),
    "speedup": CostKind("x", higher_is_better=True),
}
"""By name, in the order in which they are shown; all but `speedup` can be an objective."""
ACCURACY, DISAGREEMENT = "accuracy_loss", "disagreement"
LOSSES: Mapping[str, str] = {
    ACCURACY: "share",
    "label_log_likelihood_loss": "nats",
    "answer_perplexity_loss": "share",
    "general_perplexity_loss": "share",
    DISAGREEMENT: "share",
}
"""Quality lost by a form beside its source, with the unit; the first that is known comes first.

`disagreement` is the share of golden positions whose likeliest token is not the source's.
"""


@dataclass(frozen=True)
class FormRefusal:
    """Why a form is not to be chosen, or could not be measured."""

    code: RefusalCode
    reason: str


@dataclass(frozen=True)
class FormCandidate:
    """A form of a model, as far as it was built and measured."""

    form: str
    version_id: str = ""
    costs: Mapping[str, ScoreFigure] = field(default_factory=dict)
    losses: Mapping[str, ScoreFigure] = field(default_factory=dict)
    is_chosen: bool = False
    refusal: FormRefusal | None = None


@dataclass(frozen=True)
class FormComparison:
    """Forms of one model, and what was asked of them."""

    candidates: Sequence[FormCandidate]
    objective: tuple[str, float] | None = None
    most_lost: float | None = None
    """Largest accepted `accuracy_loss`; None where no limit is known."""
    load: Mapping[str, int] = field(default_factory=dict)
    """Under which times, memory and price were measured."""
    dataset_id: str = ""
    """Whose rows the answers were scored on."""
    verdict: str = ""
    reason: str = ""

    @property
    def costs(self) -> list[str]:
        """Costs that any candidate has; the objective's first."""
        asked = self.objective[0] if self.objective else ""
        known = _known(COSTS, (each.costs for each in self.candidates))
        return sorted(known, key=lambda name: name != asked)

    @property
    def losses(self) -> list[str]:
        """Losses that any candidate has."""
        return _known(LOSSES, (each.losses for each in self.candidates))

    def frontier(self) -> list[dict[str, list[str]]]:
        """Of each candidate, by cost the losses with which it is on the Pareto frontier."""
        found: list[dict[str, list[str]]] = [{} for _ in self.candidates]
        for cost in self.costs:
            for loss in self.losses:
                for number in self._best(cost, loss):
                    found[number].setdefault(cost, []).append(loss)
        return found

    def _best(self, cost: str, loss: str) -> list[int]:
        """Numbers of the candidates on the frontier of two figures, among those that have both."""
        sign = -1 if COSTS[cost].higher_is_better else 1
        known = [
            # A gain beside the source is none: it is chance, or another model.
            (number, (sign * each.costs[cost].value, max(0.0, each.losses[loss].value)))
            for number, each in enumerate(self.candidates)
            if cost in each.costs and loss in each.losses
        ]
        is_best = on_frontier([place for _, place in known])
        return [number for (number, _), best in zip(known, is_best, strict=True) if best]


def _known(names: Iterable[str], having: Iterable[Mapping[str, ScoreFigure]]) -> list[str]:
    seen = {name for each in having for name in each}
    return [name for name in names if name in seen]


SOURCE = "source"
"""Name of the candidate of a search that is not built."""


def searched_forms(
    summary: Mapping[str, Any], *, source_version_id: str, most_lost: float, dataset_id: str
) -> FormComparison:
    """What a search for an objective found, from its job's summary."""
    [(name, value)] = summary["objective"].items()
    points = summary.get("points", [])
    is_scored = any(point["loss"] for point in points if point["form"] != SOURCE)
    limit = most_lost if is_scored and most_lost else None
    candidates = [
        FormCandidate(
            form=point["form"],
            version_id=point.get("version_id")
            or (source_version_id if point["form"] == SOURCE else ""),
            costs={it: _figure(one) for it, one in point["figures"].items() if it in COSTS},
            losses=_point_losses(point, is_scored=is_scored),
            is_chosen=point["form"] == summary.get("chosen"),
            refusal=_point_refusal(point, name, limit),
        )
        for point in points
    ]
    untried = [
        FormCandidate(form, refusal=FormRefusal("not_measured", why))
        for form, why in summary.get("untried", {}).items()
    ]
    return FormComparison(
        candidates=[*candidates, *untried],
        objective=(name, value),
        most_lost=limit,
        load={it: int(number) for it, number in summary.get("load", {}).items()},
        dataset_id=dataset_id,
        verdict=summary["verdict"],
        reason=summary.get("reason", ""),
    )


def _figure(fields: Mapping[str, float]) -> ScoreFigure:
    return ScoreFigure(fields["value"], fields["low"], fields["high"])


def _point_losses(point: Mapping[str, Any], *, is_scored: bool) -> dict[str, ScoreFigure]:
    lost = 1 - point.get("agreement", 1.0)
    found = {DISAGREEMENT: ScoreFigure(lost, lost, lost)}
    if is_scored and point["loss"]:
        found[ACCURACY] = _figure(point["loss"])
    return found


def _point_refusal(
    point: Mapping[str, Any], objective: str, most_lost: float | None
) -> FormRefusal | None:
    loss = point["loss"]
    if most_lost is not None and loss and loss["value"] > most_lost:
        lost = f"loses {loss['value']:.1%} of the answers, more than the {most_lost:.1%} allowed"
        return FormRefusal("loses_too_much", lost)
    if doubt := point.get("contradictory", {}).get(objective):
        return FormRefusal("contradictory", f"measurements contradict each other: {doubt}")
    return None
