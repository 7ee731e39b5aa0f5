"""Whoever reads that a job has succeeded can use what it made, at once and at any replica."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.house import BASE, House, run_house
from gateway_support.job_orders import order, say_state
from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JobResult
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_testkit.waiting import eventually

TENANT = "maker"
MADE = "mv-made"


async def succeed(house: House, client: httpx.AsyncClient) -> str:
    """A training job that has succeeded, and whose model is not announced."""
    job_id = str((await order(client)).json()["id"])
    await say_state(house, job_id, TENANT, status=JOB_STATUS_RUNNING)
    result = JobResult(digest="sha256:made", version_id=MADE, announce_subject=MODEL_READY)
    result.announcement.update(MessageToDict(ModelReady(version_id=MADE, tenant=TENANT)))
    await say_state(house, job_id, TENANT, status=JOB_STATUS_SUCCEEDED, result=result)
    # What is written to JOBS after the success is seen after it.
    later = str((await order(client)).json()["id"])
    await say_state(house, later, TENANT, status=JOB_STATUS_RUNNING)

    async def later_is_seen() -> bool:
        job = (await client.get(f"/v1/jobs/{later}")).json()
        return bool(job["status"] == "running")

    await eventually(later_is_seen)
    return job_id


async def announce(house: House, version_id: str = MADE) -> None:
    fields = {"form": "openvino-int8", "parent_version_id": BASE, "base_version_id": BASE}
    await house.say_model(version_id, tenant=TENANT, name="made", **fields)


async def test_a_job_has_not_succeeded_before_its_model_can_be_used(own_house: House) -> None:
    client = own_house.http(tenant=TENANT)
    job_id = await succeed(own_house, client)
    views = (f"/v1/jobs/{job_id}", f"/v1/fine_tuning/jobs/{job_id}")
    before = [(await client.get(view)).json() for view in views]
    listed = (await client.get("/v1/jobs")).json()["data"]

    assert [view["status"] for view in before] == ["running", "running"]
    assert {job["id"]: job["status"] for job in listed}[job_id] == "running"
    assert before[1]["fine_tuned_model"] is None

    async def succeeded() -> str:
        view = (await client.get(views[1])).json()
        return str(view["fine_tuned_model"] if view["status"] == "succeeded" else "")

    await announce(own_house)
    made = await eventually(succeeded)
    moved = await client.put("/v1/aliases/best", json={"version_id": made})
    assert (moved.status_code, moved.json()["version_id"]) == (200, MADE)


class SlowReader:
    """A replica to which versions come only once it asks for what is stored."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._asked = asyncio.Event()
        self._waits = False
        follow, newest = Bus.follow, Bus.newest_sequence

        async def late_follow(bus: Bus, subjects: Any, *args: Any, **more: Any) -> Any:
            late = self._waits and subjects[0] in (MODEL_READY, DATASET_READY)
            async for stored in follow(bus, subjects, *args, **more):
                if late and getattr(stored.body, "tenant", "") == TENANT:
                    await self._asked.wait()
                yield stored

        async def asked(bus: Bus, subjects: str) -> int:
            found = await newest(bus, subjects)
            if subjects == MODEL_READY:
                self._asked.set()
            return found

        patch.setattr(Bus, "follow", late_follow)
        patch.setattr(Bus, "newest_sequence", asked)

    def begin(self) -> None:
        """Whoever follows from now on is late."""
        self._waits = True


async def test_a_replica_that_is_behind_knows_the_model_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SlowReader(monkeypatch)
    async with run_house(tmp_path) as house:
        reader.begin()
        async with another_gateway(house) as behind:
            await announce(house)
            told = house.http(tenant=TENANT)
            await eventually(lambda: _knows(told))
            moved = await behind.house.http(tenant=TENANT).put(
                "/v1/aliases/best", json={"version_id": MADE}
            )
            chat = await behind.house.http(tenant=TENANT).post(
                "/v1/chat/completions",
                json={"model": "made", "messages": [{"role": "user", "content": "hi"}]},
            )
        assert (moved.status_code, chat.status_code) == (200, 200), (moved.text, chat.text)


@pytest.mark.own_broker
async def test_without_the_bus_an_unknown_name_is_refused_at_once(own_house: House) -> None:
    client = own_house.http(tenant=TENANT)
    await own_house.nats.stop()
    async with asyncio.timeout(10):
        refused = await client.get("/v1/models/mv-nobody")

    assert refused.status_code == 404


async def _knows(client: httpx.AsyncClient) -> bool:
    return (await client.get(f"/v1/models/{MADE}")).status_code == 200
