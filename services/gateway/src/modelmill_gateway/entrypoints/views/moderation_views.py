"""Verdicts in OpenAI's shape: of texts that are only judged, and of a chat's input and answers."""

from modelmill_gateway.domain.verdict import ModerationResult
from modelmill_gateway.entrypoints.views.job_views import View
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""OpenAI's; every answer has all of them, and those of the policy's own that matched."""


def result_view(judged: ModerationResult) -> View:
    """A verdict as OpenAI's result; `blocked`, `rules` and `unanswered` are ours.

    Scores are 1.0 or 0.0 of rules, which match or do not, and of judges how sure they were.
    """
    scores: dict[str, float] = {}
    for found in judged.hits:
        scores[found.category] = max(found.score, scores.get(found.category, 0.0))
    names = [*CATEGORIES, *sorted(scores.keys() - set(CATEGORIES))]
    rules = dict.fromkeys((found.rule_id, found.category) for found in judged.hits)
    return {
        "flagged": judged.flagged,
        "categories": {name: name in scores for name in names},
        "category_scores": {name: scores.get(name, 0.0) for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
        "blocked": judged.blocked,
        "rules": [{"id": rule_id, "category": category} for rule_id, category in rules],
        "unanswered": list(judged.unanswered),
    }


def moderation_field(*prompts: FilteredAnswers) -> dict[str, View]:
    """The field `moderation` of answers: asked for, or there to say why one of them was ended.

    Its results are of each prompt, and of each answer, in order.
    """
    if not any(answers.tells_verdicts for answers in prompts):
        return {}
    outputs = [verdict for answers in prompts for verdict in answers.outputs]
    sides = {"input": [answers.input for answers in prompts], "output": outputs}
    return {"moderation": {side: _results(verdicts) for side, verdicts in sides.items()}}


def _results(verdicts: list[ModerationResult]) -> View:
    model = verdicts[0].policy_digest
    kind = {"type": "moderation_result", "model": model}
    return {
        "type": "moderation_results",
        "model": model,
        "results": [kind | result_view(verdict) for verdict in verdicts],
    }
