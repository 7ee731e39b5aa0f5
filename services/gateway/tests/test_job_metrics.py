"""Metrics of jobs by step: few points with every extreme, exact ones of a range, all as CSV."""

import random
from typing import Any

import grpc
import httpx
import pytest
from gateway_support.house import House
from gateway_support.job_orders import order, say_state
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    Checkpoint,
    JobProgress,
    JobResult,
)
from modelmill_bus.subjects import job_progress
from modelmill_gateway.ordering.read_job_metrics import MetricRange
from modelmill_service_kit.grpc_client import open_channel
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANT = "measurer"
SPIKE = 61_803
MANY = 100_000
DIGEST = "sha256:" + "5" * 64


async def training(house: House, tenant: str = TENANT, **state: Any) -> str:
    """A running job, as the gateway shows it; its id."""
    client = house.http(tenant=tenant)
    job_id = str((await order(client)).json()["id"])
    await say_state(house, job_id, tenant, status=JOB_STATUS_RUNNING, attempt=1, **state)

    async def is_running() -> bool:
        return bool((await client.get(f"/v1/jobs/{job_id}")).json()["status"] == "running")

    # What is reported comes by another stream.
    await eventually(is_running)
    return job_id


async def succeed(house: House, job_id: str, losses: list[float]) -> None:
    house.trainer.figures[job_id] = losses
    made = JobResult(digest=DIGEST)
    await say_state(house, job_id, TENANT, status=JOB_STATUS_SUCCEEDED, attempt=1, result=made)
    client = house.http(tenant=TENANT)

    async def has_ended() -> bool:
        return bool((await client.get(f"/v1/jobs/{job_id}")).json()["status"] == "succeeded")

    await eventually(has_ended)


async def report(house: House, job_id: str, phase: str, steps: range, **metrics: float) -> None:
    for step in steps:
        progress = JobProgress(job_id=job_id, fence=10**6, phase=phase, done=step, metrics=metrics)
        progress.at.GetCurrentTime()
        await house.bus.publish(job_progress(job_id), progress)


async def asked(house: House, job_id: str, **query: Any) -> dict[str, Any]:
    response = await house.http(tenant=TENANT).get(f"/v1/jobs/{job_id}/metrics", params=query)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def known(house: House, job_id: str, steps: int, **query: Any) -> dict[str, Any]:
    """The same once the gateway has read so many steps of the first series."""

    async def there() -> dict[str, Any] | None:
        found = await asked(house, job_id, **query)
        return found if found["series"] and found["series"][0]["total"] == steps else None

    return await eventually(there)


def noisy(count: int) -> list[float]:
    """Losses without two alike, and one that is far above all others."""
    source = random.Random(7)
    losses = [3.0 / step + source.random() for step in range(1, count + 1)]
    losses[SPIKE - 1 if count > SPIKE else count // 2] = 50.0
    return losses


async def test_a_hundred_thousand_points_are_two_thousand_with_the_spike_and_exact_on_zoom(
    house: House,
):
    job_id, losses = await training(house), noisy(MANY)
    await succeed(house, job_id, losses)

    (series,) = (await asked(house, job_id))["series"]
    near = {"from_step": SPIKE - 500, "to_step": SPIKE + 499}
    (zoomed,) = (await asked(house, job_id, **near))["series"]

    assert (series["total"], series["is_sampled"]) == (MANY, True)
    assert len(series["steps"]) <= 2_000
    assert (series["steps"][0], series["steps"][-1]) == (1, MANY)
    assert series["values"][series["steps"].index(SPIKE)] == max(losses)
    assert min(series["values"]) == min(losses)
    assert (zoomed["total"], zoomed["is_sampled"]) == (1_000, False)
    assert zoomed["steps"] == list(range(SPIKE - 500, SPIKE + 500))
    assert zoomed["values"] == losses[SPIKE - 501 : SPIKE + 499]


async def test_saved_metrics_are_read_once_for_who_zooms(house: House):
    job_id = await training(house)
    await succeed(house, job_id, noisy(50))
    before = house.trainer.metric_reads

    for first in (1, 10, 20):
        await asked(house, job_id, from_step=first)

    assert house.trainer.metric_reads == before + 1


async def test_a_running_job_has_what_its_checkpoint_has_and_what_was_reported_since(house: House):
    saved = Checkpoint(digest=DIGEST, step=3)
    job_id = await training(house, checkpoint=saved)
    house.trainer.figures[job_id] = [3.0, 2.0, 1.0]
    await report(house, job_id, "train", range(3, 6), loss=0.5)

    (series,) = (await known(house, job_id, 5))["series"]

    assert series["steps"] == [1, 2, 3, 4, 5]
    assert series["values"] == [3.0, 2.0, 1.0, 0.5, 0.5]


async def test_a_job_reports_more_steps_than_its_list_of_events_keeps(house: House):
    job_id = await training(house)
    await report(house, job_id, "train", range(1, 1_251), loss=1.0)

    (series,) = (await known(house, job_id, 1_250, points=10_000))["series"]

    assert series["steps"] == list(range(1, 1_251))


async def test_phases_are_told_apart_and_names_filter(house: House):
    job_id = await training(house)
    await report(house, job_id, "evaluate", range(1, 3), loss=0.25)
    await report(house, job_id, "train", range(1, 3), loss=1.0, grad_norm=2.0)

    async def all_there() -> list[tuple[str, str]] | None:
        found = [(it["phase"], it["name"]) for it in (await asked(house, job_id))["series"]]
        return found if len(found) == 3 else None

    assert await eventually(all_there) == [
        ("evaluate", "loss"),
        ("train", "grad_norm"),
        ("train", "loss"),
    ]
    (only,) = (await asked(house, job_id, name="grad_norm"))["series"]
    assert only["name"] == "grad_norm"


async def test_a_table_has_every_point(house: House):
    job_id = await training(house)
    await report(house, job_id, "train", range(1, 4), loss=1.5)
    await report(house, job_id, "export", range(2, 3), files=7.0)

    async def all_there() -> bool:
        found = (await asked(house, job_id))["series"]
        return {it["phase"] for it in found} == {"train", "export"}

    await eventually(all_there)
    path = f"/v1/jobs/{job_id}/metrics?format=csv&points=4"
    response = await house.http(tenant=TENANT).get(path)

    assert response.headers["content-type"].startswith("text/csv")
    assert f'"{job_id}.csv"' in response.headers["content-disposition"]
    assert response.text == "step,export files,loss\n1,,1.5\n2,7.0,1.5\n3,,1.5\n"


async def test_a_trainer_that_is_away_leaves_what_was_reported_and_says_so(house: House):
    job_id = await training(house, checkpoint=Checkpoint(digest=DIGEST, step=3))
    await report(house, job_id, "train", range(3, 6), loss=0.5)

    found = await known(house, job_id, 3)

    assert not found["is_complete"]


@pytest.mark.parametrize(
    "query",
    ["points=3", "points=10001", "from_step=-1", "format=xml", "to_step=1&from_step=2"],
)
async def test_what_cannot_be_drawn_is_refused_with_the_parameter(house: House, query: str):
    job_id = await training(house)

    response = await house.http(tenant=TENANT).get(f"/v1/jobs/{job_id}/metrics?{query}")

    assert response.status_code == 400
    assert response.json()["error"]["param"] == query.partition("=")[0]


async def test_a_job_of_another_tenant_is_unknown(house: House):
    job_id = await training(house)
    client: httpx.AsyncClient = house.http(tenant="other")

    assert (await client.get(f"/v1/jobs/{job_id}/metrics")).status_code == 404


async def test_metrics_over_grpc_are_those_over_http(house: House):
    job_id = await training(house)
    await succeed(house, job_id, noisy(300))
    (expected,) = (await asked(house, job_id, points=20, from_step=11))["series"]

    async with open_channel(house.grpc_address, house.issuer.token(tenant=TENANT)) as channel:
        stub = GatewayServiceStub(channel)
        request = pb.GetJobMetricsRequest(job_id=job_id, points=20, from_step=11)
        found = await stub.GetJobMetrics(request, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetJobMetrics(pb.GetJobMetricsRequest(job_id=job_id, points=3), timeout=60)

    (series,) = found.series
    assert list(series.steps) == expected["steps"]
    assert list(series.values) == expected["values"]
    assert (series.total, series.is_sampled, found.is_complete) == (290, True, True)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_million_names_are_looked_up_at_once():
    wanted = MetricRange(names=["loss"] * 1_000_000)

    assert wanted.names == {"loss"}
