"""Artifacts that the streams name, as of their snapshots."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import TENANT_STATUS_ACTIVE, TENANT_STATUS_SUSPENDED
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_PAUSED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import DatasetRetired, ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED, MODEL_READY, MODEL_RETIRED

GOES_ON = (JOB_STATUS_QUEUED, JOB_STATUS_RUNNING, JOB_STATUS_PAUSED)
STAYS = (TENANT_STATUS_ACTIVE, TENANT_STATUS_SUSPENDED)


async def named_artifacts(bus: Bus, last: Mapping[str, int]) -> dict[str, str]:
    """Digest of each artifact that is needed, and who names it.

    Args:
        last: sequence of the last message that counts, by stream.
    """
    jobs: dict[str, JobState] = {}
    async for state in _bodies(bus, ["job.state.*"], last["JOBS"]):
        jobs[state.job_id] = state
    going = {
        state.tenant
        async for state in _bodies(bus, ["tenant.state.*"], last["TENANTS"])
        if state.status not in STAYS
    }
    named: dict[str, str] = {}
    for state in jobs.values():
        if state.status in GOES_ON and state.tenant not in going:
            for checkpoint in (state.checkpoint, state.checkpoint_before):
                named[checkpoint.digest] = f"job {state.job_id} (checkpoint)"
    named |= await _announced(bus, last, going)
    named.pop("", None)
    return named


async def _announced(bus: Bus, last: Mapping[str, int], going: Collection[str]) -> dict[str, str]:
    """By models, datasets and files that are not retired nor deleted."""
    made: dict[str, Any] = {}
    async for model in _bodies(bus, [MODEL_READY, MODEL_RETIRED], last["MODELS"]):
        if isinstance(model, ModelRetired):
            made.pop(f"model {model.version_id}", None)
        else:
            made[f"model {model.version_id}"] = model
    subjects = [DATASET_READY, DATASET_RETIRED, "file.state.*"]
    async for body in _bodies(bus, subjects, last["DATASETS"]):
        if isinstance(body, DatasetRetired):
            made.pop(f"dataset {body.dataset_id}", None)
        elif hasattr(body, "dataset_id"):
            made[f"dataset {body.dataset_id}"] = body
        elif body.deleted:
            made.pop(f"file {body.file_id}", None)
        else:
            made[f"file {body.file_id}"] = body
    return {each.digest: name for name, each in made.items() if each.tenant not in going}


async def _bodies(bus: Bus, subjects: list[str], last: int) -> AsyncIterator[Any]:
    if not last:
        return  # there may be no such stream
    async with aclosing(bus.replay(subjects)) as messages:  # type: ignore[type-var]
        async for stored in messages:
            if stored.sequence > last:
                return
            yield stored.body
