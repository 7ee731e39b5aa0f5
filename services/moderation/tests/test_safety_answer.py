"""Whatever a service answers: scores from 0 to 1, or no opinion, and nothing else."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moderation.adapters.safety_answer import scores_in
from moderation.domain.kept_scores import Scores
from moderation.domain.no_opinion import NoOpinionError

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SCORES = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
ANSWERS = VALUES | st.fixed_dictionaries(
    {"results": st.lists(st.fixed_dictionaries({"category_scores": SCORES | VALUES}), max_size=2)}
)


@given(ANSWERS.map(lambda answer: json.dumps(answer).encode()) | st.binary())
def test_any_bytes_are_scores_or_no_opinion(body: bytes) -> None:
    scores: Scores = {}
    with suppress(NoOpinionError):
        scores = scores_in(body)
    assert all(0 <= score <= 1 and type(score) in (int, float) for score in scores.values())


@given(st.dictionaries(st.text(max_size=5), st.floats(0, 1) | st.sampled_from([0, 1])))
def test_scores_are_read_as_they_were_written(scores: dict[str, float]) -> None:
    answer = {"results": [{"category_scores": scores, "flagged": False}], "more": 1}
    assert scores_in(json.dumps(answer).encode()) == scores


def test_a_number_too_long_to_be_one_is_no_opinion() -> None:
    body = b'{"results": [{"category_scores": {"hate": ' + b"9" * 10_000 + b"}}]}"
    with pytest.raises(NoOpinionError):
        scores_in(body)
