"""What is on record of the requests of all tenants, in memory, as the stream has it."""

from typing import Any

from jobs.bus import Bus
from jobs.envelope import Stored
from registry.read_model import ReadModel
from service_kit.errors import DeadlineError, UnavailableError

from gateway.domain.usage_rows import UsageRows, UsedRequest

FILTER = "usage.recorded.*"
CATCH_UP_SECONDS = 5.0
RETRY_SECONDS = 5.0


class UsageBook(ReadModel):
    """Read model of `usage.recorded.*`.

    It is read from its beginning at each start, beside the answers: who asks before that is over
    is told to come back.
    """

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, (FILTER,))
        self._store = bus
        self._rows: dict[str, UsageRows] = {}

    async def rows_of(self, tenant: str) -> UsageRows:
        """Everything of the tenant that the stream holds at this moment.

        Raises:
            UnavailableError: the bus is away, or it takes too long to read up to here.
        """
        newest = await self._store.newest_sequence(FILTER)
        try:
            await self.wait_for(newest, CATCH_UP_SECONDS)
        except DeadlineError as error:
            raise UnavailableError("what was used is still being read; ask again") from error
        return self._rows.get(tenant, UsageRows())

    def _apply(self, stored: Stored[Any]) -> None:
        if stored.sequence <= self._applied:
            return
        record = stored.body
        if record.shadow:
            return
        self._rows.setdefault(record.tenant, UsageRows()).add(
            UsedRequest(
                at=record.at.seconds,
                model=record.version_id,
                api_key_id=record.key_id,
                user_id=record.caller,
                input_tokens=record.prompt_tokens,
                output_tokens=record.completion_tokens,
                micros=record.micros,
            )
        )
