"""Each measure against the reference library, or a case that was worked out by hand."""

from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_evaluation.intervals import compare, estimate
from modelmill_evaluation.rouge import common_subsequence, rouge_l, rouge_n
from modelmill_evaluation.score_names import (
    LOWER_IS_BETTER,
    MEASURES,
    OF_CHOICES,
    OF_LIKELIHOODS,
    OF_TEXTS,
)
from modelmill_evaluation.scores import RowOutcome, measure_of
from sacrebleu import corpus_bleu, corpus_chrf

ANSWERS = ["我很喜欢猫", "the cat sat on the mat", "", "Hello, world! 你好"]
REFERENCES = ["我喜欢猫和狗", "the cat is on the mat", "nothing", "Hello world! 你好吗"]

QUICKLY = settings(max_examples=25, deadline=None)
"""How long it takes is no matter of a test."""


def value_of(name: str, rows: list[RowOutcome]) -> float:
    measure = measure_of(name)
    found = estimate(measure, measure.statistics(rows), resamples=20)
    assert found is not None
    return found.value


def texts(answers: list[str], references: list[str]) -> list[RowOutcome]:
    return [RowOutcome(r, answer=a) for a, r in zip(answers, references, strict=True)]


def choosing(*rows: tuple[str, str]) -> list[RowOutcome]:
    """Rows by the right answer and the chosen one, of a, b and c."""
    choices = ("a", "b", "c")
    return [
        RowOutcome(
            right,
            choices=choices,
            right=choices.index(right),
            choice_scores=tuple(-1.0 if each == chosen else -2.0 for each in choices),
        )
        for right, chosen in rows
    ]


def test_perplexity_counts_each_token_once_however_rows_cut_the_text() -> None:
    rows = [
        RowOutcome("ab", log_likelihood=-4.0, tokens=2),
        RowOutcome("c", log_likelihood=-1.0, tokens=1),
    ]

    assert value_of("perplexity", rows) == pytest.approx(exp(5 / 3))


def test_bits_per_byte_is_the_same_for_any_tokenizer() -> None:
    coarse = [RowOutcome("猫!", log_likelihood=-4 * log(2), tokens=1)]
    fine = [RowOutcome("猫!", log_likelihood=-4 * log(2), tokens=4)]

    assert value_of("bits_per_byte", coarse) == value_of("bits_per_byte", fine)
    assert value_of("bits_per_byte", coarse) == pytest.approx(1.0)


def test_accuracy_is_the_share_of_rows_whose_likeliest_choice_is_right() -> None:
    assert value_of("accuracy", choosing(("a", "a"), ("b", "a"), ("c", "c"))) == pytest.approx(
        2 / 3
    )


def test_accuracy_by_length_does_not_favour_short_choices() -> None:
    row = RowOutcome("long one", choices=("x", "long one"), right=1, choice_scores=(-2.0, -4.0))

    assert value_of("accuracy", [row]) == 0
    assert value_of("accuracy_norm", [row]) == 1


def test_a_text_without_choices_is_right_when_the_model_says_it_unasked() -> None:
    assert (
        value_of("accuracy", [RowOutcome("x", is_greedy=True), RowOutcome("y", is_greedy=False)])
        == 0.5
    )


def test_macro_f1_is_the_mean_of_each_answers_f1() -> None:
    # a: 1 hit, right twice, chosen twice: 1/2. b: 1 hit, right once, chosen twice: 2/3. c: 0.
    rows = choosing(("a", "a"), ("a", "b"), ("b", "b"), ("c", "a"))

    assert value_of("f1", rows) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)


def test_bleu_is_sacrebleus_with_the_chinese_tokeniser() -> None:
    reference = corpus_bleu(ANSWERS, [REFERENCES], tokenize="zh").score

    assert value_of("bleu", texts(ANSWERS, REFERENCES)) == pytest.approx(reference)


def test_chrf_is_sacrebleus() -> None:
    reference = corpus_chrf(ANSWERS, [REFERENCES]).score

    assert value_of("chrf", texts(ANSWERS, REFERENCES)) == pytest.approx(reference)


def test_rouge_counts_words_and_chinese_characters() -> None:
    # Of 6 and 6 words 5 are shared, of 5 and 5 pairs 3.
    assert rouge_n(ANSWERS[1], REFERENCES[1], 1) == pytest.approx(5 / 6)
    assert rouge_n(ANSWERS[1], REFERENCES[1], 2) == pytest.approx(3 / 5)
    # 我喜欢猫 of 5 and 6 characters; pairs 喜欢, 欢猫 of 4 and 5.
    assert rouge_n(ANSWERS[0], REFERENCES[0], 1) == pytest.approx(8 / 11)
    assert rouge_n(ANSWERS[0], REFERENCES[0], 2) == pytest.approx(4 / 9)
    assert rouge_l("police killed the gunman", "police kill the gunman") == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", "police kill the gunman") == pytest.approx(2 / 4)
    assert rouge_l("Straße, 12!", "straße 12") == 1


@QUICKLY
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_the_common_subsequence_is_that_of_the_plain_table(first: str, second: str) -> None:
    row = [0] * (len(second) + 1)
    for letter in first:
        above = row[:]
        for place, other in enumerate(second, 1):
            row[place] = (
                above[place - 1] + 1 if letter == other else max(above[place], row[place - 1])
            )

    assert common_subsequence(list(first), list(second)) == row[-1]


def perfect(row: RowOutcome) -> RowOutcome:
    scores = tuple(0.0 if place == row.right else -9.0 for place in range(len(row.choices)))
    return replace(row, log_likelihood=0.0, answer=row.reference, choice_scores=scores)


OUTCOMES = st.builds(
    lambda reference, answer, scores, right, loss: RowOutcome(
        reference,
        log_likelihood=-loss,
        tokens=len(reference),
        choices=("alpha", "beta", "gamma"),
        right=right,
        choice_scores=scores,
        answer=answer,
    ),
    st.text("ab cd猫狗", min_size=1, max_size=20).filter(lambda text: len(text.split()) > 0),
    st.text("ab cd猫狗", max_size=20),
    st.tuples(*[st.floats(-50, 0)] * 3),
    st.integers(0, 2),
    st.floats(0, 100),
)
BEST = dict.fromkeys(MEASURES, 1.0) | {"bits_per_byte": 0.0, "bleu": 100.0, "chrf": 100.0}


@pytest.mark.parametrize("name", MEASURES)
@QUICKLY
@given(rows=st.lists(OUTCOMES, min_size=1, max_size=8))
def test_perfect_answers_have_the_best_value_and_no_answers_a_better_one(
    name: str, rows: list[RowOutcome]
) -> None:
    flawless = [perfect(row) for row in rows]
    best = value_of(name, flawless)

    # A text of fewer than four words has no run of four, and BLEU says so, not 100.
    if name != "bleu" or any(len(row.reference.split()) > 3 for row in rows):
        assert best == pytest.approx(BEST[name])
    if name == "bleu":
        return  # a long answer can have more of the runs than a short perfect one
    others = value_of(name, rows)
    assert others >= best - 1e-9 if name in LOWER_IS_BETTER else others <= best + 1e-9


@pytest.mark.tier("check")
@pytest.mark.parametrize("name", MEASURES)
@QUICKLY
@given(rows=st.lists(OUTCOMES, min_size=1, max_size=8), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(name: str, rows: list[RowOutcome], random) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)

    assert value_of(name, shuffled) == pytest.approx(value_of(name, rows))


@pytest.mark.parametrize("name", MEASURES)
@QUICKLY
@given(rows=st.lists(OUTCOMES, min_size=1, max_size=8))
def test_a_model_beside_itself_differs_by_nothing_and_wins_no_row(
    name: str, rows: list[RowOutcome]
) -> None:
    measure = measure_of(name)
    statistics = measure.statistics(rows)
    found = compare(measure, statistics, statistics, resamples=20)

    assert found is not None
    estimate_ = found.difference
    assert (estimate_.value, estimate_.low, estimate_.high) == (0, 0, 0)
    assert (found.won, found.lost, found.tied) == (0, 0, 1)
    assert not found.is_clear


def test_each_measure_stands_in_one_group_and_knows_its_name() -> None:
    assert sorted((*OF_LIKELIHOODS, *OF_CHOICES, *OF_TEXTS)) == sorted(MEASURES)
    for name in MEASURES:
        measure = measure_of(name)
        assert measure.name == name
        assert measure.higher_is_better == (name not in LOWER_IS_BETTER)
    with pytest.raises(KeyError):
        measure_of("vibes")


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_says_nothing_of_rows_that_it_does_not_apply_to(name: str) -> None:
    measure = measure_of(name)

    assert estimate(measure, measure.statistics([RowOutcome("x"), RowOutcome("y")])) is None
