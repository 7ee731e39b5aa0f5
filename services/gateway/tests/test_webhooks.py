"""Webhooks on the whole gateway: registered, told, signed, tried again, and given up."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.house import House, run_house
from gateway_support.receiver import Receiver, is_genuine, receiving
from jobs.subjects import job_state
from modelmill.jobs.v1 import job_pb2 as jobs_pb
from testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with run_house(
        folder, webhook_allow_private=True, webhook_retry_seconds=(0.2, 0.2, 0.2, 0.2)
    ) as running:
        yield running


async def registered(client: httpx.AsyncClient, receiver: Receiver, *events: str) -> dict[str, Any]:
    body: dict[str, Any] = {"url": receiver.url} | ({"events": list(events)} if events else {})
    answer = await client.post("/v1/webhooks", json=body)
    assert answer.status_code == 200, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


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


async def test_an_event_of_the_tenant_is_one_signed_delivery(house: House):
    async with receiving() as receiver, house.http(tenant="first") as client:
        webhook = await registered(client, receiver, "job.succeeded")
        result = jobs_pb.JobResult(digest="sha256:4c1f", version_id="mv-1")
        await job_moves(house, "first", "ftjob-1", "succeeded", result=result)
        (request,) = await eventually(lambda: receiver.requests)

    assert is_genuine(webhook["secret"], request)
    assert request.line == "POST /hook?key=of-the-owner HTTP/1.1"
    assert request.headers["user-agent"] == "Modelmill-Webhooks/1"
    event = json.loads(request.body)
    assert event["type"] == "job.succeeded"
    assert event["timestamp"].endswith("Z")
    assert event["data"] == {
        "id": "ftjob-1",
        "object": "job",
        "kind": "train",
        "status": "succeeded",
        "attempt": 0,
        "started_at": None,
        "finished_at": None,
        "result": {"digest": "sha256:4c1f", "version_id": "mv-1"},
        "error": None,
    }
