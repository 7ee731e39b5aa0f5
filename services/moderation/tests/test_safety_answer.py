"""Whatever a service answers: scores from 0 to 1, or no opinion, and nothing else."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_moderation.adapters.safety_http import STYLES, scores_in
from modelmill_moderation.domain.judge_answers import NoOpinionError, Scores

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SCORES = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
OPENAI = st.fixed_dictionaries(
    {"results": st.lists(st.fixed_dictionaries({"category_scores": SCORES | VALUES}), max_size=2)}
)
CATEGORIES = st.fixed_dictionaries({"category": VALUES, "severity": VALUES})
AZURE = st.fixed_dictionaries({"categoriesAnalysis": st.lists(CATEGORIES, max_size=4) | VALUES})
ANSWERS = VALUES | OPENAI | AZURE


@pytest.mark.parametrize("style", STYLES)
@given(ANSWERS.map(lambda answer: json.dumps(answer).encode()) | st.binary())
def test_any_bytes_are_scores_or_no_opinion(style: str, body: bytes) -> None:
    scores: Scores = {}
    with suppress(NoOpinionError):
        scores = scores_in(body, STYLES[style])
    assert all(0 <= score <= 1 and type(score) in (int, float) for score in scores.values())


@given(st.dictionaries(st.text(max_size=5), st.floats(0, 1) | st.sampled_from([0, 1])))
def test_scores_are_read_as_they_were_written(scores: dict[str, float]) -> None:
    answer = {"results": [{"category_scores": scores, "flagged": False}], "more": 1}
    assert scores_in(json.dumps(answer).encode(), STYLES["openai"]) == scores


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 7)))
def test_severities_are_read_as_sevenths(severities: dict[str, int]) -> None:
    found = [{"category": name, "severity": level} for name, level in severities.items()]
    scores = scores_in(json.dumps({"categoriesAnalysis": found}).encode(), STYLES["azure"])
    assert scores == {name: level / 7 for name, level in severities.items()}


@pytest.mark.parametrize("digits", [10_000, 400])
@pytest.mark.parametrize(
    ("style", "before", "after"),
    [
        ("openai", '{"results": [{"category_scores": {"hate": ', "}}]}"),
        ("azure", '{"categoriesAnalysis": [{"category": "Hate", "severity": ', "}]}"),
    ],
)
def test_a_number_too_long_to_be_one_is_no_opinion(
    digits: int, style: str, before: str, after: str
) -> None:
    with pytest.raises(NoOpinionError):
        scores_in(f"{before}{'9' * digits}{after}".encode(), STYLES[style])
