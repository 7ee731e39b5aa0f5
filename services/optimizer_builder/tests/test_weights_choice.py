"""Which weights win, what the likelihood figures mean, and that a right answer's is exact."""

import math

import numpy as np
import pytest
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_optimizer_builder.adapters.choice_search import BestChoiceSearch
from modelmill_optimizer_builder.domain.int4_methods import COMPETING, METHODS
from modelmill_optimizer_builder.domain.likelihoods import (
    label_figures,
    perplexity_figures,
    perplexity_growth,
)
from modelmill_optimizer_builder.domain.weights_choice import (
    Judgement,
    WeightsTrial,
    choose_weights,
)

REFERENCE_BYTES = 1_000
NOISE = np.random.default_rng(0).normal(0, 1, 64)


def judged(*, answers: float, texts: float, noise: float = 0.0) -> Judgement:
    """Rows and texts about as likely as said."""
    rows = [answers + noise * float(each) for each in NOISE]
    return Judgement(rows, [[texts] * 10 for _ in range(20)])


def trial(name: str, judgement: Judgement, weights_bytes: int = 334) -> WeightsTrial:
    return WeightsTrial(name, weights_bytes, 1.0, judgement)


REFERENCE = judged(answers=-0.5, texts=-2.0)


def test_the_weights_win_whose_right_answers_are_likeliest_even_if_general_text_is_not() -> None:
    good = trial("good", judged(answers=-0.6, texts=-3.0))
    bad = trial("bad", judged(answers=-0.9, texts=-2.0))

    choice = choose_weights([bad, good], REFERENCE, REFERENCE_BYTES)

    assert choice.name == "good"
    assert "64 rows" in choice.why
    assert [one["name"] for one in choice.trials] == ["bad", "good"]


def test_weights_that_rows_do_not_tell_apart_are_told_apart_by_general_text() -> None:
    one = trial("one", judged(answers=-0.6, texts=-3.0))
    other = trial("other", judged(answers=-0.61, texts=-2.0, noise=0.5))

    choice = choose_weights([one, other], REFERENCE, REFERENCE_BYTES)

    assert choice.name == "other"
    assert "no clear difference between one, other" in choice.why


def test_without_rows_general_text_decides() -> None:
    reference = Judgement([], REFERENCE.texts)
    trials = [
        trial("one", Judgement([], [[-2.2] * 5] * 20)),
        trial("other", Judgement([], [[-2.1] * 5] * 20)),
    ]
    reference = Judgement([], [[-2.0] * 5] * 20)

    choice = choose_weights(trials, reference, REFERENCE_BYTES)

    assert choice.name == "other"
    assert choice.why == "the lowest perplexity of general text"


def test_better_weights_that_are_too_large_do_not_win_unless_none_is_small() -> None:
    large = trial("large", judged(answers=-0.5, texts=-2.0), weights_bytes=400)
    small = trial("small", judged(answers=-0.9, texts=-2.5), weights_bytes=368)
    larger = trial("larger", judged(answers=-0.9, texts=-2.5), weights_bytes=440)

    assert choose_weights([large, small], REFERENCE, REFERENCE_BYTES).name == "small"
    assert choose_weights([larger, large], REFERENCE, REFERENCE_BYTES).name == "large"


def test_each_trial_is_recorded_with_size_and_losses() -> None:
    choice = choose_weights(
        [trial("one", judged(answers=-0.6, texts=-2.1))], REFERENCE, REFERENCE_BYTES
    )

    [record] = choice.trials
    assert record["size_ratio"] == 0.334
    assert record["label_log_likelihood_loss"] == pytest.approx([0.1, 0.1, 0.1])
    assert record["general_perplexity_loss"][0] == pytest.approx(math.exp(0.1) - 1, abs=1e-4)


def test_perplexity_counts_tokens_and_not_texts() -> None:
    figures = perplexity_figures("of", [[-1.0], [-2.0] * 3], [[-1.0], [-2.0] * 3])

    assert figures["of"] == pytest.approx(math.exp(7 / 4))
    assert figures["of_loss"] == 0


def test_growth_is_paired_so_that_what_is_hard_for_both_cancels() -> None:
    hard = [[-float(number)] * 5 for number in range(1, 30)]
    harder = [[value - 0.05 for value in text] for text in hard]

    growth = perplexity_growth(hard, harder)

    assert growth.value == pytest.approx(math.exp(0.05) - 1)
    assert growth.high - growth.low < 1e-9


def test_a_text_that_cannot_be_is_no_infinite_figure() -> None:
    figures = perplexity_figures("of", [[-1.0]], [[-1e6]])

    assert all(math.isfinite(value) for value in figures.values())


def test_a_loss_of_likelihood_is_positive_if_the_build_is_worse() -> None:
    figures = label_figures([-0.5, -0.7], [-0.6, -0.9])

    assert figures["label_log_likelihood_loss"] == pytest.approx(0.15)
    assert figures["label_log_likelihood"] == pytest.approx(-0.75)


def test_the_right_answer_is_scored_to_its_end_even_if_it_cannot_win() -> None:
    question = ChoiceQuestion((1,), ((0, 5), (1, 6), (2, 7)), answer=2)
    first = np.log(np.array([[0.9, 0.09, 0.01]], np.float32))
    search = BestChoiceSearch([question], first)

    assert search.next_entries(1) == [(0, 0)]
    search.finish(0, 0, -0.1)
    assert search.next_entries(1) == [(0, 2)]
    search.finish(0, 2, -3.0)

    assert search.next_entries(1) == []
    assert search.scores[0][2] == pytest.approx(math.log(0.01) - 3.0)


def test_names_of_methods_are_distinct_and_those_that_compete_are_among_them() -> None:
    names = [method.name for method in METHODS]

    assert len(set(names)) == len(names)
    assert set(COMPETING) <= set(names)
    assert len(COMPETING) > 1
