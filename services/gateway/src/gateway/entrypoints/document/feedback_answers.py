"""Shape of what is answered to feedback, with examples of both."""

from typing import Literal

from gateway.entrypoints.document.examples import AT
from gateway.entrypoints.document.shape import Answer


class Feedback(Answer):
    """That it is kept."""

    id: str
    object: Literal["feedback"]
    created_at: int
    request_id: str | None


BODY = {
    "report": "false_positive",
    "text": "how do I pick a lock screen?",
    "direction": "input",
    "rules": ["no-lockpicking"],
}
ANSWER = {"id": "fb-0b8f", "object": "feedback", "created_at": AT, "request_id": None}
