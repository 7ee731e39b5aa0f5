"""A long run does not fill the disk: of its states the newest two last, until it has succeeded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from modelmill.jobs.v1 import job_service_pb2 as jobs_pb
from modelmill.jobs.v1.job_pb2 import (
    JOB_DESIRED_STATE_PAUSE,
    JOB_DESIRED_STATE_RUN,
    JOB_STATUS_PAUSED,
    JOB_STATUS_SUCCEEDED,
)
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_registry.job_checkpoints import JobCheckpoints
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.heavy

Rows = Callable[..., list[dict[str, Any]]]


def saved_at_each_of(base_version_id: str, steps: int) -> pb.TrainSpec:
    """A run of all weights, whose state is three times the model."""
    return pb.TrainSpec(
        base_version_id=base_version_id,
        dataset_id="ds-toy",
        method=pb.TRAINING_METHOD_FULL,
        hyper_parameters=pb.HyperParameters(
            batch_size=8,
            gradient_accumulation_steps=1,
            epochs=9,
            max_steps=steps,
            checkpoint_steps=1,
        ),
    )


def bytes_below(folder: Path) -> int:
    """Of files, each counted once however many names it has."""
    found = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({status.st_ino: status.st_size for status in found}.values())


def count_in(folder: Path) -> int:
    """Checkpoints in the parts of a job."""
    return len(list(folder.glob("*/manifests/*.json")))


@asynccontextmanager
async def counting(folder: Path) -> AsyncIterator[list[int]]:
    """How many checkpoints there were, at each of many looks."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(count_in(folder))
            await asyncio.sleep(0.002)

    looking = asyncio.create_task(look())
    yield seen
    looking.cancel()


async def test_two_checkpoints_are_retained_three_during_a_write_and_none_after_success(
    working_trainer: Any, toy_rows: Rows
) -> None:
    trainer = working_trainer
    base = await trainer.import_base()
    await trainer.add_dataset(train=toy_rows(40))
    job = await trainer.create(saved_at_each_of(base.version_id, 24))
    folder = trainer.root / "artifacts" / "parts" / job.job_id

    async def desired_state(requested: Any) -> None:
        request = jobs_pb.ControlJobRequest(
            tenant="acme", job_id=job.job_id, desired_state=requested, requested_by="tester"
        )
        await trainer.jobs.ControlJob(request, timeout=60)

    async def saved() -> bool:
        return bool((await trainer.state(job.job_id)).checkpoint.step >= 6)

    async def paused() -> bool:
        return bool((await trainer.state(job.job_id)).status == JOB_STATUS_PAUSED)

    async with counting(folder) as seen:
        await eventually(saved)
        await desired_state(JOB_DESIRED_STATE_PAUSE)
        await eventually(paused)
        check_what_is_kept(trainer, await trainer.state(job.job_id), folder)
        await desired_state(JOB_DESIRED_STATE_RUN)
        state = await trainer.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert state.attempt == 2
    assert state.checkpoint.step == 24
    assert max(seen) <= 3
    await eventually(lambda: not folder.exists())


def check_what_is_kept(trainer: Any, state: Any, folder: Path) -> None:
    """The two that the state names, and no contents besides."""
    kept = JobCheckpoints(trainer.store, state.job_id, state.fence)
    newest, before = (
        kept.manifest(one.digest) for one in (state.checkpoint, state.checkpoint_before)
    )
    assert newest.attributes["step"] == state.checkpoint.step > before.attributes["step"]
    assert count_in(folder) == 2
    contents = {entry.sha256: entry.size for entry in (*newest.files, *before.files)}
    assert bytes_below(folder / str(state.fence) / "blobs") == sum(contents.values())
    assert bytes_below(folder) < sum(contents.values()) + 10_000
