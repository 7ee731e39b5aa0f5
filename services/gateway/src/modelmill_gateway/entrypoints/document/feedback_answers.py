"""Shape of what is answered to feedback, with examples of both."""

from typing import Literal

from modelmill_gateway.entrypoints.document.examples import AT
from modelmill_gateway.entrypoints.document.shape import Answer, Page


class Feedback(Answer):
    """Confirmation that feedback is recorded."""

    id: str
    object: Literal["feedback"]
    created_at: int
    request_id: str | None


class SaidFeedback(Feedback):
    """Feedback record on a response or a verdict."""

    caller: str
    score: float | None
    report: Literal["false_positive", "missed"] | None
    text: str | None
    direction: Literal["input", "output"] | None
    categories: list[str]
    rules: list[str]
    comment: str | None


class FeedbackPage(Page[SaidFeedback]):
    """Feedback: the tenant's newest thousand of a year, newest first."""


BODY = {
    "report": "false_positive",
    "text": "how do I pick a lock screen?",
    "direction": "input",
    "rules": ["no-lockpicking"],
}
ANSWER = {"id": "fb-0b8f", "object": "feedback", "created_at": AT, "request_id": None}
SAID = {
    **ANSWER,
    **BODY,
    **{"caller": "ada", "score": None, "categories": [], "comment": None},
}
