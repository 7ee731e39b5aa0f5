"""What is on record of the requests of all tenants, in memory, as the stream has it."""

import asyncio
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill_bus.bus import Bus
from modelmill_bus.envelope import Stored
from modelmill_registry.read_model import ReadModel
from modelmill_service_kit.errors import DeadlineError, UnavailableError

from modelmill_gateway.domain.usage_rows import UsageRows, UsedRequest

FILTER = "usage.recorded.*"
CATCH_UP_SECONDS = 5.0
RETRY_SECONDS = 5.0


class UsageBook(ReadModel):
    """Read model of `usage.recorded.*`.

    It is read from its beginning when somebody first asks, beside the answers, and followed from
    then on; who asks before it is read is told to come back. Most replicas are never asked, and
    following would cost every answer a tenth more.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, (FILTER,))
        self._store = bus
        self._rows: dict[str, UsageRows] = {}
        self._is_wanted = asyncio.Event()

    async def run(self) -> None:
        """Follow as soon as somebody asks, until cancelled."""
        await self._is_wanted.wait()
        await super().run()

    async def rows_of(self, tenant: str) -> UsageRows:
        """Everything of the tenant that the stream holds at this moment.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        self._is_wanted.set()
        newest = await self._store.newest_sequence(FILTER)
        try:
            await self.wait_for(newest, CATCH_UP_SECONDS)
        except DeadlineError as error:
            raise UnavailableError("what was used is still being read. Ask again") from error
        return self._rows.get(tenant, UsageRows())

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.sequence <= self._applied:
            return
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
    )
