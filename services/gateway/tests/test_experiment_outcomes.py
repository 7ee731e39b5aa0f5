"""Where decisions leave an experiment and its alias."""

import pytest
from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill_experiments.phases import COMPARED, WATCHED, PhaseDecision
from modelmill_experiments.sequential_test import Decision, Verdict
from modelmill_gateway.domain.models import ONLY, Shadow, Split, Variant
from modelmill_gateway.experiments.outcomes import ExperimentOutcome, outcome_of

STATE = pb.ExperimentState(
    experiment_id="exp-1",
    arms=[
        pb.ExperimentArm(name="base", version_id="mv-old", share=0.5),
        pb.ExperimentArm(name="candidate-1", version_id="mv-one", share=0.25),
        pb.ExperimentArm(name="candidate-2", version_id="mv-two", share=0.25),
    ],
    holdback=0.1,
)
BEFORE = Split((Variant(ONLY, "mv-old", 1.0),), fallback="mv-spare", shadow=Shadow("mv-dark", 0.1))


def decision(verdict: Verdict, candidate: str = "", phase: int = COMPARED) -> PhaseDecision:
    return PhaseDecision(phase, Decision(verdict, candidate, "completion", 90.0, 80.0, 700))


def versions(outcome: ExperimentOutcome) -> dict[str, str]:
    return {each.name: each.version_id for each in outcome.variants}


def test_at_first_every_arm_answers_with_its_version_and_its_share() -> None:
    outcome = outcome_of(STATE, ())

    assert outcome.status == pb.EXPERIMENT_STATUS_RUNNING
    assert [(it.name, it.version_id, it.weight) for it in outcome.variants] == [
        ("base", "mv-old", 0.5),
        ("candidate-1", "mv-one", 0.25),
        ("candidate-2", "mv-two", 0.25),
    ]


def test_of_several_candidates_one_that_is_worse_is_answered_by_the_base() -> None:
    outcome = outcome_of(STATE, [decision(Verdict.ROLL_BACK, "candidate-1")])

    assert outcome.status == pb.EXPERIMENT_STATUS_RUNNING
    found = {"base": "mv-old", "candidate-1": "mv-old", "candidate-2": "mv-two"}
    assert versions(outcome) == found


def test_when_all_candidates_are_worse_the_base_has_the_alias_again() -> None:
    names = ("candidate-1", "candidate-2")
    outcome = outcome_of(STATE, [decision(Verdict.ROLL_BACK, name) for name in names])

    assert outcome.status == pb.EXPERIMENT_STATUS_ROLLED_BACK
    assert versions(outcome) == {ONLY: "mv-old"}
    assert "candidate-2 is worse on completion" in outcome.reason


def test_the_promoted_one_answers_all_but_the_holdback() -> None:
    outcome = outcome_of(STATE, [decision(Verdict.PROMOTE, "candidate-2")])

    assert (outcome.status, outcome.phase) == (pb.EXPERIMENT_STATUS_WATCHING, WATCHED)
    found = [(it.name, it.version_id, it.weight) for it in outcome.variants]
    assert found == [("candidate-2", "mv-two", 0.9), ("base", "mv-old", 0.1)]


@pytest.mark.parametrize(
    ("made", "status", "version"),
    [
        (decision(Verdict.NO_WINNER), pb.EXPERIMENT_STATUS_NO_WINNER, "mv-old"),
        (decision(Verdict.SAMPLE_RATIO), pb.EXPERIMENT_STATUS_NO_WINNER, "mv-old"),
    ],
)
def test_without_a_winner_the_base_has_the_alias_again(
    made: PhaseDecision, status: int, version: str
) -> None:
    outcome = outcome_of(STATE, [made])

    assert (outcome.status, versions(outcome)) == (status, {ONLY: version})
    assert outcome.reason


@pytest.mark.parametrize(
    ("verdict", "status", "version"),
    [
        (Verdict.NO_WINNER, pb.EXPERIMENT_STATUS_PROMOTED, "mv-one"),
        (Verdict.ROLL_BACK, pb.EXPERIMENT_STATUS_ROLLED_BACK, "mv-old"),
        (Verdict.SAMPLE_RATIO, pb.EXPERIMENT_STATUS_ROLLED_BACK, "mv-old"),
    ],
)
def test_a_watch_ends_with_the_promoted_one_or_with_the_base(
    verdict: Verdict, status: int, version: str
) -> None:
    made = [decision(Verdict.PROMOTE, "candidate-1"), decision(verdict, "candidate-1", WATCHED)]
    outcome = outcome_of(STATE, made)

    assert (outcome.status, versions(outcome)) == (status, {ONLY: version})


def test_a_shadow_and_a_fallback_stay_as_they_were() -> None:
    live = outcome_of(STATE, ()).split(BEFORE, "exp-1")
    over = outcome_of(STATE, [decision(Verdict.NO_WINNER)]).split(live, "exp-1")

    assert live.phase is not None
    assert (live.phase.experiment_id, live.fallback, live.shadow) == (
        "exp-1",
        "mv-spare",
        BEFORE.shadow,
    )
    assert over == BEFORE
