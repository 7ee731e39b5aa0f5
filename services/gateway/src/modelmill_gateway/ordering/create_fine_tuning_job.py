"""Order a training run, from a dataset or straight from a file of conversations."""

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import TRAIN
from modelmill_job_index.index import JobRecord

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.fine_tuning_order import FineTuningOrder, ResolveFineTuning
from modelmill_gateway.ordering.order_job import OrderJob
from modelmill_gateway.ports import Owner


class CreateFineTuningJob:
    """See `modelmill.trainer.v1.TrainerService.CreateFineTuningJob` for what it refuses."""

    def __init__(
        self,
        training: Owner[TrainSpec],
        dataset_orders: Owner[DatasetSpec],
        resolve: ResolveFineTuning,
        order_job: OrderJob,
    ) -> None:
        self._training = training
        self._dataset_orders = dataset_orders
        self._resolve = resolve
        self._order_job = order_job

    async def __call__(
        self, order: FineTuningOrder, caller: Caller, idempotency_key: str
    ) -> JobRecord:
        """Order it under the caller's name.

        A file becomes a dataset first, by a job of its own; training waits for that job.

        Raises:
            OverloadedError: too many jobs of the tenant's wait.
        """
        return await self._order_job(
            self._training,
            lambda: self._resolve(order, caller, self._order_dataset, idempotency_key),
            kind=TRAIN,
            caller=caller,
            idempotency_key=idempotency_key,
            priority=order.priority,
        )

    async def _order_dataset(
        self,
        spec: DatasetSpec,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> str:
        # Beside the training's own place: who may wait with that may wait with its dataset.
        accepted = await self._dataset_orders.create(
            spec, caller, idempotency_key=idempotency_key, priority=priority
        )
        return accepted.job_id
