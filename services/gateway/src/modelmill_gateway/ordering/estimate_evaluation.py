"""Use case: what an evaluation would take, and whether it would be accepted; nothing is ordered."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec, SizeEvaluationJobResponse
from modelmill_bus.kinds import EVALUATE
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.job_estimates import EarlierJobs, EstimateNote

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ordering.earlier_jobs import (
    WorkerFit,
    has_fields_of,
    newest_like,
    summary_of,
    worker_fit,
)
from modelmill_gateway.ordering.order_job import ResolveSpecs
from modelmill_gateway.ports import Trainer
from modelmill_gateway.routing.find_model import FindModel

DATASET_SUITE = "dataset"
LIKE = ("measures", "max_new_tokens", "tasks")
"""Fields of a spec that earlier evaluations have alike, beside their models."""
LIKE_WITH_TASKS = (*LIKE, "max_rows")
NO_EARLIER = EstimateNote(
    "no_earlier_evaluation",
    "time is not known: no evaluation of these models with the same measures and tasks has"
    " succeeded yet",
)
TASK_ROWS = EstimateNote("task_rows", "rows of tasks are not known before their files are read")


@dataclass(frozen=True)
class EstimatedEvaluation:
    """What an evaluation would read, need and take."""

    sized: SizeEvaluationJobResponse
    rows: int | None
    """That each model is asked; None while those of a task are not known."""
    most_rows: int
    seconds: float | None
    earlier_job_ids: Sequence[str]
    """Those that time is taken from; empty where there is none."""
    worker: WorkerFit
    notes: Sequence[EstimateNote]
    """What is not known, and why."""


class EstimateEvaluation:
    """Estimates evaluations by earlier ones of the same versions.

    How fast the inference service answers is known by nothing else, so without any there is no
    time.
    """

    def __init__(
        self, trainer: Trainer, resolve: ResolveSpecs, find_model: FindModel, jobs: JobIndex
    ) -> None:
        self._trainer = trainer
        self._resolve = resolve
        self._find_model = find_model
        self._jobs = jobs

    async def __call__(self, spec: EvaluationSpec, caller: Caller) -> EstimatedEvaluation:
        """Estimate it; raises what ordering it does, but for a full queue."""
        tenant = caller.tenant
        resolved = await self._resolve.evaluation(spec, caller)
        sized = await self._trainer.size_evaluation(resolved, tenant=tenant)
        asked = (each for each in (resolved.model, resolved.compare_to) if each)
        versions = [self._version(tenant, each) for each in asked]
        names = LIKE_WITH_TASKS if spec.tasks else LIKE

        def is_like(record: JobRecord) -> bool:
            is_of_them = versions == _versions(summary_of(record))
            return is_of_them and has_fields_of(record, sized.spec, names)

        records = newest_like(self._jobs, tenant, EVALUATE, is_like)
        worker = worker_fit(self._jobs, EVALUATE, sized.needs, sized.worker)
        return _estimate(sized, records, worker)

    def _version(self, tenant: str, model: str) -> str:
        """What an alias or a version id that is asked for stands for now."""
        alias = self._find_model.alias(tenant, model)
        return model if alias is None else alias.version_id


def _estimate(
    sized: SizeEvaluationJobResponse, records: Sequence[JobRecord], worker: WorkerFit
) -> EstimatedEvaluation:
    summaries = [summary_of(each) for each in records]
    tasks, rows = len(sized.spec.tasks), sized.dataset_rows
    notes = [] if records else [NO_EARLIER]
    known: int | None = rows
    if tasks:
        # Tasks have the same rows as before: files never change, and neither does the draw's size.
        known = rows + _rows(summaries[0], of_tasks=True) if records else None
        notes += [TASK_ROWS] if known is None else []
    seconds = None
    if known is not None and records:
        earlier = EarlierJobs([each.work_seconds for each in records], summaries)
        seconds = earlier.seconds_for(known, median(_rows(each) for each in summaries))
    return EstimatedEvaluation(
        sized,
        known,
        rows + tasks * sized.spec.max_rows,
        seconds,
        [each.requested.job_id for each in records],
        worker,
        notes,
    )


def _versions(summary: dict[str, Any]) -> list[str]:
    """What an evaluation measured, the second behind the first."""
    models = summary.get("models", {})
    return [models[each]["version_id"] for each in ("model", "compare_to") if models.get(each)]


def _rows(summary: dict[str, Any], *, of_tasks: bool = False) -> int:
    suites = summary.get("suites", {}).items()
    left_out = {DATASET_SUITE} if of_tasks else set()
    return sum(int(suite.get("rows", 0)) for name, suite in suites if name not in left_out)
