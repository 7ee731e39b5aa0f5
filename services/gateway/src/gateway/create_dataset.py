"""Order a dataset and answer once our own list of jobs knows of it."""

import logging
from dataclasses import dataclass
from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from service_kit.errors import DeadlineError, UnavailableError

from gateway.domain.access import Caller

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 2.0


@dataclass(frozen=True)
class AcceptedDataset:
    """A dataset to come. `sequence` is that of its job's request in the JOBS stream."""

    job_id: str
    dataset_id: str
    sequence: int


class DatasetOrders(Protocol):
    """Takes orders for datasets."""

    async def create_dataset(
        self, spec: DatasetSpec, *, tenant: str, requested_by: str, idempotency_key: str
    ) -> AcceptedDataset: ...


class CatchesUp(Protocol):
    """The part of a read model that tells how far it has read."""

    async def wait_for(self, sequence: int, timeout: float) -> None: ...


class CreateDataset:
    """See `modelmill.data_prep.v1.DataPrepService.CreateDataset` for what it refuses."""

    def __init__(self, orders: DatasetOrders, jobs: CatchesUp) -> None:
        self._orders = orders
        self._jobs = jobs

    async def __call__(
        self, spec: DatasetSpec, caller: Caller, idempotency_key: str
    ) -> AcceptedDataset:
        """Order it under the caller's name."""
        accepted = await self._orders.create_dataset(
            spec,
            tenant=caller.tenant,
            requested_by=caller.subject,
            idempotency_key=idempotency_key,
        )
        await until_seen(self._jobs, accepted.sequence)
        return accepted


async def until_seen(read_model: CatchesUp, sequence: int) -> None:
    """Wait until what was just written can be read here, so that callers read their writes.

    It is written either way: a list that lags is logged, and never turns a yes into a no.
    """
    try:
        await read_model.wait_for(sequence, CATCH_UP_SECONDS)
    except (UnavailableError, DeadlineError) as error:
        log.warning("the caller may not see its write yet: %s", error)
