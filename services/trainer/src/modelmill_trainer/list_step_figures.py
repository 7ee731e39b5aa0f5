"""Use case: list the metrics of every training step, from the model artifact."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modelmill_bus.kinds import TRAIN
from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.stored_records import JobReader

METRICS = "metrics.jsonl"
MAX_STEPS = 1000
"""Page size; equal to what the event stream keeps of a job."""


@dataclass(frozen=True)
class StepFigures:
    """Metrics of one step."""

    step: int
    metrics: dict[str, float]


class ListStepFigures:
    """Reads `metrics.jsonl`, because the event stream keeps metrics for one hour only."""

    def __init__(self, jobs: JobReader, store: ArtifactStore) -> None:
        self._jobs = jobs
        self._store = store

    async def __call__(
        self, *, tenant: str, job_id: str, after_step: int | None = None
    ) -> Sequence[StepFigures]:
        """The last 1,000 steps, oldest first, or the first 1,000 after `after_step`.

        Raises:
            NotFoundError: the tenant has no such training job, or it has not succeeded.
            UnavailableError: the bus or the store does not answer.
        """
        digest = await self._jobs.result_digest(tenant=tenant, kind=TRAIN, job_id=job_id)
        if digest is None:
            raise no_such("finished training job", job_id, "/v1/fine_tuning/jobs")
        return await asyncio.to_thread(self._read, digest, after_step)

    def _read(self, digest: str, after_step: int | None) -> Sequence[StepFigures]:
        folder = self._store.materialise(digest)
        with in_use(folder):
            return _steps_in(folder / METRICS, after_step)


def _steps_in(path: Path, after_step: int | None) -> list[StepFigures]:
    if not path.exists():  # an artifact of an older release
        return []
    with path.open(encoding="utf-8") as lines:
        if after_step is None:
            return [_figures(json.loads(line)) for line in deque(lines, maxlen=MAX_STEPS)]
        steps = (_figures(json.loads(line)) for line in lines)
        return [*islice((step for step in steps if step.step > after_step), MAX_STEPS)]


def _figures(line: dict[str, Any]) -> StepFigures:
    step = int(line.pop("step"))
    return StepFigures(step, {name: float(value) for name, value in line.items()})
