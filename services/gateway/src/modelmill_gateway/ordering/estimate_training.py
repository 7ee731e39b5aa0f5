"""Use case: what a training would take, and whether it would be accepted; nothing is ordered."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.jobs.v1.job_pb2 import JobPriority
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_METHOD_FULL,
    SizeFineTuningJobResponse,
)
from modelmill_bus.envelope import text_of
from modelmill_bus.kinds import DATASET, TRAIN, job_id, prefix_of
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.job_estimates import (
    EarlierJobs,
    EstimateNote,
    PlannedTraining,
    RuleSpeed,
    StepEstimate,
    estimate_training,
)
from modelmill_registry.catalogue import DatasetCatalogue
from modelmill_service_kit.errors import NotFoundError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.earlier_jobs import (
    WorkerFit,
    has_fields_of,
    newest_like,
    summary_of,
    worker_fit,
)
from modelmill_gateway.ordering.fine_tuning_order import FineTuningOrder, ResolveFineTuning
from modelmill_gateway.ports import DataPrep, Trainer

LIKE = ("base_version_id", "method", "objective")
"""Fields of a spec that earlier trainings have alike."""


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training would read, need and take."""

    sized: SizeFineTuningJobResponse
    step: StepEstimate
    earlier_job_ids: Sequence[str]
    """Those that time and memory are taken from; empty where there is none."""
    worker: WorkerFit

    @property
    def notes(self) -> list[EstimateNote]:
        """What is not known, and why; an older trainer names no codes."""
        texts, codes = self.sized.notes, self.sized.note_codes
        return [EstimateNote(code, text) for text, code in zip_longest(texts, codes, fillvalue="")]


class EstimateTraining:
    """Estimates trainings by earlier ones of the same base, method and objective."""

    def __init__(
        self,
        trainer: Trainer,
        resolve: ResolveFineTuning,
        data_prep: DataPrep,
        datasets: DatasetCatalogue,
        jobs: JobIndex,
    ) -> None:
        self._trainer = trainer
        self._resolve = resolve
        self._data_prep = data_prep
        self._datasets = datasets
        self._jobs = jobs

    async def __call__(self, order: FineTuningOrder, caller: Caller) -> TrainingEstimate:
        """Estimate it; raises what `CreateFineTuningJob` does, but for a full queue."""
        spec = await self._resolve(order, caller, self._look_at_file)
        sized = await self._trainer.size_training(spec, tenant=caller.tenant)
        records = newest_like(
            self._jobs, caller.tenant, TRAIN, lambda it: has_fields_of(it, sized.spec, LIKE)
        )
        worker = worker_fit(self._jobs, TRAIN, sized.needs, sized.worker)
        return TrainingEstimate(
            sized,
            _step(sized, self._earlier(caller.tenant, records), worker.largest),
            [each.requested.job_id for each in records],
            worker,
        )

    async def _look_at_file(
        self,
        spec: DatasetSpec,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> str:
        """The id that the dataset's job would have, once the file's first row has been read."""
        tenant = caller.tenant
        await self._data_prep.preview_dataset(spec, tenant=tenant, rows=1)
        return job_id(
            prefix_of(DATASET), tenant=tenant, kind=DATASET, idempotency_key=idempotency_key
        )

    def _earlier(self, tenant: str, records: Sequence[JobRecord]) -> EarlierJobs:
        return EarlierJobs(
            seconds=[each.work_seconds for each in records],
            summaries=[summary_of(each) for each in records],
            test_rows=self._test_rows(tenant, records[0]) if records else 0,
        )

    def _test_rows(self, tenant: str, record: JobRecord) -> int:
        dataset_id = text_of(record.requested.spec, "dataset_id")
        try:
            dataset = self._datasets.get(tenant, dataset_id, include_retired=True)
        except NotFoundError:
            return 0
        return dataset.counts.get("test", 0)


def _step(
    sized: SizeFineTuningJobResponse, earlier: EarlierJobs, worker: MachineSize
) -> StepEstimate:
    planned = PlannedTraining(
        rows=sized.train_rows,
        test_rows=sized.test_rows,
        row_tokens=sized.row_tokens if sized.HasField("row_tokens") else None,
        row_visits=sized.row_visits,
        trial_visits=sized.trial_row_visits,
        trains_all_weights=sized.spec.method == TRAINING_METHOD_FULL,
        needed_memory_bytes=sized.needs.memory_bytes,
        teacher_bytes=sized.teacher_bytes,
    )
    return estimate_training(planned, earlier, RuleSpeed(worker.cpus or 1, sized.base_bytes))
