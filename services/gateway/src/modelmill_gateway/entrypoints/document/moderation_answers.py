"""Shapes of verdicts, by themselves and beside an answer, with an example."""

from typing import Literal

from modelmill_gateway.entrypoints.document.examples import DIGEST
from modelmill_gateway.entrypoints.document.shape import Answer


class MatchedRule(Answer):
    """Policy rule that matched."""

    id: str
    category: str


class ModerationResult(Answer):
    """The verdict on one text. `flagged` when any rule or judge matched, `blocked` when the text
    was stopped; `unanswered` are judges without whose opinion it passed. Scores are 1.0 or 0.0 of
    rules, and of judges how sure they were."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]
    blocked: bool
    rules: list[MatchedRule]
    unanswered: list[str]


class InlineResult(ModerationResult):
    """Moderation result beside an answer. `model` is the digest of the policy that judged."""

    type: Literal["moderation_result"]
    model: str


class InlineResults(Answer):
    """Moderation results: for the input one a prompt, for the output one an answer."""

    type: Literal["moderation_results"]
    model: str
    results: list[InlineResult]


class InlineModeration(Answer):
    """Moderation results: present when the request asked for them, or when the policy ended an
    answer.
    """

    input: InlineResults
    output: InlineResults


class Moderation(Answer):
    """Moderation results in the order of the inputs. `model` is the digest of the policy that
    judged.
    """

    id: str
    model: str
    results: list[ModerationResult]


MODERATION = {
    "id": "modr-0b8f",
    "model": DIGEST,
    "results": [
        {
            "flagged": True,
            "categories": {"illicit": True, "violence": False},
            "category_scores": {"illicit": 1.0, "violence": 0.0},
            "category_applied_input_types": {"illicit": ["text"], "violence": ["text"]},
            "blocked": True,
            "rules": [{"id": "no-lockpicking", "category": "illicit"}],
            "unanswered": [],
        }
    ],
}
