"""What is decided where a caller leaves it open, whatever the rows and the model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.auto_choices import (
    MOST_EPOCHS,
    MOST_ROWS,
    STEPS,
    STEPS_OF_AN_EPOCH,
    AutoChoices,
    RunSize,
    decide_auto_choices,
)
from modelmill_trainer.domain.hyper_parameters import BOUNDS, HyperParameters, decide
from modelmill_trainer.domain.methods import LOW_RANK, METHODS, OBJECTIVES
from modelmill_trainer.domain.training_plan import plan_training

SMALL = 576
"""SmolLM2-135M's width."""


def facts(rows: int = 300, **others: int) -> RunSize:
    return RunSize(**{"rows": rows, "tokens": 40 * rows, "width": SMALL} | others)


def decided(
    given_choices: dict[str, Any] | None = None,
    of: RunSize | None = None,
    method: str = "lora",
    objective: str = "answers",
) -> HyperParameters:
    choices = decide(method, given_choices or {}, objective=objective)
    return decide_auto_choices(choices, of or facts()).apply(choices)


@given(
    st.sampled_from(METHODS),
    st.sampled_from(OBJECTIVES),
    st.builds(
        RunSize,
        rows=st.integers(1, 10**7),
        tokens=st.integers(1, 10**10),
        width=st.integers(16, 20_000),
        ranks=st.integers(1, 64),
    ),
    st.integers(1, 8),
    st.integers(1, 256),
)
def test_automatic_values_are_within_bounds_and_have_a_reason(
    method: str, objective: str, of: RunSize, parts: int, rank: int
) -> None:
    if (method, objective) == ("full", "kto"):
        return
    own = {"lora_rank": rank} if method in LOW_RANK else {}
    choices = decide(method, {"gradient_accumulation_steps": parts} | own, objective=objective)
    assert set(choices.auto_fields) == {"learning_rate", "epochs", "batch_size"}

    decision = decide_auto_choices(choices, of)

    whole = decision.apply(choices)
    assert whole.auto_fields == ()
    for name in choices.auto_fields:
        assert BOUNDS[name].holds(getattr(whole, name))
        assert any(reason.startswith(f"{name} ") for reason in decision.reasons)
    assert whole.batch_size % parts == 0
    assert whole.batch_size >= of.ranks
    assert AutoChoices.from_json(decision.as_json()) == decision
    # What was decided is what a caller could have given.
    again = {name: getattr(whole, name) for name in choices.auto_fields}
    assert decide(method, own | again | {"gradient_accumulation_steps": parts}, objective=objective)


@given(st.integers(1, 50_000))
def test_few_rows_get_more_epochs_until_the_run_has_enough_steps(rows: int) -> None:
    choices = decided(of=facts(rows))
    steps = plan_training(rows, choices).steps

    assert steps >= STEPS or choices.epochs == MOST_EPOCHS
    # Not many more than that by reading again what one pass less would have read often enough.
    assert choices.epochs == 1 or rows * (choices.epochs - 1) < STEPS * choices.batch_size


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_rows_never_decrease_batch_size_or_increase_epochs(few: int, more: int) -> None:
    few, more = sorted((few, more))

    assert decided(of=facts(few)).batch_size <= decided(of=facts(more)).batch_size <= MOST_ROWS
    larger = decided(of=facts(more))
    if larger.batch_size == MOST_ROWS:
        assert larger.epochs <= -(-STEPS // STEPS_OF_AN_EPOCH)


def test_long_rows_decrease_the_batch_size() -> None:
    short, long = facts(10_000), facts(10_000, tokens=10_000 * 2_000)

    assert decided(of=long).batch_size < decided(of=short).batch_size


def test_lora_has_a_higher_rate_than_full_and_wide_models_a_lower_one() -> None:
    assert decided().learning_rate == pytest.approx(
        10 * decided(method="full").learning_rate, rel=0.1
    )
    wide = facts(width=4096)
    for method in ("lora", "full"):
        assert decided(of=wide, method=method).learning_rate < decided(method=method).learning_rate
    # A larger scale moves the weights further, however many ranks it is the scale of.
    assert decided({"lora_rank": 64, "lora_alpha": 32}).learning_rate == decided().learning_rate
    assert decided({"lora_alpha": 64}).learning_rate < decided().learning_rate


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_preferences_are_learned_at_half_the_rate_of_answers(objective: str) -> None:
    assert decided(objective=objective).learning_rate == pytest.approx(
        decided().learning_rate / 2, rel=0.05
    )


def test_given_values_stay_and_only_automatic_ones_are_resolved() -> None:
    choices = decided({"epochs": 2, "learning_rate": 1e-4})
    assert (choices.epochs, choices.learning_rate, choices.batch_size) == (2, 1e-4, 8)
    reasons = decide_auto_choices(decide("lora", {"preset": "guide"}), facts()).reasons
    assert reasons == ()


def test_the_multiplier_multiplies_the_automatic_rate_and_no_other() -> None:
    doubled = decided({"learning_rate_multiplier": 2})
    assert doubled.learning_rate == pytest.approx(2 * decided().learning_rate, rel=0.05)
    for other in ({"learning_rate": 1e-4}, {"preset": "guide"}):
        with pytest.raises(InvalidInputError, match="multiplies the automatic rate"):
            decide("lora", other | {"learning_rate_multiplier": 2})


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="preset must be 'guide' or empty, got 'fast'"):
        decide("lora", {"preset": "fast"})
