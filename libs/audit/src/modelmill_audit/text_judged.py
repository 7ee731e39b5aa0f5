"""What is remembered of a verdict."""

from dataclasses import dataclass

from modelmill_guard.verdict import Action, Direction, Verdict


@dataclass(frozen=True)
class TextJudged:
    """A text was judged. It carries the text's hash, so that the text itself goes nowhere."""

    tenant: str
    direction: Direction
    action: Action
    matched: frozenset[tuple[str, str]]
    """Ids of rules and judges that matched, each with a category."""
    policy_digest: str
    text_sha256: str
    """Hex."""
    unanswered: tuple[str, ...] = ()
    """Judges that gave no opinion, where the policy lets the text pass then."""

    @classmethod
    def by(
        cls, verdict: Verdict, *, tenant: str, direction: Direction, text_sha256: str
    ) -> "TextJudged":
        """What is remembered of a verdict of the guard."""
        return cls(
            tenant=tenant,
            direction=direction,
            action=verdict.action,
            matched=frozenset((match.rule_id, match.category) for match in verdict.matches),
            policy_digest=verdict.policy_digest,
            text_sha256=text_sha256,
            unanswered=verdict.unanswered,
        )
