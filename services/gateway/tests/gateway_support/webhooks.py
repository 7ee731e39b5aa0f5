"""What tests of webhooks do again and again."""

import json
from typing import Any

import httpx
from modelmill.jobs.v1 import job_pb2 as jobs_pb
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY, job_state

from gateway_support.house import House
from gateway_support.receiver import Received, Receiver


async def registered(client: httpx.AsyncClient, receiver: Receiver, *events: str) -> dict[str, Any]:
    """A new endpoint for these events, for all without any."""
    body: dict[str, Any] = {"url": receiver.url} | ({"events": list(events)} if events else {})
    answer = await client.post("/v1/webhooks", json=body)
    assert answer.status_code == 200, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


async def shown(client: httpx.AsyncClient, webhook: dict[str, Any]) -> dict[str, Any]:
    """The endpoint as its owner sees it."""
    found: dict[str, Any] = (await client.get(f"/v1/webhooks/{webhook['id']}")).json()
    return found


async def attempts(client: httpx.AsyncClient, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    """What its owner sees of deliveries, newest first."""
    answer = await client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params={"limit": 100})
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def job_moves(house: House, tenant: str, job_id: str, status: str, **fields: Any) -> None:
    """Write a state as a worker would."""
    state = jobs_pb.JobState(
        job_id=job_id,
        kind="train",
        tenant=tenant,
        status=jobs_pb.JobStatus.Value(f"JOB_STATUS_{status.upper()}"),
        **fields,
    )
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)


async def jobs_succeed(house: House, tenant: str, job_ids: list[str]) -> None:
    """Let these jobs end."""
    for job_id in job_ids:
        await job_moves(house, tenant, job_id, "succeeded")


async def say_dataset(house: House, tenant: str, dataset_id: str) -> None:
    """Publish a dataset."""
    dataset = DatasetReady(dataset_id=dataset_id, tenant=tenant, name="kinds")
    dataset.created_at.GetCurrentTime()
    await house.bus.publish(DATASET_READY, dataset, msg_id=dataset_id)


def about(request: Received) -> tuple[str, str]:
    """What a request tells, and of what."""
    event = json.loads(request.body)
    return event["type"], event["data"]["id"]


async def all_read(house: House) -> bool:
    """Whether every event was read, and what is due was written down."""
    js = house.bus._link.js
    consumers = [
        info
        for stream in ("JOBS", "MODELS", "DATASETS")
        for info in await js.consumers_info(stream)
    ]
    return all(not info.num_pending and not info.num_ack_pending for info in consumers)


async def all_told(house: House) -> bool:
    """Whether every event was read and nothing waits to be delivered."""
    return await all_read(house) and not (await house.bus.facts("WEBHOOKS")).messages
