"""What moderation says of an input."""

from dataclasses import dataclass

from gateway.domain.errors import ContentPolicyError


@dataclass(frozen=True)
class Hit:
    """One rule that matched, by id and category."""

    rule_id: str
    category: str


@dataclass(frozen=True)
class InputVerdict:
    """`blocked` stops the request; otherwise `text` goes on, with masks applied."""

    blocked: bool
    hits: tuple[Hit, ...]
    text: str
    policy_digest: str


def refusal_of(verdict: InputVerdict, field: str) -> ContentPolicyError:
    """What a caller hears of a blocked input: rules and categories, never the text."""
    rules = dict.fromkeys((hit.rule_id, hit.category) for hit in verdict.hits)
    return ContentPolicyError(tuple(rules), verdict.policy_digest, param=field)
