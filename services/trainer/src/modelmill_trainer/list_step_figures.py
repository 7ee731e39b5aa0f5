"""Use case: the figures of every step of a run, read back from what the run made."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.kinds import TRAIN
from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.nearest import no_such

METRICS = "metrics.jsonl"
MAX_STEPS = 1000
"""As many as the event stream keeps of a job; the artifact has all."""


class Jobs(Protocol):
    async def is_known(self, *, tenant: str, kind: str, job_id: str) -> bool:
        """Raises InvalidInputError for what is no id, UnavailableError."""
        ...

    async def state(self, job_id: str) -> JobState | None:
        """Where a job stands; None before its first claim."""
        ...


@dataclass(frozen=True)
class StepFigures:
    """What was measured at one step."""

    step: int
    metrics: dict[str, float]


class ListStepFigures:
    """They outlast the event stream, which keeps figures for an hour."""

    def __init__(self, jobs: Jobs, store: ArtifactStore) -> None:
        self._jobs = jobs
        self._store = store

    async def __call__(
        self, *, tenant: str, job_id: str, after_step: int | None = None
    ) -> Sequence[StepFigures]:
        """The last 1,000 steps, oldest first, or the first 1,000 behind a step.

        Raises:
            NotFoundError: no such training job of the tenant's, or it has made no model.
            UnavailableError: the bus or the store does not answer.
        """
        known = await self._jobs.is_known(tenant=tenant, kind=TRAIN, job_id=job_id)
        state = await self._jobs.state(job_id) if known else None
        if state is None or state.status != JOB_STATUS_SUCCEEDED:
            raise no_such("finished training job", job_id, "/v1/fine_tuning/jobs")
        return await asyncio.to_thread(self._read, state.result.digest, after_step)

    def _read(self, digest: str, after_step: int | None) -> Sequence[StepFigures]:
        folder = self._store.materialise(digest)
        with in_use(folder):
            return _steps_in(folder / METRICS, after_step)


def _steps_in(path: Path, after_step: int | None) -> list[StepFigures]:
    if not path.exists():  # made by a release that wrote none
        return []
    with path.open(encoding="utf-8") as lines:
        if after_step is None:
            return [_figures(json.loads(line)) for line in deque(lines, maxlen=MAX_STEPS)]
        steps = (_figures(json.loads(line)) for line in lines)
        return [*islice((step for step in steps if step.step > after_step), MAX_STEPS)]


def _figures(line: dict[str, Any]) -> StepFigures:
    step = int(line.pop("step"))
    return StepFigures(step, {name: float(value) for name, value in line.items()})
