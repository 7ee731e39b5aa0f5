"""The part of the bus that stores facts, for those who do nothing else with it."""

from typing import Protocol

from google.protobuf.message import Message


class Publishes(Protocol):
    """See `modelmill_jobs.bus.Bus`."""

    async def publish(
        self,
        subject: str,
        body: Message,
        *,
        msg_id: str | None = None,
        expect_last: int | None = None,
    ) -> int: ...
