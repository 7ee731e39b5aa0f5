"""Promotions and rollbacks by evidence, which the same units give again."""

import random
from collections.abc import Callable, Iterator

import pytest
from modelmill_experiments.metrics import CALIBRATED_BY
from modelmill_experiments.plan import Plan, PlanError
from modelmill_experiments.sequential_test import Decision, SequentialTest, Unit, Verdict

EVEN = {"base": 0.5, "new": 0.5}
Answers = Callable[[random.Random, bool], dict[str, list[float]]]


def keys(answers: Answers, share: float = 0.5, seed: int = 1) -> Iterator[Unit]:
    """Keys that fall to the candidate with that chance, with what is said of them."""
    draw = random.Random(seed)
    while True:
        is_new = draw.random() < share
        yield Unit("new" if is_new else "base", {"errors": [0.0]} | answers(draw, is_new))


def decided(plan: Plan, answers: Answers, seed: int = 1) -> list[Decision]:
    """All decisions of an experiment that runs to its end."""
    experiment = SequentialTest(plan)
    source = keys(answers, plan.shares["new"], seed)
    while not experiment.ended:
        experiment.apply(next(source))
    return experiment.decisions


def pleased(base: float, new: float) -> Answers:
    """People are satisfied so often."""

    def answers(draw: random.Random, is_new: bool) -> dict[str, list[float]]:
        return {"satisfaction": [float(draw.random() < (new if is_new else base))]}

    return answers


def test_a_better_candidate_is_promoted() -> None:
    [decision] = decided(Plan(EVEN, "satisfaction"), pleased(0.6, 0.8))
    assert (decision.verdict, decision.candidate) == (Verdict.PROMOTE, "new")
    assert decision.evidence >= decision.threshold == 40
    assert decision.keys < 1_500


def test_a_candidate_that_is_no_better_reaches_the_horizon() -> None:
    [decision] = decided(Plan(EVEN, "satisfaction", horizon=500), pleased(0.7, 0.7))
    assert (decision.verdict, decision.keys) == (Verdict.NO_WINNER, 500)


def test_a_worse_candidate_is_rolled_back() -> None:
    [decision] = decided(Plan(EVEN, "satisfaction"), pleased(0.8, 0.5))
    assert (decision.verdict, decision.metric) == (Verdict.ROLL_BACK, "satisfaction")


def test_what_was_measured_of_a_candidate_stays_when_it_is_rolled_back() -> None:
    experiment, source = SequentialTest(Plan(EVEN, "satisfaction")), keys(pleased(0.8, 0.5))
    while not experiment.ended:
        experiment.apply(next(source))
    assert not experiment.watches
    assert experiment.measured["new"]["satisfaction"].harmful.largest == (
        experiment.decisions[0].evidence
    )


def test_a_candidate_that_fails_is_rolled_back_whatever_else_is_said() -> None:
    def answers(draw: random.Random, is_new: bool) -> dict[str, list[float]]:
        failed = is_new and draw.random() < 0.2
        return {"errors": [float(failed)]} | ({} if failed else {"satisfaction": [float(is_new)]})

    [decision] = decided(Plan(EVEN, "satisfaction"), answers)
    assert (decision.verdict, decision.metric) == (Verdict.ROLL_BACK, "errors")


def test_seventy_percent_of_answers_a_hundred_times_slower_are_never_promoted() -> None:
    def answers(draw: random.Random, is_new: bool) -> dict[str, list[float]]:
        seconds = draw.uniform(0.8, 1.2) * (100 if is_new and draw.random() < 0.7 else 1)
        return {"satisfaction": [float(is_new)], "total_seconds": [seconds]}

    plan = Plan(EVEN, "satisfaction", ("total_seconds",))
    [decision] = decided(plan, answers)
    assert (decision.verdict, decision.metric) == (Verdict.ROLL_BACK, "total_seconds")
    assert decision.keys < 4 * CALIBRATED_BY


def test_a_better_but_dearer_candidate_is_rolled_back() -> None:
    def answers(draw: random.Random, is_new: bool) -> dict[str, list[float]]:
        cost = draw.uniform(50, 150) * (1.5 if is_new else 1.0)
        return {"cost": [cost]} | pleased(0.7, 0.75)(draw, is_new)

    [decision] = decided(Plan(EVEN, "satisfaction", ("cost",)), answers)
    assert (decision.verdict, decision.metric) == (Verdict.ROLL_BACK, "cost")


def test_a_metric_that_never_arrives_promotes_nobody() -> None:
    plan = Plan(EVEN, "satisfaction", ("schema_validity",), horizon=3_000)
    [decision] = decided(plan, pleased(0.5, 0.9))
    assert decision.verdict is Verdict.NO_WINNER


def test_a_lower_metric_that_is_primary_wins_by_being_lower() -> None:
    def answers(draw: random.Random, is_new: bool) -> dict[str, list[float]]:
        return {"cost": [draw.uniform(50, 150) * (0.7 if is_new else 1.0)]}

    [decision] = decided(Plan(EVEN, "cost"), answers)
    assert decision.verdict is Verdict.PROMOTE


def test_one_of_several_candidates_is_promoted_and_the_worst_goes() -> None:
    chances = {"base": 0.6, "good": 0.75, "bad": 0.2}
    plan = Plan({"base": 0.4, "good": 0.3, "bad": 0.3}, "satisfaction")
    experiment, draw = SequentialTest(plan), random.Random(3)
    while not experiment.ended:
        [arm] = draw.choices(list(plan.shares), list(plan.shares.values()))
        said = [float(draw.random() < chances[arm])]
        experiment.apply(Unit(arm, {"satisfaction": said, "errors": [0.0]}))
    found = [(each.verdict, each.candidate) for each in experiment.decisions]
    assert found == [(Verdict.ROLL_BACK, "bad"), (Verdict.PROMOTE, "good")]


def test_a_watched_version_is_never_promoted_and_rolled_back_when_it_turns_bad() -> None:
    plan = Plan({"base": 0.1, "new": 0.9}, "satisfaction", may_promote=False)
    [decision] = decided(plan, pleased(0.8, 0.5))
    assert decision.verdict is Verdict.ROLL_BACK
    [decision] = decided(plan, pleased(0.5, 0.9))
    assert decision.verdict is Verdict.NO_WINNER


def test_keys_that_do_not_fall_as_the_shares_say_stop_it() -> None:
    experiment = SequentialTest(Plan(EVEN, "satisfaction"))
    source = keys(pleased(0.5, 0.9), share=0.7)
    while not experiment.ended:
        experiment.apply(next(source))
    assert experiment.decisions[-1].verdict is Verdict.SAMPLE_RATIO


def test_nothing_is_decided_after_the_end() -> None:
    plan = Plan(EVEN, "satisfaction", horizon=10)
    experiment, source = SequentialTest(plan), keys(pleased(0.5, 0.5))
    for _ in range(50):
        experiment.apply(next(source))
    assert [each.keys for each in experiment.decisions] == [10]


def test_the_same_units_give_the_same_decisions_bit_for_bit() -> None:
    plan = Plan(EVEN, "satisfaction", ("errors",))
    first, second = (decided(plan, pleased(0.6, 0.7)) for _ in range(2))
    assert first == second
    assert first[0].evidence.hex() == second[0].evidence.hex()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shares": {"new": 1.0}}, "name 'base' first"),
        ({"shares": {"base": 0.5, "new": 0.4}}, "1 together"),
        ({"shares": {"base": 1.0, "new": 0.0}}, "more than 0"),
        ({"primary": "joy"}, "no metric 'joy'"),
        ({"guardrails": ["joy"]}, "no metric 'joy'"),
        ({"alpha": 0.0}, "alpha"),
        ({"max_harm": {"cost": 2.0}}, "max_harm"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_a_plan_that_cannot_be_run_says_what_is_wrong(fields: dict[str, object], said: str) -> None:
    whole: dict[str, object] = {"shares": EVEN, "primary": "satisfaction"}
    with pytest.raises(PlanError, match=said):
        Plan(**(whole | fields))  # type: ignore[arg-type]
