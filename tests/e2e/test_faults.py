"""What a stack of real processes does when one of them is killed, frozen or cut off."""

import asyncio
import os
import signal

import psutil
import pytest
from modelmill_testkit.waiting import eventually
from openai import APIStatusError

from tests.e2e.conftest import Loop, events_of, train, write_rows
from tests.e2e.steps import methods_are_measured

pytestmark = [
    *(pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)),
    pytest.mark.tier("drills"),
]


async def test_a_trainer_killed_in_mid_training_resumes_and_makes_one_version(loop: Loop, tmp_path):
    dataset_id = await loop.make_dataset(write_rows(tmp_path / "long.jsonl", 200))
    created = await train(loop, dataset_id, epochs=6, checkpoint_steps=5)

    async def past_a_checkpoint() -> bool:
        job = await asyncio.to_thread(loop.client.jobs.retrieve, created.id)
        progress = job.get("progress") or {}
        return progress.get("phase") == "train" and int(progress["done"]) >= 12

    await eventually(past_a_checkpoint, within=60)
    os.kill(loop.stack.processes["trainer"].pid, signal.SIGKILL)

    job = await loop.job_ends(created.id)
    assert job["status"] == "succeeded", job
    states = [s for s in await events_of(loop, f"job.state.{created.id}")]
    assert states[-1].lost == 1
    assert states[-1].checkpoint.step >= 5

    async def announced() -> list[str]:
        """Follows from the success, and so comes a moment after it."""
        ready = await events_of(loop, "model.ready")
        return [each.version_id for each in ready if each.job_id == created.id]

    assert await eventually(announced) == [job["result"]["version_id"]]


async def test_with_the_bus_down_chat_goes_on_and_new_jobs_are_refused_for_now(
    loop: Loop, tmp_path
):
    dataset_id = await loop.make_dataset(write_rows(tmp_path / "later.jsonl", 40))
    asked = {
        "model": loop.base_version_id,
        "messages": [{"role": "user", "content": "thing 8: something that grows"}],
        "max_tokens": 4,
    }
    await loop.openai.chat.completions.create(**asked)
    broker = psutil.Process(loop.stack.processes["nats"].pid)
    broker.suspend()
    try:
        answer = await loop.openai.chat.completions.create(**asked)
        assert answer.usage.completion_tokens > 0
        with pytest.raises(APIStatusError) as refused:
            await train(loop, dataset_id)
        assert refused.value.status_code == 503
        assert float(refused.value.response.headers["retry-after"]) > 0
    finally:
        broker.resume()
    created = await eventually_accepted(loop, dataset_id)
    assert (await loop.job_ends(created.id))["status"] == "succeeded"


async def eventually_accepted(loop: Loop, dataset_id: str):
    """Submits until the bus is back."""

    async def accepted():
        try:
            return await train(loop, dataset_id)
        except APIStatusError as error:
            if error.status_code != 503:
                raise
            return None

    return await eventually(accepted, within=30)


async def test_a_bench_of_methods_goes_on_where_it_was_cut_off_and_orders_nothing_twice(
    loop: Loop, tmp_path
):
    await asyncio.to_thread(methods_are_measured, loop, tmp_path)


async def test_nobody_asked_the_bus_for_what_its_identity_may_not(loop: Loop):
    assert [line for line in loop.log if "does not allow" in line or "Violation" in line] == []
