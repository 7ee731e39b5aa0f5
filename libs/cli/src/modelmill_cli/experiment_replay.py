"""Replay of an experiment: its units decide again on this machine, and nothing may differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from modelmill_client import types
from modelmill_experiments.phases import PhaseDecision, Phases
from modelmill_experiments.plan import Plan
from modelmill_experiments.sequential_test import Unit
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.errors import WorkFailedError

FIELDS = ("phase", "verdict", "candidate", "metric", "evidence", "threshold", "keys")
"""Of a decision; all are compared."""
LIVE = ("starting", "running", "watching")
"""Statuses of an experiment that goes on."""

DecisionFields = Mapping[str, Any]


@dataclass(frozen=True)
class ComparedDecision:
    """A decision as the gateway recorded it, and as the units give it here; one may be missing."""

    recorded: DecisionFields | None
    replayed: DecisionFields | None

    @property
    def differing(self) -> tuple[str, ...]:
        """Fields that are not the same, without any tolerance."""
        recorded, replayed = self.recorded, self.replayed
        if recorded is None or replayed is None:
            return FIELDS
        return tuple(name for name in FIELDS if recorded[name] != replayed[name])

    @property
    def words(self) -> str:
        """What differs, or that nothing does."""
        if self.recorded is None:
            return "not recorded"
        if self.replayed is None:
            return "recorded, and not made here"
        said = (
            f"{name}: {self.recorded[name]!r} recorded, {self.replayed[name]!r} here"
            for name in self.differing
        )
        return ", ".join(said) or "identical"


def plan_of(experiment: types.Experiment) -> Plan:
    """What is compared, of the gateway's answer. Raises PlanError."""
    return Plan(
        shares={arm["name"]: arm["share"] for arm in experiment["arms"]},
        primary=experiment["primary"],
        guardrails=experiment["guardrails"],
        alpha=experiment["alpha"],
        max_harm=experiment["max_harm"],
        horizon=experiment["horizon"],
    )


def replay(
    experiment: types.Experiment, units: Sequence[types.ExperimentUnit]
) -> list[ComparedDecision]:
    """Every decision beside its replay, in the order in which they were made.

    Whoever stopped an experiment may have been faster than a decision, so what follows from its
    last units need not be recorded.

    Raises:
        PreconditionError: This version of mill cannot run such an experiment.
    """
    recorded = experiment["decisions"]
    made = [*map(_fields_of, _decisions(experiment, units))]
    if experiment["status"] == "stopped":
        made = made[: len(recorded)]
    return [ComparedDecision(*both) for both in zip_longest(recorded, made)]


def check_identical(experiment: types.Experiment, compared: Sequence[ComparedDecision]) -> None:
    """Raises WorkFailedError where a decision differs."""
    wrong = [each for each in compared if each.differing]
    if not wrong:
        return
    remedy = (
        "Repeat it with the mill of the gateway's version. Where they differ still, its units or"
        " its record were changed: order the experiment anew"
    )
    if experiment["status"] in LIVE and all(each.recorded is None for each in wrong):
        remedy = "It goes on: repeat the command when the gateway has carried them out"
    counted = f"{len(wrong)} of {len(compared)} decisions"
    raise WorkFailedError(f"{experiment['id']}: {counted} differ from the replay. {remedy}")


def _decisions(
    experiment: types.Experiment, units: Sequence[types.ExperimentUnit]
) -> Sequence[PhaseDecision]:
    try:
        phases = Phases(plan_of(experiment), experiment["holdback"])
        for each in units:
            key = bytes.fromhex(each["key"])
            phases.count(each["phase"], key, Unit(each["arm"], each["values"]))
    except ValueError as error:
        raise PreconditionError(
            f"{experiment['id']} cannot be replayed: {error}. Use the mill of the gateway's version"
        ) from error
    return phases.decisions


def _fields_of(made: PhaseDecision) -> DecisionFields:
    """As the API has it, where what is of all is null."""
    decision = made.decision
    return {
        "phase": made.phase,
        "verdict": decision.verdict.value,
        "candidate": decision.candidate or None,
        "metric": decision.metric or None,
        "evidence": decision.evidence,
        "threshold": decision.threshold,
        "keys": decision.keys,
    }
