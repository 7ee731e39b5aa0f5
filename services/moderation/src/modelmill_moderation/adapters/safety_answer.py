"""What a content-safety service answers, read strictly: a guess would be no opinion."""

import json
from typing import Any

from modelmill_moderation.adapters.safety_styles import SafetyStyle
from modelmill_moderation.domain.kept_scores import Scores
from modelmill_moderation.domain.no_opinion import bad_answer

MAX_CATEGORIES = 200
MAX_NAME = 100
"""With the number of categories, what one remembered answer may take."""


def scores_in(body: bytes, style: SafetyStyle) -> Scores:
    """Scores of the one text that was asked about.

    Raises:
        NoOpinionError: it is anything else.
    """
    try:
        scores = style.scores(json.loads(body))
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        scores = None
    if not isinstance(scores, dict):
        raise bad_answer("is not one text's scores of categories")
    if len(scores) > MAX_CATEGORIES or not all(map(_is_name, scores)):
        raise bad_answer("has more categories, or longer ones, than anybody needs")
    if not all(map(_is_probability, scores.values())):
        raise bad_answer("has a score that is no number from 0 to 1")
    return scores


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
