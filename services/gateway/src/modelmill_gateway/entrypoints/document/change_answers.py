"""The shape of what was changed, with an example."""

from typing import Any, Literal

from modelmill_gateway.entrypoints.document.examples import AT, VERSION
from modelmill_gateway.entrypoints.document.shape import Answer, Page


class Change(Answer):
    """Audit record of a change. `object_id` is as the path or the response named it."""

    id: str
    object: Literal["audit.change"]
    at: int
    subject: str
    key_id: str | None
    route: str
    object_id: str | None
    request_id: str


class ChangePage(Page[Change]):
    """Audit log: the tenant's last thousand changes, newest first."""


CHANGE: dict[str, Any] = {
    "id": "change-req-0b8f",
    "object": "audit.change",
    "at": AT,
    "subject": "ada",
    "key_id": None,
    "route": "delete_model",
    "object_id": VERSION,
    "request_id": "req-0b8f",
}
