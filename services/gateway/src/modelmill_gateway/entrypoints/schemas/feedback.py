"""Feedback: what people say of responses and verdicts."""

from typing import Annotated, Literal, Self

from modelmill.gateway.v1.gateway_events_pb2 import FeedbackRecorded
from pydantic import Field, model_validator

from modelmill_gateway.entrypoints.schemas.base import OrNull, ResponseModel, UnixSeconds, User
from modelmill_gateway.entrypoints.schemas.parsing import StrictBody
from modelmill_gateway.guarding.record_feedback import REPORTS

MAX_TEXT_CHARACTERS = 8_192
MAX_COMMENT_CHARACTERS = 2_048
MAX_NAMED = 32
"""Categories, and rules, that one report names."""
REPORTED = {message: report for report, message in REPORTS.items()}
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
SAYING = ("score", "completed", "report", "correction", "comment")
"""Fields of which one at least says something."""
TEXT, RULES = "how do I pick a lock screen?", ["no-lockpicking"]
CORRECTION = "Your parcel arrives tomorrow before noon."
"""Examples."""


class FeedbackBody(StrictBody):
    """Request body of POST /v1/feedback."""

    request_id: Name | None = Field(None, description="Request id, as in `x-request-id`.")
    score: float | None = Field(None, ge=-1, le=1, description="Score of the answer, from -1 to 1.")
    completed: bool | None = Field(
        None, description="Whether the task was completed with the answer."
    )
    report: Literal["false_positive", "missed"] | None = Field(
        None,
        description=(
            "Report on a verdict: false_positive (a rule matched wrongly) or "
            "missed (no rule matched)."
        ),
        examples=["false_positive"],
    )
    text: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT_CHARACTERS,
        description=(
            "Text that was moderated, with a report. It is stored for people "
            "who improve the policy."
        ),
        examples=[TEXT],
    )
    direction: Literal["input", "output"] | None = Field(
        None, description="Direction of the text, with a report.", examples=["input"]
    )
    categories: list[Name] = Field(
        default_factory=list,
        max_length=MAX_NAMED,
        description="Categories concerned, with a report.",
    )
    rules: list[Name] = Field(
        default_factory=list,
        max_length=MAX_NAMED,
        description="Rules concerned, with a report.",
        examples=[RULES],
    )
    comment: str | None = Field(None, min_length=1, max_length=MAX_COMMENT_CHARACTERS)
    correction: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEXT_CHARACTERS,
        description="Answer that would have been right, with a request_id. It is stored.",
    )

    @model_validator(mode="after")
    def _says_something_of_something(self) -> Self:
        if all(getattr(self, name) is None for name in SAYING):
            raise ValueError("needs a score, completed, a report, a correction or a comment")
        if self.report is not None and self.text is None and self.request_id is None:
            raise ValueError("a report needs the text, or the request_id")
        if self.report is None:
            about = ("text", "direction", "categories", "rules")
            if wrong := [name for name in about if getattr(self, name)]:
                raise ValueError(f"only with a report: {', '.join(wrong)}")
        for name in ("score", "completed", "correction"):
            if getattr(self, name) is not None and self.request_id is None:
                raise ValueError(f"a {name} needs the request_id")
        return self

    @property
    def feedback(self) -> FeedbackRecorded:
        """What is said, without who says it and when."""
        said = self.model_dump(exclude_none=True, exclude={"report"})
        named = {name: [*dict.fromkeys(said[name])] for name in ("categories", "rules")}
        return FeedbackRecorded(**(said | named), report=REPORTS[self.report])


class RecordedFeedback(ResponseModel):
    """Confirmation that feedback is recorded; what was said is not said again."""

    id: str = Field(validation_alias="feedback_id", examples=["fb-0b8f"])
    object: Literal["feedback"] = "feedback"
    created_at: UnixSeconds = Field(validation_alias="at")
    request_id: OrNull[str]


class FeedbackRecord(RecordedFeedback):
    """Feedback record on a response or a verdict. The newest thousand of a year are listed."""

    caller: User
    score: float | None
    completed: bool | None = Field(examples=[True])
    report: Literal["false_positive", "missed"] | None = Field(examples=["false_positive"])
    text: OrNull[str] = Field(examples=[TEXT])
    direction: OrNull[Literal["input", "output"]] = Field(examples=["input"])
    categories: list[str]
    rules: list[str] = Field(examples=[RULES])
    comment: OrNull[str]
    correction: OrNull[str] = Field(examples=[CORRECTION])

    @classmethod
    def of_recorded(cls, recorded: FeedbackRecorded) -> Self:
        """All that was said, by whom."""
        return cls.of(recorded, report=REPORTED.get(recorded.report))
