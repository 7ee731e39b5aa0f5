"""Experiments on an alias, their evidence and their decisions."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_experiments.phases import Phases
from modelmill_experiments.plan import BASE
from modelmill_experiments.sequential_test import SequentialTest
from pydantic import Field, model_validator

from modelmill_gateway.entrypoints.schemas.base import (
    ModelName,
    OrNull,
    ResponseModel,
    UnixSeconds,
    User,
    VersionId,
)
from modelmill_gateway.entrypoints.schemas.models import VERSION
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody
from modelmill_gateway.experiments.manage_experiments import Candidate, ExperimentOrder

MAX_CANDIDATES = 4
MAX_GUARDRAILS = 16
Metric = Annotated[str, Field(min_length=1, max_length=64)]
Share = Annotated[float, Field(gt=0, lt=1)]
STATUS = {
    pb.EXPERIMENT_STATUS_STARTING: "starting",
    pb.EXPERIMENT_STATUS_RUNNING: "running",
    pb.EXPERIMENT_STATUS_WATCHING: "watching",
    pb.EXPERIMENT_STATUS_PROMOTED: "promoted",
    pb.EXPERIMENT_STATUS_ROLLED_BACK: "rolled_back",
    pb.EXPERIMENT_STATUS_NO_WINNER: "no_winner",
    pb.EXPERIMENT_STATUS_STOPPED: "stopped",
}


class ExperimentBody(StrictBody):
    """Request body of POST /v1/experiments."""

    alias: str = Field(
        min_length=1,
        max_length=64,
        description="Alias of your own that means one version, the base.",
        examples=["helpdesk"],
    )
    candidates: list[Annotated[str, Field(min_length=1, max_length=256, description=VERSION)]] = (
        Field(
            min_length=1,
            max_length=MAX_CANDIDATES,
            description="Versions that are compared with the base.",
            examples=[["mv-5d1c0e"]],
        )
    )
    shares: list[Share] | None = Field(
        None,
        max_length=MAX_CANDIDATES,
        description="Share of keys of each candidate; by default all have as many as the base.",
        examples=[[0.5]],
    )
    primary: Metric = Field(
        description="Metric that has to be better for a promotion.", examples=["satisfaction"]
    )
    guardrails: list[Metric] = Field(
        default_factory=list,
        max_length=MAX_GUARDRAILS,
        description="Metrics that must not be worse by more than `max_harm`; errors always is one.",
        examples=[["block_rate", "total_seconds"]],
    )
    alpha: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Chance of a wrong promotion or rollback at most, whenever one looks.",
    )
    max_harm: dict[Metric, Share] = Field(
        default_factory=dict,
        max_length=MAX_GUARDRAILS,
        description="What may be lost of a metric, where it is not the metric's own default.",
        examples=[{"total_seconds": 0.1}],
    )
    horizon: int = Field(
        10_000, ge=1, le=100_000, description="Keys after which it ends without a winner."
    )
    window_seconds: float = Field(
        600.0,
        ge=1.0,
        le=7 * 86_400.0,
        description="Seconds from a key's first answer in which answers and feedback count.",
    )
    holdback: float = Field(
        0.1, gt=0, lt=1, description="Share of the base while a promoted candidate is watched."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.shares is not None and len(self.shares) != len(self.candidates):
            raise ValueError("shares: give one for each candidate, or none at all")
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates: each once")
        return self

    @property
    def order(self) -> ExperimentOrder:
        """What was asked for."""
        each = 1.0 / (len(self.candidates) + 1)
        shares = self.shares or [each] * len(self.candidates)
        given = self.model_dump(exclude={"candidates", "shares"})
        return ExperimentOrder(candidates=tuple(self._candidates(shares)), **given)

    def _candidates(self, shares: list[float]) -> Iterator[Candidate]:
        for number, (version, share) in enumerate(zip(self.candidates, shares, strict=True), 1):
            name = "candidate" if len(shares) == 1 else f"candidate-{number}"
            yield Candidate(name, version, share)


class ExperimentArm(ResponseModel):
    """Arm of an experiment; the first is the base, which the others are compared with."""

    name: str = Field(examples=["candidate"])
    version_id: VersionId
    share: float = Field(examples=[0.5])


class ExperimentDecision(ResponseModel):
    """Decision of an experiment, with the evidence that it was made by."""

    phase: int
    verdict: Literal["promote", "roll_back", "sample_ratio", "no_winner"]
    candidate: OrNull[str] = Field(examples=["candidate"])
    metric: OrNull[str] = Field(examples=["satisfaction"])
    evidence: float = Field(examples=[84.2])
    """E-value: what a bet against the opposite would have come to."""
    threshold: float = Field(examples=[80.0])
    keys: int = Field(examples=[1420])


class MetricEvidence(ResponseModel):
    """Evidence on one metric of one candidate: e-values at their largest so far."""

    candidate: str = Field(examples=["candidate"])
    metric: str = Field(examples=["satisfaction"])
    base_mean: float | None = Field(examples=[0.61])
    """Of keys that count; amounts are over a cap, and tails the share beyond the base's 95 %."""
    candidate_mean: float | None = Field(examples=[0.68])
    base_keys: int = Field(examples=[710])
    candidate_keys: int = Field(examples=[708])
    better: float = Field(examples=[84.2])
    harmless: float = Field(examples=[310.0])
    """Against "worse by more than it may be"."""
    harmful: float = Field(examples=[1.0])
    """Against "not worse by more than it may be"."""


class Experiment(ResponseModel):
    """Experiment on an alias: what is compared, the evidence so far, and what was decided."""

    id: str = Field(validation_alias="experiment_id", examples=["exp-0b8f"])
    object: Literal["experiment"] = "experiment"
    created_at: UnixSeconds
    alias: ModelName
    status: Literal[
        "starting", "running", "watching", "promoted", "rolled_back", "no_winner", "stopped"
    ]
    reason: OrNull[str]
    """Why it ended."""
    phase: int
    """0 compares candidates, 1 watches the promoted one beside a holdback of the base."""
    arms: list[ExperimentArm]
    primary: str = Field(examples=["satisfaction"])
    guardrails: list[str]
    alpha: float = Field(examples=[0.05])
    max_harm: dict[str, float]
    horizon: int = Field(examples=[10000])
    window_seconds: float = Field(examples=[600.0])
    holdback: float = Field(examples=[0.1])
    keys: int
    """That this phase has counted."""
    sample_ratio: float = Field(examples=[1.0])
    """E-value against "keys fall to the arms as the shares say"; it ends at 1000."""
    evidence: list[MetricEvidence]
    missing: list[str] = Field(examples=[["completion"]])
    """Metrics of which nothing is measured yet; without them nothing is promoted."""
    decisions: list[ExperimentDecision]
    changed_by: OrNull[User]

    @classmethod
    def of_state(cls, state: pb.ExperimentState, phases: Phases) -> Self:
        """An experiment with what is known of its keys."""
        current = phases.current
        evidence = list(_evidence(current))
        measured = {each.metric for each in evidence if each.base_keys or each.candidate_keys}
        return cls.of(
            state,
            status=STATUS[state.status],
            keys=current.keys,
            sample_ratio=current.ratio.largest,
            evidence=evidence,
            missing=[name for name in current.plan.watched if name not in measured],
        )


def _evidence(current: SequentialTest) -> Iterator[MetricEvidence]:
    for candidate, watches in current.measured.items():
        for metric, watch in watches.items():
            sums, counts = watch.plain.sums, watch.plain.counts
            yield MetricEvidence(
                candidate=candidate,
                metric=metric,
                base_mean=sums[0] / counts[0] if counts[0] else None,
                candidate_mean=sums[1] / counts[1] if counts[1] else None,
                base_keys=counts[0],
                candidate_keys=counts[1],
                better=watch.better.largest,
                harmless=watch.harmless.largest,
                harmful=watch.harmful.largest,
            )


class ExperimentUnit(ResponseModel):
    """Key that an experiment counted, in the order that decides."""

    phase: int
    key: str = Field(examples=["9f86d081884c7d65"])
    """Digest of the sticky key."""
    arm: str = Field(examples=[BASE])
    values: dict[str, list[float]] = Field(examples=[{"satisfaction": [1.0]}])
    """By metric, an answer each."""

    @classmethod
    def of_units(cls, stored: pb.ExperimentUnits) -> Iterator[Self]:
        """Those of one message."""
        for unit in stored.units:
            yield cls(
                phase=stored.phase,
                key=unit.key_digest.hex(),
                arm=unit.arm,
                values={name: list(it.values) for name, it in sorted(unit.values.items())},
            )
