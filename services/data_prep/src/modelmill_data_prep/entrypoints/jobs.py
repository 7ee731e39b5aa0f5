"""Jobs of kind dataset: unpack, call the use case, pack. No rules live here."""

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobRequested, JobResult
from modelmill_bus.kinds import DATASET
from modelmill_bus.subjects import DATASET_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.announcements import announced_result

from modelmill_data_prep.make_dataset import MakeDataset


class DatasetHandler:
    """Job handler."""

    kind = DATASET

    def __init__(self, make_dataset: MakeDataset) -> None:
        self._make_dataset = make_dataset

    async def is_ready(self, request: JobRequested) -> bool:
        """Always true: a file is complete before its id is known."""
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        ready = await self._make_dataset(job, job.spec(DatasetSpec))
        counts = dict(ready.counts)
        return announced_result(ready.dataset_id, ready.digest, DATASET_READY, ready, counts)
