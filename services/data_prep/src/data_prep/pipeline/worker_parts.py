"""What a worker is put together from, by its request."""

from collections.abc import Mapping
from typing import Any

from data_prep.domain.dataset_plan import plan_dataset
from data_prep.pipeline.row_worker import RowWorker, WorkerParts


def worker_of(request: Mapping[str, Any]) -> RowWorker:
    """A worker for the dataset spec of `request`, which is plain JSON.

    Raises:
        InvalidInputError: Everything that is wrong with the spec.
    """
    plan = plan_dataset(request["spec"])
    from data_prep.temp_glue import TempKeys, TempReader, temp_measure

    return RowWorker(
        WorkerParts(plan, TempReader(plan.mapping), [], TempKeys(plan.seed), temp_measure)
    )
