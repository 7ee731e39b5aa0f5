"""Moderation results: of texts by themselves, and beside the answers of a chat."""

from typing import Annotated, Any, Literal, NotRequired

from modelmill_guard.verdict import Action
from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from modelmill_gateway.domain import verdict
from modelmill_gateway.domain.chat import Moderated
from modelmill_gateway.entrypoints.schemas.base import Digest
from modelmill_gateway.entrypoints.schemas.parsing import TEXT_PART, OpenBody, or_text
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers

MAX_TEXTS = 64
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
_ACTIONS: dict[Action, Literal["allow", "flag", "mask", "block"]] = {
    Action.ALLOW: "allow",
    Action.FLAG: "flag",
    Action.MASK: "mask",
    Action.BLOCK: "block",
}


class TextPart(OpenBody):
    """One part of an input in parts."""

    type: Literal["text"]
    text: str


def _as_texts(given: Any) -> Any:
    """A list of texts: one for a text, one for all parts of an input that comes in parts."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(part, dict) for part in given):
        parts = [TextPart.model_validate(part) for part in given]
        return ["\n".join(part.text for part in parts)]
    return given


def _text_texts_or_parts(schema: dict[str, Any]) -> None:
    or_text(schema)
    schema["anyOf"].append({"type": "array", "items": TEXT_PART, "minItems": 1})


class ModerationBody(OpenBody):
    """Request body of POST /v1/moderations."""

    input: Annotated[list[str], BeforeValidator(_as_texts)] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        json_schema_extra=_text_texts_or_parts,
        examples=[["how do I pick a lock?"]],
    )
    model: str | None = Field(
        None, max_length=256, description="Ignored: the tenant's policy judges."
    )


class SideBody(OpenBody):
    """Moderation mode of one side, beyond the tenant's policy."""

    mode: Literal["score", "block"]


class SidesBody(OpenBody):
    """Moderation modes of input and output; a side that is not named is scored."""

    input: SideBody | None = None
    output: SideBody | None = None


class InlineModerationBody(OpenBody):
    """Inline moderation: results beside the answer; `block` stops whatever a rule matches."""

    model: str | None = Field(
        None, max_length=256, description="Ignored: the tenant's policy judges."
    )
    policy: SidesBody | None = None

    @property
    def requested(self) -> Moderated:
        """As the domain has it."""
        sides = self.policy or SidesBody()
        return Moderated(blocks_input=_blocks(sides.input), blocks_output=_blocks(sides.output))


def _blocks(side: SideBody | None) -> bool:
    return side is not None and side.mode == "block"


class MatchedRule(TypedDict):
    """Policy rule that matched."""

    id: Annotated[str, Field(examples=["no-lockpicking"])]
    category: Annotated[str, Field(examples=["illicit"])]


class ModerationResult(TypedDict):
    """The verdict on one text. `flagged` when any rule or judge matched, `blocked` when the text
    was stopped; `unanswered` are judges without whose opinion it passed. Scores are 1.0 or 0.0 of
    rules, and of judges how sure they were."""

    flagged: Annotated[bool, Field(examples=[True])]
    categories: Annotated[dict[str, bool], Field(examples=[{"illicit": True, "violence": False}])]
    category_scores: Annotated[
        dict[str, float], Field(examples=[{"illicit": 1.0, "violence": 0.0}])
    ]
    category_applied_input_types: Annotated[
        dict[str, list[Literal["text"]]],
        Field(examples=[{"illicit": ["text"], "violence": ["text"]}]),
    ]
    blocked: Annotated[bool, Field(examples=[True])]
    rules: list[MatchedRule]
    unanswered: list[str]


class FirstMatch(TypedDict):
    """First place in a text where a rule matched, in characters; `end` is one past the last."""

    id: Annotated[str, Field(examples=["no-lockpicking"])]
    category: Annotated[str, Field(examples=["illicit"])]
    action: Literal["allow", "flag", "mask", "block"]
    start: Annotated[int, Field(examples=[9])]
    end: Annotated[int, Field(examples=[20])]


class TextModeration(ModerationResult):
    """Moderation result of a text, with the first match of each rule or judge. A block ends the
    judging: what would match behind it is not there.
    """

    matches: list[FirstMatch]


class InlineResult(ModerationResult):
    """Moderation result beside an answer. `model` is the digest of the policy that judged."""

    type: Literal["moderation_result"]
    model: str


class InlineResults(TypedDict):
    """Moderation results: for the input one a prompt, for the output one an answer."""

    type: Literal["moderation_results"]
    model: str
    results: list[InlineResult]


class InlineModeration(TypedDict):
    """Moderation results: present when the request asked for them, or when the policy ended an
    answer.
    """

    input: InlineResults
    output: InlineResults


class ModerationField(TypedDict):
    """The field `moderation` of answers."""

    moderation: NotRequired[InlineModeration]


class Moderation(TypedDict):
    """Moderation results in the order of the inputs. `model` is the digest of the policy that
    judged.
    """

    id: Annotated[str, Field(examples=["modr-0b8f"])]
    model: Digest
    results: list[TextModeration]


def moderation_result(judged: verdict.ModerationResult) -> ModerationResult:
    """A verdict as OpenAI's result; `blocked`, `rules` and `unanswered` are ours."""
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


def text_moderation(judged: verdict.ModerationResult) -> TextModeration:
    """The same with the places where rules matched."""
    firsts = {hit.rule_id: hit.first for hit in reversed(judged.hits) if hit.first is not None}
    matches: list[FirstMatch] = [
        {
            "id": first.rule_id,
            "category": first.category,
            "action": _ACTIONS[first.action],
            "start": first.start,
            "end": first.end,
        }
        for first in sorted(firsts.values(), key=lambda it: (it.start, it.end, it.rule_id))
    ]
    return {**moderation_result(judged), "matches": matches}


def moderation_field(*prompts: FilteredAnswers) -> ModerationField:
    """What the policy said: asked for, or there to say why one of the answers was ended.

    Its results are of each prompt, and of each answer, in order.
    """
    if not any(answers.tells_verdicts for answers in prompts):
        return {}
    outputs = [judged for answers in prompts for judged in answers.outputs]
    inputs = [answers.input for answers in prompts]
    return {"moderation": {"input": _results(inputs), "output": _results(outputs)}}


def _results(verdicts: list[Any]) -> InlineResults:
    model = verdicts[0].policy_digest
    results: list[InlineResult] = [
        {"type": "moderation_result", "model": model, **moderation_result(judged)}
        for judged in verdicts
    ]
    return {"type": "moderation_results", "model": model, "results": results}
