"""Jobs ordered at the gateway, and states of them said as their owners would."""

import httpx
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus.subjects import job_state

from gateway_support.house import House

MAPPING = {"user_template": "{q}", "answer_template": "{a}"}


async def upload(client: httpx.AsyncClient) -> str:
    form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}}
    return str((await client.post("/v1/files", **form)).json()["id"])


async def order(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    body = {"model": "tiny", "training_file": await upload(client)} | changes
    return await client.post("/v1/fine_tuning/jobs", json=body)


async def say_state(house: House, job_id: str, tenant: str, **fields: object) -> None:
    state = JobState(job_id=job_id, kind="train", tenant=tenant, **fields)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)
