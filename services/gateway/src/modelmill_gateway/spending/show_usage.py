"""What a tenant used."""

import asyncio
from collections.abc import Sequence
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import ReadModel

from modelmill_gateway.domain.usage_rows import Bucket, UsageQuestion, UsageRows, UsedRequest


class UsageBook(ReadModel):
    """Read model of `usage.recorded.*`.

    Read on demand: who asks before it is read is told to come back. Most replicas are never asked,
    and following would cost every answer a tenth more.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, ("usage.recorded.*",), on_demand=True)
        self._rows: dict[str, UsageRows] = {}

    async def rows_of(self, tenant: str) -> UsageRows:
        """Everything of the tenant that the stream holds at this moment.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        await self.catch_up()
        return self._rows.get(tenant, UsageRows())

    def _apply(self, stored: Stored[Any]) -> None:
        rows = self._rows.setdefault(stored.body.tenant, UsageRows())
        for record in stored.body.requests:
            if not record.shadow:
                rows.add(_used(record))


def _used(record: UsageRecorded) -> UsedRequest:
    return UsedRequest(
        at=record.at.seconds,
        model=record.version_id,
        api_key_id=record.key_id,
        user_id=record.caller,
        input_tokens=record.prompt_tokens,
        output_tokens=record.completion_tokens,
        micros=record.micros,
        first_token_seconds=record.first_token_seconds,
        total_seconds=record.total_seconds,
        failed=record.finish_reason == "error",
    )


class ShowUsage:
    """Usage sums, up to date with every record that the bus holds."""

    def __init__(self, book: UsageBook) -> None:
        self._book = book

    async def __call__(self, tenant: str, asked: UsageQuestion) -> Sequence[Bucket]:
        """A page of buckets, oldest first.

        Raises:
            UnavailableError: the bus is away, or the records are still being read.
        """
        rows = await self._book.rows_of(tenant)
        # A million rows take a second; others are answered meanwhile.
        return await asyncio.to_thread(rows.buckets, asked)
