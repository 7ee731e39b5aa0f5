"""Our own numbers beside those of the tools that everybody trusts."""

from typing import Any

import pytest

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


def test_the_merged_model_is_base_plus_adapter(engines: dict[str, Any]) -> None:
    assert engines["adapter_difference"] > 1
    assert engines["merged_difference"] < 0.05, "more than rounding weights to bf16 explains"


def test_the_scorer_gives_what_one_naive_pass_for_each_choice_gives(
    engines: dict[str, Any],
) -> None:
    assert engines["same_winners"]
    assert engines["worst_score_difference"] < 0.001
    assert engines["scores_finished"] >= 12


def test_a_choice_that_was_not_followed_gets_a_bound_that_cannot_win(
    engines: dict[str, Any],
) -> None:
    assert engines["bounds_hold"]


def test_rows_that_share_a_call_do_not_change_each_others_scores(engines: dict[str, Any]) -> None:
    assert engines["block_difference"] < 0.001


def test_the_weights_are_quantised_as_nncf_does_it(engines: dict[str, Any]) -> None:
    ours, theirs = engines["int8_constants"]

    assert ours == theirs == 15
    assert engines["same_int8_share"] == 1


def test_the_build_carries_the_options_it_was_measured_with(engines: dict[str, Any]) -> None:
    assert engines["options"] == str(2**31 - 1)


def test_the_serving_engine_loads_the_build_and_generates(engines: dict[str, Any]) -> None:
    assert engines["generated_tokens"] == 8
    assert engines["generated_text"]
