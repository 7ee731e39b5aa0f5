"""What moderation says of an input."""

from dataclasses import dataclass


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
