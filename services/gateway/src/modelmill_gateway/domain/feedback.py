"""A person's word on an answer, or on what a policy said of a text."""

from dataclasses import dataclass
from enum import StrEnum

MAX_TEXT_CHARACTERS = 8_192
MAX_COMMENT_CHARACTERS = 2_048
MAX_NAMED = 32
"""Categories, and rules, that one report names."""


class Report(StrEnum):
    """What is wrong with a verdict."""

    FALSE_POSITIVE = "false_positive"
    """A rule touched a text that it should not."""
    MISSED = "missed"
    """No rule touched a text that one should."""


@dataclass(frozen=True)
class Feedback:
    """What somebody says; what is None or empty was not said.

    `score` is from -1 to 1, of the answer to `request_id`. `text` is what was judged.
    """

    request_id: str = ""
    score: float | None = None
    report: Report | None = None
    text: str = ""
    direction: str = ""
    categories: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    comment: str = ""
