"""What a job's view says beside its state: who asked, its turn, what it took, why it failed."""

import re
from functools import partial
from typing import Any

import httpx
import pytest
from gateway_support.house import House
from gateway_support.job_orders import MAPPING, order, say_state, upload
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobResult,
)
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_of_a_long_log_the_last_twenty_lines_are_shown(house: House):
    client = house.http(tenant="talker")
    job_id = (await order(client)).json()["id"]
    error = JobError(code="X", message="no", log_tail="\n".join(map(str, range(100))))
    await say_state(house, job_id, "talker", status=JOB_STATUS_FAILED, error=error)

    async def told() -> list[str]:
        failed = (await client.get(f"/v1/jobs/{job_id}")).json()["error"]
        return failed["log_tail"].splitlines() if failed else []

    assert await eventually(told) == [str(number) for number in range(80, 100)]


async def test_a_job_says_who_asked_for_what_and_what_it_took(house: House):
    client = house.http(tenant="payer")
    job_id = (await order(client)).json()["id"]
    path = f"/v1/fine_tuning/jobs/{job_id}"
    before = (await client.get(path)).json()

    async def job_is(status: str) -> dict[str, Any] | None:
        job = (await client.get(path)).json()
        return job if job["status"] == status else None

    await say_state(house, job_id, "payer", status=JOB_STATUS_RUNNING, attempt=1)
    # The work takes as long as it takes to see it: times are told to the millisecond.
    await eventually(partial(job_is, "running"))
    result = JobResult(version_id="mv-new")
    result.summary.update({"train_tokens": 4000})
    await say_state(house, job_id, "payer", status=JOB_STATUS_SUCCEEDED, attempt=1, result=result)

    job = await eventually(partial(job_is, "succeeded"))
    alike = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert before["cost"] == {"work_seconds": 0, "attempts": 0, "trained_tokens": None}
    assert (job["cost"]["attempts"], job["cost"]["trained_tokens"]) == (1, 4000)
    assert job["cost"]["work_seconds"] > 0
    assert (job["requested_by"], job["priority"]) == ("ada", "normal")
    assert re.fullmatch("[0-9a-f]{64}", job["spec_sha256"])
    assert {name: alike[name] for name in ("cost", "spec_sha256")} == {
        name: job[name] for name in ("cost", "spec_sha256")
    }


async def test_a_priority_orders_the_tenants_own_jobs(house: House):
    client = house.http(tenant="orders")
    file = await upload(client)
    body = {"file_id": file, "mapping": MAPPING}
    later = (await client.post("/v1/datasets", json=body)).json()["job_id"]
    sooner = (await client.post("/v1/datasets", json=body | {"priority": "high"})).json()["job_id"]
    build = {"model": "tiny", "priority": "low"}
    built = (await client.post("/v1/optimizations", json=build)).json()
    trained = (await order(client, training_file=file, priority="high")).json()
    wrong = await order(client, training_file=file, priority="urgent")

    async def places() -> tuple[int, int]:
        shown = [(await client.get(f"/v1/jobs/{job}")).json() for job in (sooner, later)]
        return shown[0]["queue_position"], shown[1]["queue_position"]

    first, second = await places()
    assert first < second
    assert (built["priority"], trained["priority"]) == ("low", "high")
    assert (trained["status"], trained["estimated_start"]) == ("queued", None)
    assert (wrong.status_code, wrong.json()["error"]["errors"][0][:9]) == (422, "priority:")
    await say_state(house, sooner, "orders", status=JOB_STATUS_RUNNING, attempt=1)
    await eventually(lambda: _starts(client, sooner))


async def _starts(client: httpx.AsyncClient, job_id: str) -> bool:
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    return (job["status"], job["queue_position"]) == ("running", None)
