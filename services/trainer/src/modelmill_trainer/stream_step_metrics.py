"""Use case: stream the metrics of every training step, in columns."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.kinds import TRAIN
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.list_step_figures import METRICS
from modelmill_trainer.stored_records import JobReader

STEPS_AT_ONCE = 10_000
"""Of a message: about a megabyte."""
ANY_FENCE = 2**63
"""Of a reader: checkpoints of all claims are read alike."""


@dataclass
class StepMetricColumn:
    """One metric at some steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class StreamStepMetrics:
    """Reads `metrics.jsonl` of what a job made, or of its newest checkpoint until then."""

    def __init__(self, jobs: JobReader, store: ArtifactStore) -> None:
        self._jobs = jobs
        self._store = store

    async def __call__(
        self, *, tenant: str, job_id: str
    ) -> AsyncIterator[Mapping[str, StepMetricColumn]]:
        """Columns by the name of the metric, 10,000 steps at a time, oldest first.

        Raises:
            NotFoundError: the tenant has no such training job, or it has saved nothing yet.
            UnavailableError: the bus or the store does not answer.
        """
        known = await self._jobs.is_known(tenant=tenant, kind=TRAIN, job_id=job_id)
        state = await self._jobs.state(job_id) if known else None
        if state is None or not (state.result.digest or state.checkpoint.digest):
            raise no_such("training job with a checkpoint", job_id, "/v1/fine_tuning/jobs")
        lines = (await asyncio.to_thread(self._read, job_id, state)).splitlines()
        for begin in range(0, len(lines), STEPS_AT_ONCE):
            yield await asyncio.to_thread(_columns_of, lines[begin : begin + STEPS_AT_ONCE])

    def _read(self, job_id: str, state: JobState) -> bytes:
        if state.result.digest:
            return self._store.content(state.result.digest, METRICS)
        saved = JobCheckpoints(self._store, job_id, ANY_FENCE)
        return saved.content(state.checkpoint.digest, METRICS)


def _columns_of(lines: Sequence[bytes]) -> dict[str, StepMetricColumn]:
    columns: defaultdict[str, StepMetricColumn] = defaultdict(StepMetricColumn)
    for line in lines:
        figures: dict[str, Any] = json.loads(line)
        step = int(figures.pop("step"))
        for name, value in figures.items():
            if not isfinite(value):  # JSON has no name for it
                continue
            columns[name].steps.append(step)
            columns[name].values.append(float(value))
    return dict(columns)
