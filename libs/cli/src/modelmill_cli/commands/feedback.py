"""`mill feedback`: what somebody says of an answer, recorded for those who improve the model."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from modelmill_client.types import FeedbackBody
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_facts


class Rating(StrEnum):
    """Rating of an answer."""

    GOOD, BAD = "good", "bad"


SCORES = {Rating.GOOD: 1.0, Rating.BAD: -1.0}


def feedback(
    context: typer.Context,
    request: Annotated[str, typer.Argument(help="Request id, as in the header x-request-id.")],
    rating: Annotated[Rating | None, typer.Option(help="Rating of the answer.")] = None,
    completed: Annotated[
        bool | None,
        typer.Option(
            "--completed/--not-completed", help="Whether the task was completed with the answer."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, in words; stored for people.")] = "",
    correction: Annotated[
        str, typer.Option(help="Answer that would have been right; - reads it from stdin.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Send feedback on an answer: a rating, whether it did the task, a reason, a correction."""
    if correction == "-":
        correction = sys.stdin.read().strip()
        if not correction:
            raise InvalidInputError("stdin has no correction. Write the right answer to it")
    if rating is None and completed is None and not reason and not correction:
        raise InvalidInputError(
            "say --rating good, --rating bad, --completed, --not-completed, --reason or"
            " --correction"
        )
    body = FeedbackBody(request_id=request)
    if rating is not None:
        body["score"] = SCORES[rating]
    if completed is not None:
        body["completed"] = completed
    if reason:
        body["comment"] = reason
    if correction:
        body["correction"] = correction
    with connect(context.obj) as client:
        made = client.feedback.create(**body)
    print_facts(made, as_json=as_json)
