"""What a content-safety service answers, read strictly: a guess would be no opinion."""

import json
from typing import Any

from moderation.domain.kept_scores import Scores
from moderation.domain.no_opinion import bad_answer

MAX_CATEGORIES = 200
MAX_NAME = 100
"""With the number of categories, what one remembered answer may take."""


def scores_in(body: bytes) -> Scores:
    """Scores of the one text that was asked about, from an answer as OpenAI's.

    Raises:
        NoOpinionError: it is anything else.
    """
    try:
        (result,) = json.loads(body)["results"]
        scores = result["category_scores"]
    except (ValueError, KeyError, TypeError, RecursionError):
        scores = None
    if not isinstance(scores, dict):
        raise bad_answer("is not one result with its category_scores")
    if len(scores) > MAX_CATEGORIES or any(len(name) > MAX_NAME for name in scores):
        raise bad_answer("has more categories, or longer ones, than anybody needs")
    if not all(map(_is_probability, scores.values())):
        raise bad_answer("has a score that is no number from 0 to 1")
    return scores


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
