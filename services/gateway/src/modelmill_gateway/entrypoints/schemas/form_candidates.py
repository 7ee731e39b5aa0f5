"""Forms of a model side by side, as they are shown."""

from typing import Literal, Self

from pydantic import Field

from modelmill_gateway.domain.form_candidates import (
    COSTS,
    LOSSES,
    FormCandidate,
    FormComparison,
    RefusalCode,
)
from modelmill_gateway.domain.job_differences import ScoreFigure
from modelmill_gateway.entrypoints.schemas.base import DatasetId, ResponseModel, VersionId
from modelmill_gateway.entrypoints.schemas.job_comparison import ScoreEstimate


class CandidateMeasure(ResponseModel):
    """What candidates are compared by: a cost, or a loss of quality."""

    name: str = Field(examples=["size_mb"])
    unit: str = Field(examples=["MB"])
    higher_is_better: bool = Field(examples=[False])


class CandidateRefusal(ResponseModel):
    """Why a form is not to be chosen, or was not built or measured."""

    code: RefusalCode
    reason: str = Field(examples=["loses more than its order allowed"])


class CandidateForm(ResponseModel):
    """A form of a model, with what was measured of it. `version_id` is null where none is kept."""

    object: Literal["form.candidate"] = "form.candidate"
    form: str = Field(examples=["openvino-int8"])
    version_id: VersionId | None
    costs: dict[str, ScoreEstimate]
    losses: dict[str, ScoreEstimate]
    """Quality lost beside the source; lower is better."""
    frontier: dict[str, list[str]] = Field(examples=[{"size_mb": ["accuracy_loss"]}])
    """By cost, the losses with which no other form beats it in both: its place on the Pareto
    frontier."""
    is_chosen: bool = Field(examples=[True])
    """By the search; of a model's forms, whether its name is served by it."""
    refusal: CandidateRefusal | None

    @classmethod
    def of_candidate(cls, candidate: FormCandidate, frontier: dict[str, list[str]]) -> Self:
        """A form, with its place."""
        refusal = candidate.refusal
        return cls(
            form=candidate.form,
            version_id=candidate.version_id or None,
            costs={name: _estimate(each) for name, each in candidate.costs.items()},
            losses={name: _estimate(each) for name, each in candidate.losses.items()},
            frontier=frontier,
            is_chosen=candidate.is_chosen,
            refusal=CandidateRefusal(code=refusal.code, reason=refusal.reason) if refusal else None,
        )


class CandidateObjective(ResponseModel):
    """What a search was to reach."""

    name: str = Field(examples=["p95_ms"])
    value: float = Field(examples=[200.0])
    bound: Literal["at_most", "at_least"]


class FormComparisonReport(ResponseModel):
    """Forms of a model side by side. Objective, verdict and reason are those of a search."""

    object: Literal["form.comparison"] = "form.comparison"
    costs: list[CandidateMeasure]
    """The objective's first."""
    losses: list[CandidateMeasure]
    """The one to go by first."""
    data: list[CandidateForm]
    objective: CandidateObjective | None
    max_accuracy_loss: float | None = Field(examples=[0.02])
    """Null where nothing is scored, or no limit is known."""
    load: dict[str, int] = Field(
        examples=[{"prompt_tokens": 128, "output_tokens": 64, "in_flight": 1}]
    )
    """Under which times, memory and price were measured; empty where they were not."""
    dataset_id: DatasetId | None
    """Whose rows were scored."""
    verdict: Literal["met", "not_met", "infeasible", "anomalous"] | None
    reason: str | None = Field(examples=["openvino-int8 has 148 (140 to 155)"])

    @classmethod
    def of_comparison(cls, found: FormComparison) -> Self:
        """All of it."""
        places = found.frontier()
        return cls.model_validate(
            {
                "costs": [_cost(name) for name in found.costs],
                "losses": [_loss(name) for name in found.losses],
                "data": [
                    CandidateForm.of_candidate(each, place)
                    for each, place in zip(found.candidates, places, strict=True)
                ],
                "objective": _objective(found),
                "max_accuracy_loss": found.most_lost,
                "load": dict(found.load),
                "dataset_id": found.dataset_id or None,
                "verdict": found.verdict or None,
                "reason": found.reason or None,
            }
        )


def _cost(name: str) -> CandidateMeasure:
    kind = COSTS[name]
    return CandidateMeasure(name=name, unit=kind.unit, higher_is_better=kind.higher_is_better)


def _loss(name: str) -> CandidateMeasure:
    return CandidateMeasure(name=name, unit=LOSSES[name], higher_is_better=False)


def _objective(found: FormComparison) -> CandidateObjective | None:
    if found.objective is None:
        return None
    name, value = found.objective
    is_least = name in COSTS and COSTS[name].higher_is_better
    return CandidateObjective(name=name, value=value, bound="at_least" if is_least else "at_most")


def _estimate(figure: ScoreFigure) -> ScoreEstimate:
    return ScoreEstimate(value=figure.value, low=figure.low, high=figure.high)
