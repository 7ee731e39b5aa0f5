"""What a tenant used."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from modelmill_gateway.domain.usage_rows import Bucket, UsageQuestion, UsageRows


class UsageBook(Protocol):
    """See `modelmill_gateway.adapters.usage_book.UsageBook`."""

    async def rows_of(self, tenant: str) -> UsageRows: ...


class ShowUsage:
    """Sums of what is on record; up to date with every record that the bus holds."""

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
