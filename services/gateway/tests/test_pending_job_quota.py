"""How many jobs of one tenant may wait."""

import asyncio

import httpx
import pytest
from gateway_support.another_gateway import another_gateway
from gateway_support.grpc_client import grpc_stub, refused
from gateway_support.house import House
from grpc import StatusCode
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JobState
from modelmill_bus.subjects import job_state
from modelmill_testkit.waiting import eventually
from test_grpc_jobs import build

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUILD = {"model": "tiny"}


async def order(client: httpx.AsyncClient, key: str = "") -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return await client.post("/v1/optimizations", json=BUILD, headers=headers)


async def test_who_has_as_many_waiting_as_may_is_refused_and_told_what_to_do(house: House):
    async with another_gateway(house, max_waiting_jobs=2) as other:
        client = other.house.http(tenant="greedy")
        first, second = await order(client, "k"), await order(client)
        full, repeat = await order(client), await order(client, "k")
        async with (
            grpc_stub(other.house, tenant="greedy") as stub,
            refused(StatusCode.RESOURCE_EXHAUSTED, "2 jobs of yours wait already"),
        ):
            await build(stub)
        modest = await order(other.house.http(tenant="modest"))

        state = JobState(job_id=second.json()["id"], kind="optimize", tenant="greedy")
        state.status = JOB_STATUS_RUNNING
        await house.bus.publish(job_state(state.job_id), state)

        async def is_let_in() -> bool:
            return (await order(client)).status_code == 202

        await eventually(is_let_in)

    assert (full.status_code, full.json()["error"]["code"]) == (429, "too_many_waiting")
    assert int(full.headers["retry-after"]) > 0
    assert "Cancel one of them" in full.json()["error"]["message"]
    assert repeat.json()["id"] == first.json()["id"], "a repeat is no job more"
    assert modest.status_code == 202


async def test_those_that_come_at_the_same_moment_are_counted_too(house: House):
    async with another_gateway(house, max_waiting_jobs=3) as other:
        client = other.house.http(tenant="crowd")
        answers = await asyncio.gather(*(order(client) for _ in range(12)))

    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 9
