"""Order a dataset and answer once our own list of jobs knows of it."""

from dataclasses import dataclass
from typing import Protocol

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill_bus.kinds import DATASET
from modelmill_bus.read_model import CatchesUp, until_seen

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.pending_job_quota import PendingJobQuota
from modelmill_gateway.routing.find_model import FindModel


@dataclass(frozen=True)
class AcceptedDataset:
    """A dataset to come. `sequence` is that of its job's request in the JOBS stream."""

    job_id: str
    dataset_id: str
    sequence: int


class DatasetOrders(Protocol):
    """Takes orders for datasets."""

    async def create_dataset(
        self,
        spec: DatasetSpec,
        *,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedDataset: ...


class CreateDataset:
    """See `modelmill.data_prep.v1.DataPrepService.CreateDataset` for what it refuses."""

    def __init__(
        self,
        orders: DatasetOrders,
        find_model: FindModel,
        jobs: CatchesUp,
        room: PendingJobQuota,
    ) -> None:
        self._orders = orders
        self._find_model = find_model
        self._jobs = jobs
        self._room = room

    async def __call__(
        self,
        spec: DatasetSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedDataset:
        """Order it under the caller's name.

        The model whose tokens are wanted may be named in any way; it is ordered as the version that
        training would begin from.

        Raises:
            ModelNotFoundError: there is no such model that can be trained.
            OverloadedError: too many jobs of the tenant's wait.
        """
        if spec.tokenize.model:
            start = await self._find_model.trainable(caller.tenant, spec.tokenize.model)
            spec.tokenize.model = start.base.version_id
        with self._room.place(caller.tenant, DATASET, idempotency_key):
            accepted = await self._orders.create_dataset(
                spec,
                tenant=caller.tenant,
                requested_by=caller.subject,
                idempotency_key=idempotency_key,
                priority=priority,
            )
            await until_seen(self._jobs, accepted.sequence)
        return accepted
