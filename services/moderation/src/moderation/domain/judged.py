"""What is remembered of a verdict."""

from dataclasses import dataclass

from guard.verdict import Direction, Verdict


@dataclass(frozen=True)
class TextJudged:
    """A text was judged. It carries the text's hash, so that the text itself goes nowhere."""

    tenant: str
    direction: Direction
    verdict: Verdict
    text_sha256: str
    """Hex."""
