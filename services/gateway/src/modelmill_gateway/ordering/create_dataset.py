"""Order a dataset."""

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill_bus.kinds import DATASET
from modelmill_job_index.index import JobRecord

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import Owner
from modelmill_gateway.routing.find_model import FindModel


class CreateDataset:
    """See `modelmill.data_prep.v1.DataPrepService.CreateDataset` for what it refuses."""

    def __init__(
        self, datasets: Owner[DatasetSpec], find_model: FindModel, order_job: OrderJob
    ) -> None:
        self._datasets = datasets
        self._find_model = find_model
        self._order_job = order_job

    async def __call__(
        self,
        spec: DatasetSpec,
        caller: Caller,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> JobRecord:
        """Order it under the caller's name.

        The model whose tokens are wanted may be named in any way; it is ordered as the version that
        training would begin from.

        Raises:
            ModelNotFoundError: there is no such model that can be trained.
            OverloadedError: too many jobs of the tenant's wait.
        """

        async def wanted() -> DatasetSpec:
            if spec.tokenize.model:
                start = await self._find_model.trainable(caller.tenant, spec.tokenize.model)
                spec.tokenize.model = start.base.version_id
            return spec

        return await self._order_job(
            self._datasets,
            wanted,
            kind=DATASET,
            caller=caller,
            idempotency_key=idempotency_key,
            priority=priority,
        )
