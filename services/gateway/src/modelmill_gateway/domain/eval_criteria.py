"""How an answer is graded: by its text at once, or by asking a model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from modelmill_evaluation.rouge import rouge_l, rouge_n

from modelmill_gateway.domain.eval_templates import filled, messages_of

STRING_CHECK, TEXT_SIMILARITY = "string_check", "text_similarity"
SCORE_MODEL, LABEL_MODEL = "score_model", "label_model"
BY_MODEL = (SCORE_MODEL, LABEL_MODEL)

SIMILARITIES: dict[str, Callable[[str, str], float]] = {
    **{f"rouge_{n}": partial(rouge_n, n=n) for n in range(1, 6)},
    "rouge_l": rouge_l,
}
"""From 0 to 1; of OpenAI's names those that `libs/evaluation` measures without a corpus."""

OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda said, right: said == right,
    "ne": lambda said, right: said != right,
    "like": lambda said, right: right in said,
    "ilike": lambda said, right: right.casefold() in said.casefold(),
}

GRADE_TOKENS = 32
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
HOW_TO_SCORE = "Answer with one number from {low:g} to {high:g} and nothing else."


@dataclass(frozen=True)
class Grade:
    """What one criterion says of one answer."""

    passed: bool
    score: float


class NoGradeError(Exception):
    """The model that was to grade did not."""


def graded(criterion: Mapping[str, Any], row: Mapping[str, Any]) -> Grade:
    """What a criterion says that asks no model.

    Raises:
        MissingPlaceError: the row lacks something that the criterion names.
    """
    said, right = filled(criterion["input"], row), filled(criterion["reference"], row)
    if criterion["type"] == STRING_CHECK:
        passed = OPERATIONS[criterion["operation"]](said, right)
        return Grade(passed, float(passed))
    score = SIMILARITIES[criterion["evaluation_metric"]](said, right)
    return Grade(score >= criterion["pass_threshold"], score)


def grading_request(criterion: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Body of the chat that asks a model for its grade.

    Raises:
        MissingPlaceError: the row lacks something that the criterion names.
    """
    messages = messages_of(criterion["input"], row)
    body: dict[str, Any] = {"model": criterion["model"], "max_completion_tokens": GRADE_TOKENS}
    if criterion["type"] == LABEL_MODEL:
        return {
            **body,
            "messages": messages,
            "temperature": 0,
            "guided_choice": criterion["labels"],
        }
    low, high = range_of(criterion)
    # In the last turn: many templates of chats refuse two of one role in a row.
    messages[-1]["content"] += "\n\n" + HOW_TO_SCORE.format(low=low, high=high)
    sampling = {"temperature": 0, **(criterion.get("sampling_params") or {})}
    return {**body, **sampling, "messages": messages, "guided_regex": NUMBER.pattern}


def grade_said(criterion: Mapping[str, Any], text: str) -> Grade:
    """The grade in a model's answer.

    Raises:
        NoGradeError: there is none in it, or one that is none of its grades.
    """
    said = text.strip()
    if criterion["type"] == LABEL_MODEL:
        if said not in criterion["labels"]:
            raise NoGradeError(f"the model answered {said[:80]!r}, which is no label")
        passed = said in criterion["passing_labels"]
        return Grade(passed, float(passed))
    found = NUMBER.search(said)
    low, high = range_of(criterion)
    if found is None or not low <= float(found[0]) <= high:
        raise NoGradeError(
            f"the model answered {said[:80]!r}, not a number from {low:g} to {high:g}"
        )
    score = float(found[0])
    return Grade(score >= threshold_of(criterion), score)


def range_of(criterion: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest score; 0 and 1 when nothing is said."""
    low, high = criterion.get("range") or (0.0, 1.0)
    return float(low), float(high)


def threshold_of(criterion: Mapping[str, Any]) -> float:
    """From which score on it is passed: the middle of the range when nothing is said."""
    given = criterion.get("pass_threshold")
    return float(given) if given is not None else sum(range_of(criterion)) / 2
