"""What a policy says of a text, as the gateway hands it on: rules and categories."""

from dataclasses import dataclass, field

from modelmill_guard.verdict import Action, RuleMatch

from modelmill_gateway.domain.errors import ContentPolicyError


@dataclass(frozen=True)
class Hit:
    """One rule or judge that matched, by id and category."""

    rule_id: str
    category: str
    score: float = 1.0
    """How sure a judge was; rules match or do not."""
    first: RuleMatch | None = field(default=None, compare=False)
    """Its first match in the text, where that is known."""


@dataclass(frozen=True)
class ModerationResult:
    """What was done with a text, which rules and judges matched, and by which policy."""

    action: Action
    hits: tuple[Hit, ...]
    policy_digest: str
    unanswered: tuple[str, ...] = field(default=(), kw_only=True)
    """Judges without whose opinion it passed, as the policy lets it."""

    @property
    def blocked(self) -> bool:
        """Whether it was stopped."""
        return self.action is Action.BLOCK

    @property
    def flagged(self) -> bool:
        """Whether any rule matched, whatever it does."""
        return self.blocked or bool(self.hits)


@dataclass(frozen=True)
class InputVerdict(ModerationResult):
    """`blocked` stops the request; otherwise `text` goes on, with masks applied."""

    text: str


def refusal_of(verdict: InputVerdict, field: str) -> ContentPolicyError:
    """What a caller hears of a blocked input: rules and categories, never the text."""
    rules = dict.fromkeys((hit.rule_id, hit.category) for hit in verdict.hits)
    return ContentPolicyError(tuple(rules), verdict.policy_digest, param=field)
