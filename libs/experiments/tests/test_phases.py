"""Two phases of an experiment: keys count once in each, in the order that all see."""

import random
from collections.abc import Iterator

import pytest
from modelmill_experiments.phases import COMPARED, WATCHED, Phases
from modelmill_experiments.plan import Plan, PlanError
from modelmill_experiments.sequential_test import Unit, Verdict

PLAN = Plan({"base": 0.5, "new": 0.5}, "completion", max_harm={"completion": 0.1})
Counted = tuple[int, bytes, Unit]


def counted(phase: int, better: str, shares: dict[str, float]) -> Iterator[Counted]:
    """Keys of a phase, whose tasks are mostly completed by one arm."""
    draw = random.Random(phase)
    while True:
        arm = draw.choices(list(shares), list(shares.values()))[0]
        completed = draw.random() < (0.9 if arm == better else 0.4)
        unit = Unit(arm, {"completion": (float(completed),), "errors": (0.0,)})
        yield phase, draw.randbytes(8), unit


def run_until(phases: Phases, verdict: Verdict, keys: Iterator[Counted]) -> list[Counted]:
    """What was counted until the verdict."""
    taken = []
    while True:
        taken.append(next(keys))
        if any(made.verdict is verdict for made in phases.count(*taken[-1])):
            return taken


def promoted() -> tuple[Phases, list[Counted]]:
    phases = Phases(PLAN, holdback=0.2)
    keys = counted(COMPARED, "new", dict(PLAN.shares))
    return phases, run_until(phases, Verdict.PROMOTE, keys)


def test_a_promoted_candidate_is_watched_beside_a_holdback_of_the_base() -> None:
    phases, _ = promoted()

    assert phases.number == WATCHED
    assert phases.current.plan.shares == pytest.approx({"base": 0.2, "new": 0.8})
    assert not phases.current.plan.may_promote
    assert phases.current.plan.harm("completion") == 0.1
    assert phases.current.keys == 0


def test_what_gets_worse_after_its_promotion_is_rolled_back() -> None:
    phases, _ = promoted()

    run_until(phases, Verdict.ROLL_BACK, counted(WATCHED, "base", dict(phases.current.plan.shares)))

    assert [it.decision.verdict for it in phases.decisions] == [Verdict.PROMOTE, Verdict.ROLL_BACK]
    assert [it.phase for it in phases.decisions] == [COMPARED, WATCHED]


def test_what_does_no_harm_until_the_horizon_ends_the_watch() -> None:
    phases = Phases(Plan(PLAN.shares, "completion", horizon=600), holdback=0.2)
    run_until(phases, Verdict.PROMOTE, counted(COMPARED, "new", dict(PLAN.shares)))
    keys = counted(WATCHED, "new", dict(phases.current.plan.shares))

    run_until(phases, Verdict.NO_WINNER, keys)

    assert phases.decisions[-1].decision.keys == 600


def test_keys_of_another_phase_keys_again_and_strange_arms_change_nothing() -> None:
    phases, taken = promoted()
    again, _ = promoted()
    strangers: list[Counted] = [
        taken[0],
        (WATCHED + 1, b"later", Unit("new", {})),
        (WATCHED, b"who", Unit("nobody", {})),
    ]
    watched = counted(WATCHED, "new", {"base": 0.2, "new": 0.8})
    for each in [next(watched) for _ in range(40)]:
        for counting in (each, each, *strangers):
            phases.count(*counting)
        again.count(*each)

    assert phases.current.keys == again.current.keys == 40
    assert list(phases.closed) == list(again.closed)


def test_a_key_counts_in_each_phase() -> None:
    phases, taken = promoted()
    _, key, _ = taken[0]

    phases.count(WATCHED, key, Unit("base", {"errors": (0.0,)}))

    assert phases.current.keys == 1


def test_the_same_keys_in_the_same_order_give_the_same_bits() -> None:
    first, taken = promoted()
    second = Phases(PLAN, holdback=0.2)
    for each in taken:
        second.count(*each)

    assert second.decisions == first.decisions


@pytest.mark.parametrize("holdback", [0.0, 1.0, -0.1])
def test_a_holdback_is_a_share(holdback: float) -> None:
    with pytest.raises(PlanError, match="holdback"):
        Phases(PLAN, holdback)
