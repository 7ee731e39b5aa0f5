"""Logged requests: what was asked and answered, where an alias keeps that."""

from collections.abc import AsyncIterator
from typing import cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import PAGE, path_of


class AsyncLogs(AsyncResource):
    """/v1/logs."""

    def list(
        self,
        *,
        model: str | None = None,
        version_id: str | None = None,
        user: str | None = None,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.LoggedRequestRecord]:
        """Every logged request with its texts, newest first, fetched page by page as it is read.

        Args:
            user: Whose they are: the `user` of a request, else its caller.
        """
        return self._transport.each(
            "/v1/logs",
            model=model,
            version_id=version_id,
            user=user,
            after=after,
            page_size=page_size,
        )

    async def retrieve(self, request_id: str) -> types.LoggedRequestRecord:
        """A logged request; its texts are null once they were deleted."""
        found = await self._transport.call("GET", path_of("logs", request_id))
        return cast(types.LoggedRequestRecord, found)

    async def delete(self, *, user: str) -> types.DeletedLogs:
        """Delete the texts of all of a user's requests, for good."""
        gone = await self._transport.call("DELETE", "/v1/logs", params={"user": user})
        return cast(types.DeletedLogs, gone)
