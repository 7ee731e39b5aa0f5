"""Shapes of verdicts, by themselves and beside an answer, with an example."""

from typing import Literal

from modelmill_gateway.entrypoints.document.examples import DIGEST
from modelmill_gateway.entrypoints.document.shape import Answer


class MatchedRule(Answer):
    """A rule of the policy that matched."""

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
    """The same beside an answer. `model` is the digest of the policy that judged."""

    type: Literal["moderation_result"]
    model: str


class InlineResults(Answer):
    """Of the input one result for each prompt, of the output one for each of the answers."""

    type: Literal["moderation_results"]
    model: str
    results: list[InlineResult]


class InlineModeration(Answer):
    """Verdicts of the tenant's policy: there when a chat asked for them, or when it ended one of
    the answers."""

    input: InlineResults
    output: InlineResults


class Moderation(Answer):
    """Verdicts in the order of the inputs. `model` is the digest of the policy that judged."""

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
