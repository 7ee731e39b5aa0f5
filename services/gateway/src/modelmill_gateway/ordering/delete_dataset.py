"""Take a dataset out of use."""

from modelmill_bus.read_model import CatchesUp, until_seen

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import DataPrep


class DeleteDataset:
    """Models that were trained on it stay."""

    def __init__(self, orders: DataPrep, datasets: CatchesUp) -> None:
        self._orders = orders
        self._datasets = datasets

    async def __call__(self, dataset_id: str, caller: Caller) -> None:
        """Delete it.

        Raises:
            NotFoundError: unknown, not ready, deleted, or another tenant's.
            PreconditionError: jobs that have not ended need it; the message names them.
            UnavailableError: data-prep or the bus does not answer.
        """
        sequence = await self._orders.delete_dataset(
            tenant=caller.tenant, dataset_id=dataset_id, requested_by=caller.subject
        )
        await until_seen(self._datasets, sequence)
