"""Which rows a step sees and at what rate, whatever the numbers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.domain.training_plan import TrainingPlan, plan_training

PLANS = st.builds(
    lambda rows, batch, epochs, warmup, seed: plan_training(
        rows,
        decide(
            "lora",
            {
                "batch_size": batch,
                "gradient_accumulation_steps": 1,
                "epochs": epochs,
                "warmup_ratio": warmup,
                "learning_rate": 0.1,
                "seed": seed,
            },
        ),
    ),
    st.integers(1, 50),
    st.integers(1, 20),
    st.integers(1, 3),
    st.floats(0, 0.9),
    st.integers(0, 5),
)


@given(PLANS)
def test_every_row_is_seen_once_an_epoch(plan: TrainingPlan) -> None:
    seen = [row for step in range(plan.steps) for row in plan.rows_of(step)]

    assert len(seen) == plan.row_visits
    for epoch in range(plan.row_visits // plan.rows):
        assert Counter(seen[epoch * plan.rows : (epoch + 1) * plan.rows]) == Counter(
            range(plan.rows)
        )


@given(PLANS)
def test_the_rate_rises_to_its_peak_and_falls_and_is_never_zero(plan: TrainingPlan) -> None:
    rates = [plan.learning_rate(step) for step in range(plan.steps)]

    assert all(0 < rate <= plan.peak_learning_rate for rate in rates)
    rising, falling = rates[: plan.warmup_steps], rates[plan.warmup_steps :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == plan.peak_learning_rate


def test_the_order_depends_on_epoch_and_seed_only() -> None:
    def order(seed: int) -> list[list[int]]:
        choices = decide("lora", {"batch_size": 20, "epochs": 2, "seed": seed})
        plan = plan_training(20, choices)
        return [plan.rows_of(step) for step in range(plan.steps)]

    assert order(1) == order(1)
    assert order(1)[0] != order(1)[1]
    assert order(1) != order(2)


@given(st.permutations(range(7)), st.booleans(), st.integers(1, 5))
def test_an_order_is_followed_row_for_row(order: list[int], repeats: bool, batch_size: int) -> None:
    choices = decide(
        "lora", {"batch_size": batch_size, "gradient_accumulation_steps": 1, "epochs": 2}
    )
    plan = plan_training(7, choices, order=order, order_repeats=repeats)
    shuffled = plan_training(7, choices)

    def visits(of: TrainingPlan) -> list[int]:
        return [row for step in range(of.steps) for row in of.rows_of(step)]

    assert visits(plan)[:7] == order
    assert visits(plan)[7:] == (order if repeats else visits(shuffled)[7:])
    assert plan.position_after(1) == shuffled.position_after(1)


def test_an_order_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="an order of 2 rows for 3"):
        plan_training(3, decide("lora", {"preset": "guide"}), order=[0, 1])


def test_the_number_of_steps_can_be_capped() -> None:
    plan = plan_training(1000, decide("lora", {"max_steps": 3, "epochs": 1, "batch_size": 8}))

    assert plan.steps == 3
    assert plan.position_after(2) == (0, 16)


def test_a_request_survives_a_json_round_trip() -> None:
    choices = decide("lora", {"lora_rank": 4, "epochs": 0.5})

    assert HyperParameters.from_json(choices.as_json()) == choices
    assert choices.lora_alpha == 8
