"""Experiments on aliases: versions that are compared with what an alias means."""

from collections.abc import AsyncIterator, Sequence
from typing import Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncResource
from modelmill_client.wire import PAGE, path_of


class AsyncExperiments(AsyncResource):
    """/v1/experiments."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.ExperimentBody]
    ) -> types.Experiment:
        """Begin an experiment; a call repeated with the same key gives the same one."""
        made = await self._transport.call(
            "POST", "/v1/experiments", json=body, idempotency_key=idempotency_key
        )
        return cast(types.Experiment, made)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Experiment]:
        """Every experiment, newest first."""
        return self._transport.each("/v1/experiments", after=after, page_size=page_size)

    async def retrieve(self, experiment_id: str) -> types.Experiment:
        """An experiment as it stands, with its evidence and its decisions."""
        path = path_of("experiments", experiment_id)
        return cast(types.Experiment, await self._transport.call("GET", path))

    async def stop(self, experiment_id: str) -> types.Experiment:
        """End an experiment without a decision; one that has ended stays as it is."""
        path = path_of("experiments", experiment_id, "stop")
        return cast(types.Experiment, await self._transport.call("POST", path, may_repeat=True))

    async def units(self, experiment_id: str) -> Sequence[types.ExperimentUnit]:
        """Every key that it counted, in the order that decides."""
        path = path_of("experiments", experiment_id, "units")
        found = cast(types.ExperimentUnitList, await self._transport.call("GET", path))
        return found["data"]
