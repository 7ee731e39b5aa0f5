"""What shapes of answers have in common. They document what the views make; tests compare both."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

ItemT = TypeVar("ItemT")


class Answer(BaseModel):
    """A shape whose every field is named here: an answer has no others."""

    model_config = ConfigDict(extra="forbid")


class Page(Answer, Generic[ItemT]):
    """Some of a list, newest first; the next page is `after` the last id."""

    object: Literal["list"]
    data: list[ItemT]
    has_more: bool
    first_id: str | None
    last_id: str | None
