"""The audit log: who changed what."""

from typing import Literal, Self

from modelmill.gateway.v1.gateway_events_pb2 import ChangeRecorded
from modelmill_bus.envelope import Stored
from pydantic import Field

from modelmill_gateway.entrypoints.schemas.base import (
    OrNull,
    RequestId,
    ResponseModel,
    UnixSeconds,
    User,
    VersionId,
)


class Change(ResponseModel):
    """Audit record of a change. `object_id` is as the path or the response named it.

    The tenant's last thousand are listed.
    """

    id: str = Field(examples=["change-req-0b8f"])
    object: Literal["audit.change"] = "audit.change"
    at: UnixSeconds
    subject: User
    key_id: OrNull[str]
    route: str = Field(examples=["delete_model"])
    object_id: OrNull[VersionId]
    request_id: RequestId

    @classmethod
    def of_stored(cls, stored: Stored[ChangeRecorded]) -> Self:
        """Who changed what, and when."""
        return cls.of(stored.body, id=f"change-{stored.event_id}")
