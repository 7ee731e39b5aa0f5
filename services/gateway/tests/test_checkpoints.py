"""Checkpoints of a training job by the unmodified SDK: states to go on from, then the model."""

from typing import Any

import openai
import pytest
from gateway_support.house import House
from gateway_support.job_orders import order, say_state
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    Checkpoint,
    JobProgress,
    JobResult,
)
from modelmill_bus.subjects import job_progress
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def running(house: House, tenant: str, *saved: int) -> str:
    """A job that has saved at these steps, the newest first."""
    job_id = str((await order(house.http(tenant=tenant))).json()["id"])
    for step in (10, 20):
        figures = {"loss": step / 10, "valid_loss": step / 5}
        report = JobProgress(job_id=job_id, fence=10**6, phase="train", done=step, metrics=figures)
        report.at.GetCurrentTime()
        await house.bus.publish(job_progress(job_id), report)
    names = ("checkpoint", "checkpoint_before")
    kept = {
        name: Checkpoint(digest=f"sha256:{step:02}" + "0" * 62, step=step)
        for name, step in zip(names, saved, strict=False)
    }
    await say_state(house, job_id, tenant, status=JOB_STATUS_RUNNING, attempt=1, **kept)
    return job_id


async def listed(house: House, tenant: str, job_id: str, count: int) -> list[Any]:
    jobs = house.openai(tenant=tenant).fine_tuning.jobs

    async def there() -> list[Any] | None:
        found = [it async for it in jobs.checkpoints.list(job_id, limit=1)]
        known = found and found[0].metrics.train_loss is not None
        return found if len(found) == count and known else None

    return await eventually(there)


async def test_a_running_job_shows_what_it_has_saved_newest_first(house: House):
    job_id = await running(house, "saver", 20, 10)
    newest, before = await listed(house, "saver", job_id, 2)

    assert (newest.step_number, before.step_number) == (20, 10)
    assert (newest.metrics.train_loss, newest.metrics.valid_loss) == (2.0, 4.0)
    assert newest.fine_tuning_job_id == job_id
    assert newest.object == "fine_tuning.job.checkpoint"
    assert newest.id != before.id


async def test_a_state_that_cannot_be_asked_names_no_model(house: House):
    (saved,) = await listed(house, "namer", await running(house, "namer", 10), 1)

    assert saved.fine_tuned_model_checkpoint is None


async def test_of_a_job_that_has_saved_nothing_there_are_none(house: House):
    job_id = await running(house, "hasty")
    jobs = house.openai(tenant="hasty").fine_tuning.jobs

    assert [it async for it in jobs.checkpoints.list(job_id)] == []


@pytest.mark.parametrize(
    ("figures", "step", "loss"),
    [({"steps": 20}, 20, 2.0), ({"steps": 20, "best_step": 10, "valid_loss": 1.5}, 10, 1.0)],
)
async def test_the_model_is_the_only_checkpoint_of_a_job_that_succeeded(
    house: House, figures: dict[str, float], step: int, loss: float
):
    job_id = await running(house, "winner", 20)
    result = JobResult(version_id="mv-new", digest="sha256:" + "ab" * 32)
    result.summary.update(figures)
    ended = {"status": JOB_STATUS_SUCCEEDED, "attempt": 1, "result": result}
    await say_state(house, job_id, "winner", **ended)

    async def models() -> Any:
        (one,) = await listed(house, "winner", job_id, 1)
        return one if one.fine_tuned_model_checkpoint else None

    model = await eventually(models)
    assert (model.fine_tuned_model_checkpoint, model.step_number) == ("mv-new", step)
    assert model.metrics.train_loss == loss
    assert model.metrics.full_valid_loss == figures.get("valid_loss")


async def test_checkpoints_of_another_tenants_job_are_not_there(house: House):
    job_id = await running(house, "owner", 10)
    jobs = house.openai(tenant="stranger").fine_tuning.jobs

    with pytest.raises(openai.NotFoundError):
        await jobs.checkpoints.list(job_id)
