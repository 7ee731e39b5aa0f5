"""How many jobs there are, and how long the oldest waits."""

from chain_worker import InProcess
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill_job_index.index import JobGauges
from prometheus_client import CollectorRegistry


async def test_jobs_are_counted_by_kind_and_status_and_the_oldest_in_the_queue_by_its_wait(
    job_index, jobs, working
):
    registry = CollectorRegistry()
    handler = InProcess()
    handler.go.set()
    async with working(handler):
        done = await jobs.submit()
        await jobs.until(done.job_id, JOB_STATUS_SUCCEEDED)
    first, second, third = [await jobs.submit() for _ in range(3)]
    await jobs.pause(second.job_id)
    await job_index.wait_for(await jobs.cancel(third.job_id), timeout=20)
    asked = job_index.get("acme", first.job_id).requested.requested_at
    registry.register(JobGauges(job_index, now=lambda: asked.ToNanoseconds() / 1e9 + 42))

    def count(status: str) -> float | None:
        return registry.get_sample_value("modelmill_jobs", {"kind": "train", "status": status})

    statuses = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
    assert [count(status) for status in statuses] == [1, 0, 1, 1, 0, 1]
    oldest = "modelmill_job_queue_oldest_seconds"
    assert round(registry.get_sample_value(oldest, {"kind": "train"}) or 0) == 42
    await job_index.wait_for(await jobs.resume(second.job_id), timeout=20)
    await job_index.wait_for(await jobs.cancel(first.job_id), timeout=20)
    assert count("queued") == 1, "a job that runs again is in the queue"
    assert 0 < (registry.get_sample_value(oldest, {"kind": "train"}) or 0) < 42
    await job_index.wait_for(await jobs.cancel(second.job_id), timeout=20)
    assert registry.get_sample_value(oldest, {"kind": "train"}) == 0
