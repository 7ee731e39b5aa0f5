"""Logged requests: what was asked and answered."""

from typing import Any, Literal, Self

from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import (
    ModelName,
    OrNull,
    ResponseModel,
    UnixSeconds,
    VersionId,
)
from modelmill_gateway.request_log.read_log import Logged

QUESTION = {"role": "user", "content": "Where is my parcel?"}
ANSWER = {"role": "assistant", "content": "It arrives tomorrow.", "finish_reason": "stop"}


class LoggedRequestRecord(ResponseModel):
    """Logged request; its texts are as the policy let them pass."""

    id: str = Field(validation_alias="request_id", examples=["req-0b8f"])
    object: Literal["logged_request"] = "logged_request"
    created_at: UnixSeconds = Field(validation_alias="at")
    model: ModelName
    version_id: VersionId
    variant: OrNull[str] = Field(examples=["candidate"])
    key_id: OrNull[str] = Field(examples=["key-77f0"])
    finish_reason: str = Field(examples=["stop"])
    deleted: bool
    """Whether the texts were deleted with all of their user's."""
    messages: list[dict[str, Any]] | None = Field(examples=[[QUESTION]])
    answers: list[dict[str, Any]] | None = Field(examples=[[ANSWER]])
    tools: list[dict[str, Any]] | None = Field(examples=[[]])

    @classmethod
    def of_logged(cls, logged: Logged) -> Self:
        """A request, with its texts if there are any."""
        texts = logged.texts
        return cls.of(
            logged.request,
            deleted=texts is None,
            messages=texts and [dict(each) for each in texts.messages],
            answers=texts and [dict(each) for each in texts.answers],
            tools=texts and [dict(each) for each in texts.tools],
        )


class DeletedLogs(ResponseModel):
    """Confirmation that the texts of a user's requests are deleted."""

    user: str = Field(examples=["ann"])
    object: Literal["logged_requests"] = "logged_requests"
    deleted: Literal[True] = True
    requests: int = Field(examples=[12])
    """How many they were of; 0 where there was none."""
