"""How hard rows are and in which order they come: the same on every machine, in any batching."""

import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.curriculum.curriculum_plan import CurriculumPlan, plan_curriculum
from modelmill_data_prep.domain.curriculum.readability import readability_of
from modelmill_data_prep.domain.curriculum.row_order import (
    RowMeasures,
    difficulties,
    order_rows,
    ranks,
)
from modelmill_data_prep.domain.curriculum.text_units import FrequencySketch, units_of
from modelmill_service_kit.errors import InvalidInputError

TEXTS = st.lists(
    st.text(alphabet="aé Zz9.!\n我们鏖，。ー\U00020001\ud800", max_size=30), max_size=8
)
SPLITS = st.integers(0, 8)


def words_of(text: str) -> list[str]:
    """The units of a text, by one look at each character."""
    found, word = [], ""
    for character in text.lower():
        han = character in "我们鏖ー\U00020001"
        if han or not character.isalnum():
            found += [word] if word else []
            word = ""
        if han:
            found.append(character)
        elif character.isalnum():
            word += character
    return found + ([word] if word else [])


@given(TEXTS)
def test_units_are_those_found_character_by_character(texts: list[str]) -> None:
    units = units_of(texts)
    expected = [words_of(text) for text in texts]

    assert units.units_of_text.tolist() == [len(words) for words in expected]
    hashes = units.unit_hashes.tolist()
    by_word: dict[str, set[int]] = {}
    for word, number in zip((word for words in expected for word in words), hashes, strict=True):
        by_word.setdefault(word, set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_word.values())
    assert len({next(iter(numbers)) for numbers in by_word.values()}) == len(by_word)


@pytest.mark.parametrize(
    ("text", "count"),
    [("\U00030000\U0003134a", 2), ("\u2764\ufe0f", 0), ("1\ufe0f\u20e3 e\u0301t", 2)],
)
def test_every_han_character_is_a_unit_and_no_emoji_is(text: str, count: int) -> None:
    assert units_of([text]).units_of_text.tolist() == [count]


def test_a_hash_is_the_same_on_every_machine() -> None:
    assert units_of(["word 我"]).unit_hashes.tolist() == [
        369157466513483593,
        18249132812661419275,
    ]


@given(TEXTS, SPLITS)
def test_texts_are_measured_alike_in_any_batching(texts: list[str], cut: int) -> None:
    sketch = FrequencySketch()
    sketch.add(texts)
    parts = [FrequencySketch(), FrequencySketch()]
    for part, some in zip(parts, (texts[cut:], texts[:cut]), strict=True):
        part.add(some)
    parts[0].merge(parts[1])

    whole = RowMeasures.of(texts, sketch)
    halves = [RowMeasures.of(some, parts[0]) for some in (texts[:cut], texts[cut:])]

    joined = RowMeasures.joined(halves)
    for name in ("length", "rarity", "chinese", "sentence_units", "hardness"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist(), name


@given(st.lists(st.sampled_from(["cat", "dog", "我", "x1"]), min_size=1, max_size=40))
def test_rarity_is_the_mean_information_of_the_units(words: list[str]) -> None:
    sketch = FrequencySketch()
    sketch.add([" ".join(words)])
    counts = Counter(words)
    expected = sum(-math.log2(counts[word] / len(words)) for word in words) / len(words)

    assert sketch.rarity([" ".join(words)])[0] == pytest.approx(expected, abs=0.003)


def test_a_sketch_never_counts_too_little() -> None:
    """A unit that shares its cells with others may seem more common, never rarer than it is."""
    generator = random.Random(1)
    words = [f"w{generator.randrange(300_000)}" for _ in range(400_000)]
    sketch = FrequencySketch()
    sketch.add([" ".join(words)])
    counts = Counter(words)
    asked = list(counts)[:2_000]

    rarity = sketch.rarity(asked)

    true = np.array([-math.log2(counts[word] / len(words)) for word in asked])
    assert (rarity <= true + 0.003).all()
    # With 2.3 cells a unit in each of three rows most still have one of their own.
    assert np.median(true - rarity) < 1


def test_what_nobody_said_is_as_rare_as_what_was_said_once() -> None:
    sketch = FrequencySketch()
    sketch.add(["a a a b"])

    once, never = sketch.rarity(["b", "zebra"])

    assert once == never == 2
    assert sketch.rarity([""])[0] == 0


def test_the_english_grade_is_that_of_the_formula() -> None:
    text = "The cat sat on the mat. It was extraordinarily comfortable, at 3.14 pounds!"
    readability = readability_of(units_of([text]))

    # The 3 and the 14 are a word each; ex-traor-di-na-ri-ly has its vowels in six runs,
    # com-for-table in three and an e that is not spoken.
    assert readability.sentence_units.tolist() == [14 / 2]
    assert readability.hardness[0] == pytest.approx((6 + 2 + 6 + 3 + 1 + 2 + 1) / 14)
    grade = 0.39 * readability.sentence_units + 11.8 * readability.hardness - 15.59
    assert readability.grade.tolist() == grade.tolist()


def test_longer_words_and_longer_sentences_read_harder() -> None:
    easy = "We go. You run. He is in."
    words = "Extraordinary considerations. Unimaginable. Incomprehensibility."
    sentence = "we go and you run and he is in and they sit and we all eat and then go on"

    grades = readability_of(units_of([easy, words, sentence])).grade

    assert grades[0] < grades[2] < grades[1]


def test_chinese_is_measured_by_its_sentences_and_its_rare_characters() -> None:
    readability = readability_of(units_of(["我们吃饭。你好！", "我们鏖战不休", "我們吃飯聽說"]))

    assert readability.chinese.all()
    assert readability.sentence_units.tolist() == [3, 6, 6]
    assert readability.hardness.tolist() == [0, 1 / 6, 0]


def test_ranks_are_shares_of_rows_and_alike_for_equals() -> None:
    assert ranks(np.array([30.0, 10.0, 20.0])).tolist() == [1, 0, 0.5]
    assert ranks(np.array([1.0, 1.0, 5.0])).tolist() == [0.25, 0.25, 1]
    assert ranks(np.array([7.0])).tolist() == [0.5]
    assert ranks(np.array([1.0, math.nan, 2.0])).tolist() == [0, 0.5, 1]


def test_chinese_rows_are_not_hard_because_others_are_english() -> None:
    texts = ["我们吃饭。", "我们鏖战不休而且没有句号", "We eat.", "Extraordinary consideration"]
    plan = plan_curriculum({"order": "staged", "weights": {"readability": 1}})

    hard = RowMeasures.of(texts, FrequencySketch()).difficulties(plan)

    assert hard.tolist() == [0, 1, 0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 10))
def test_only_the_ratio_of_weights_counts(values: list[float], factor: float) -> None:
    given_ranks = {"length": ranks(np.array(values)), "rarity": ranks(-np.array(values))}
    one = difficulties(given_ranks, {"length": 1.0, "rarity": 3.0})
    other = difficulties(given_ranks, {"rarity": 3 * factor, "length": factor})

    assert one == pytest.approx(other)
    assert ((one >= 0) & (one <= 1 + 1e-12)).all()


def test_a_factor_that_counts_must_be_measured() -> None:
    plan = plan_curriculum({"order": "staged", "weights": {"loss": 1}, "loss_model": "m"})
    measures = RowMeasures.of(["a", "b"], FrequencySketch())

    with pytest.raises(InvalidInputError, match="loss was not measured"):
        measures.difficulties(plan)
    assert measures.difficulties(plan, np.array([2.0, 1.0])).tolist() == [1, 0]


HARD = st.lists(st.floats(0, 1, width=32), max_size=60)
SEEDS = st.integers(0, 2**64 - 1)


def ordered(hard: list[float], order: str, seed: int, **more: Any) -> Any:
    plan = CurriculumPlan(order=order, **more)
    return order_rows(np.array(hard), np.arange(len(hard)) * 7 + 3, plan, seed)


@given(HARD, SEEDS, st.sampled_from(["staged", "competence"]))
def test_every_row_comes_once_with_its_difficulty(hard: list[float], seed: int, how: str) -> None:
    order = ordered(hard, how, seed)

    assert sorted(order.rows.tolist()) == list(range(len(hard)))
    assert order.difficulties.tolist() == [hard[row] for row in order.rows]
    assert ordered(hard, how, seed).rows.tolist() == order.rows.tolist()
    sizes = Counter(order.tiers.tolist())
    assert max(sizes.values(), default=0) - min(sizes[tier] for tier in range(3)) <= 1
    for tier in (0, 1):
        easier = order.difficulties[order.tiers == tier]
        harder = order.difficulties[order.tiers == tier + 1]
        assert not len(harder) or easier.max(initial=0) <= harder.min()


@given(HARD, SEEDS)
def test_staged_goes_from_easy_to_hard_in_every_epoch(hard: list[float], seed: int) -> None:
    order = ordered(hard, "staged", seed)

    assert order.tiers.tolist() == sorted(order.tiers.tolist())
    assert order.repeats


@given(HARD, SEEDS, st.floats(0.01, 1))
def test_no_row_is_drawn_before_the_learner_is_competent(
    hard: list[float], seed: int, initial: float
) -> None:
    order = ordered(hard, "competence", seed, initial_competence=initial)
    count = len(hard)
    ranked = sorted(hard)

    for draw, row in enumerate(order.rows):
        competence = math.sqrt(draw / count * (1 - initial**2) + initial**2)
        known = max(math.ceil(competence * count), draw + 1)
        assert np.float32(hard[row]) <= np.float32(ranked[min(known, count) - 1])
    assert not order.repeats


def test_draws_are_even_over_the_rows_that_are_known() -> None:
    """With full competence from the start each row is first in its share of the seeds."""
    firsts = Counter(
        int(ordered([0.0] * 8, "competence", seed, initial_competence=1.0).rows[0])
        for seed in range(4_000)
    )

    assert all(400 < firsts[row] < 600 for row in range(8))


def test_another_seed_is_another_order_within_the_tiers() -> None:
    hard = [number / 30 for number in range(30)]
    one, other = ordered(hard, "staged", 1), ordered(hard, "staged", 2)

    assert one.rows.tolist() != other.rows.tolist()
    assert sorted(one.rows[:10].tolist()) == sorted(other.rows[:10].tolist()) == list(range(10))
    assert one.rows[:10].tolist() != list(range(10))


def test_a_curriculum_has_defaults() -> None:
    plan = plan_curriculum({"order": "competence"})

    assert plan == CurriculumPlan("competence", {"length": 1, "rarity": 1, "readability": 1})
    assert plan.initial_competence == 0.1
    assert plan_curriculum({}).order == "none"


def test_everything_that_is_wrong_with_a_curriculum_is_said_at_once() -> None:
    spec = {
        "order": "random",
        "weights": {"length": -1, "beauty": 1, "loss": math.inf, "rarity": 1e308},
        "initial_competence": 2,
    }

    with pytest.raises(InvalidInputError) as refused:
        plan_curriculum(spec)

    assert refused.value.errors == [
        "curriculum: order must be one of none, staged, competence, got 'random'",
        "curriculum: initial_competence means nothing to order 'random'",
        "curriculum: initial_competence must be between 0 and 1, got 2",
        "curriculum: unknown weight 'beauty'. Use length, rarity, readability, loss",
        "curriculum: weight length must be between 0 and 1e+06, got -1",
        "curriculum: weight loss must be between 0 and 1e+06, got inf",
        "curriculum: weight rarity must be between 0 and 1e+06, got 1e+308",
        "curriculum: weight loss needs a loss_model",
    ]


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"order": "staged", "loss_model": "m"}, "loss_model means nothing without a weight"),
        ({"order": "staged", "weights": {"length": 0}}, "one weight at least must be above 0"),
        ({"weights": {"length": 1}}, "mean nothing without an order"),
    ],
)
def test_what_would_have_no_effect_is_refused(spec: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidInputError, match=wrong):
        plan_curriculum(spec)
