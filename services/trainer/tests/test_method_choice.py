"""What goes together, and what method auto becomes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_service_kit.errors import InvalidInputError
from modelmill_trainer.domain.hyper_parameters import HyperParameters, decide
from modelmill_trainer.domain.method_choice import FULL_FROM_ROWS, TEXT_FROM_ROWS, choose_method
from modelmill_trainer.domain.methods import (
    FULL,
    LORA,
    METHODS,
    OBJECTIVES,
    PREFERENCES,
    guide_rate,
    has_meaning,
)

GIB = 1 << 30


def chosen(rows: int | None, objective: str = "answers", *, memory: int = 64 * GIB) -> Any:
    return choose_method(
        rows=rows, objective=objective, memory_bytes=memory, full_run_bytes=32 * GIB
    )


def test_auto_is_full_for_many_rows_and_enough_memory() -> None:
    choice = chosen(FULL_FROM_ROWS)

    assert choice.method == FULL
    assert choice.reason == (
        "full, because 100000 rows are at least 100000 and 32.0 GiB fit into 64.0"
    )


@pytest.mark.parametrize(
    ("rows", "objective", "memory", "because"),
    [
        (FULL_FROM_ROWS - 1, "answers", 64 * GIB, "99999 rows are fewer than the 100000"),
        (TEXT_FROM_ROWS - 1, "text", 64 * GIB, "9999 rows are fewer than the 10000"),
        (FULL_FROM_ROWS, "answers", 31 * GIB, "all weights need 32.0 GiB of memory and there are"),
        (FULL_FROM_ROWS, "dpo", 64 * GIB, "objective dpo compares with a model that must stay"),
        (None, "answers", 64 * GIB, "the dataset is not made yet"),
    ],
)
def test_auto_gives_the_reason_against_full(
    rows: int | None, objective: str, memory: int, because: str
) -> None:
    choice = chosen(rows, objective, memory=memory)

    assert choice.method == LORA
    assert because in choice.reason


def test_objective_text_becomes_full_with_fewer_rows() -> None:
    assert chosen(TEXT_FROM_ROWS, "text").method == FULL
    assert chosen(TEXT_FROM_ROWS, "answers").method == LORA


@given(
    st.integers(0, 10**7) | st.none(),
    st.sampled_from(OBJECTIVES),
    st.integers(0, 1 << 40),
    st.integers(1, 1 << 40),
)
def test_auto_always_resolves_to_a_valid_run_that_fits_memory(
    rows: int | None, objective: str, memory: int, full: int
) -> None:
    choice = choose_method(rows=rows, objective=objective, memory_bytes=memory, full_run_bytes=full)

    assert choice.method == LORA or full <= memory
    assert choice.reason.startswith(f"{choice.method}, because ")
    decided = decide(choice.method, {}, objective=objective)
    assert decided.method == choice.method


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_method_supports_every_objective_except_kto_with_full(
    method: str, objective: str
) -> None:
    if (method, objective) == ("full", "kto"):
        with pytest.raises(InvalidInputError, match="kto does not work with method full"):
            decide(method, {}, objective=objective)
        return
    decided = decide(method, {"preset": "guide"}, objective=objective)

    assert decided.auto_fields == ()
    assert (decided.epochs, decided.batch_size) == (1, 32)
    assert decided.learning_rate == guide_rate(method, objective)
    assert decided.learning_rate < 1e-4 or method in ("prefix", "prompt")
    assert HyperParameters.from_json(decided.as_json()) == decided
    assert (decided.soft_prompt_tokens > 0) == (method in ("prefix", "prompt"))


GIVEN: dict[str, Any] = {
    "lora_rank": 4,
    "lora_alpha": 8.0,
    "lora_dropout": 0.1,
    "target_modules": ("q_proj",),
    "target_parameters": ("mlp.experts.down_proj",),
    "virtual_tokens": 4,
    "preference_beta": 0.2,
    "distillation_temperature": 3.0,
    "distillation_weight": 0.2,
    "last_turn_only": True,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", ["answers", "dpo", "distillation"])
@pytest.mark.parametrize("name", GIVEN)
def test_a_field_that_does_not_apply_is_refused(method: str, objective: str, name: str) -> None:
    given_once = {name: GIVEN[name]}
    if has_meaning(name, method, objective):
        assert getattr(decide(method, given_once, objective=objective), name) == GIVEN[name]
        return
    with pytest.raises(InvalidInputError, match=f"{name} has no meaning for"):
        decide(method, given_once, objective=objective)


def test_virtual_tokens_count_towards_the_context() -> None:
    with pytest.raises(InvalidInputError, match=r"\(500\) and virtual_tokens \(20\) is more than"):
        decide("prefix", {"max_tokens_per_row": 500}, context_tokens=512)
    with pytest.raises(InvalidInputError, match="virtual_tokens"):
        decide("prefix", {"virtual_tokens": 512}, context_tokens=512)
    assert decide("lora", {"max_tokens_per_row": 500}, context_tokens=512)


def test_expert_dropout_and_single_row_kto_are_refused() -> None:
    experts = {"target_parameters": ("mlp.experts.down_proj",), "lora_dropout": 0.1}
    with pytest.raises(InvalidInputError, match="lora_dropout does not work with"):
        decide("lora", experts)
    with pytest.raises(InvalidInputError, match="batch_size to at least 2"):
        decide("lora", {"batch_size": 1, "gradient_accumulation_steps": 1}, objective="kto")


def test_preference_objectives_have_a_lower_rate() -> None:
    for objective in PREFERENCES:
        assert guide_rate("lora", objective) < guide_rate("lora", "answers") / 5
