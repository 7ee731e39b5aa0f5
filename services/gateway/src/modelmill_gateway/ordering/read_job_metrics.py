"""Use case: read what a job has measured, by step, in as few points as a reader wants.

What the trainer has saved is the truth of a training; what was reported since continues it. Reports
alone are what other jobs have, and what there is before the first checkpoint.
"""

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill_bus.kinds import TRAIN
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.metric_series import MIN_POINTS, MetricKey, MetricSeries
from modelmill_service_kit.errors import DomainError, NotFoundError

from modelmill_gateway.domain.errors import BadRequestError
from modelmill_gateway.ports import Trainer

log = logging.getLogger(__name__)

DEFAULT_POINTS, MAX_POINTS = 2_000, 10_000
CACHED_POINTS = 2_000_000
"""Of saved metrics: 32 MB. Who zooms asks for the same job again and again."""
TRAINING = "train"

__all__ = ["DEFAULT_POINTS", "MAX_POINTS", "MIN_POINTS", "JobMetrics", "MetricRange"]


@dataclass(frozen=True)
class MetricRange:
    """Steps and metrics that somebody asks for."""

    first: int = 0
    last: int | None = None
    names: Collection[str] = ()
    """Empty for all."""

    def __post_init__(self) -> None:
        # Each series is looked up in them, and over gRPC they are a list of any length.
        object.__setattr__(self, "names", frozenset(self.names))
        if self.last is not None and self.last < self.first:
            raise BadRequestError("to_step must be at least from_step", param="to_step")


@dataclass(frozen=True)
class JobMetrics:
    """What a job has measured."""

    series: Mapping[MetricKey, MetricSeries]
    """Every point in the range."""
    is_complete: bool
    """False when what was saved could not be read, so that earlier steps may be missing."""


class ReadJobMetrics:
    """Reads saved and reported metrics as one."""

    def __init__(self, jobs: JobIndex, trainer: Trainer) -> None:
        self._jobs = jobs
        self._saved = _SavedMetrics(trainer)

    async def __call__(self, tenant: str, job_id: str, wanted: MetricRange) -> JobMetrics:
        """The metrics in a range, by phase and name.

        Raises:
            NotFoundError: no such job, or another tenant's.
            UnavailableError: nothing was reported here, and the trainer does not answer.
        """
        record = self._jobs.get(tenant, job_id)
        is_complete = True
        saved: Mapping[str, MetricSeries] = {}
        try:
            if digest := _digest_of(record, self._jobs.metrics(tenant, job_id)):
                saved = await self._saved.of(tenant, job_id, digest)
        except DomainError as error:
            # That it is gone is no reason to come again, in contrast to a trainer that is away.
            if not isinstance(error, NotFoundError) and not self._jobs.metrics(tenant, job_id):
                raise
            log.warning("saved metrics of job %s are not shown: %s", job_id, error)
            is_complete = False
        # Looked at again: while the trainer was asked, more may have been reported.
        found = _joined(saved, self._jobs.metrics(tenant, job_id))
        chosen = {
            key: part
            for key, series in sorted(found.items())
            if (not wanted.names or key.name in wanted.names)
            and (part := series.between(wanted.first, wanted.last))
        }
        return JobMetrics(chosen, is_complete)


def _digest_of(record: JobRecord, reported: Mapping[MetricKey, MetricSeries]) -> str:
    """What was saved and is needed; empty where reports have all, or nothing was saved."""
    state = record.state
    if record.requested.kind != TRAIN:
        return ""
    if state.status == JOB_STATUS_SUCCEEDED:
        return state.result.digest
    training = [series for key, series in reported.items() if key.phase == TRAINING]
    has_all = any(series and series.steps[0] <= 1 for series in training)
    if has_all and not any(series.is_sampled for series in training):
        return ""
    return state.checkpoint.digest


def _joined(
    saved: Mapping[str, MetricSeries], reported: Mapping[MetricKey, MetricSeries]
) -> dict[MetricKey, MetricSeries]:
    found = dict(reported)
    for name, series in saved.items():
        key = MetricKey(TRAINING, name)
        found[key] = series.followed_by(reported.get(key, MetricSeries()))
    return found


class _SavedMetrics:
    """What the trainer has saved, as asked last; contents of a digest never change."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._held: OrderedDict[str, Mapping[str, MetricSeries]] = OrderedDict()

    async def of(self, tenant: str, job_id: str, digest: str) -> Mapping[str, MetricSeries]:
        """The metrics of a job, of which `digest` is the newest artifact."""
        # Artifacts of two jobs may be alike; whose they are is the trainer's to say.
        key = f"{tenant} {job_id} {digest}"
        if key not in self._held:
            self._held[key] = await self._trainer.step_metrics(tenant, job_id)
        self._held.move_to_end(key)
        while len(self._held) > 1 and self._points > CACHED_POINTS:
            self._held.popitem(last=False)
        return self._held[key]

    @property
    def _points(self) -> int:
        return sum(len(series) for held in self._held.values() for series in held.values())
