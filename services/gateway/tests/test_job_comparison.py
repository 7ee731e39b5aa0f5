"""Jobs side by side: settings that differ, scores with intervals, data, and metrics by step."""

from typing import Any

import pytest
from gateway_support.house import House
from gateway_support.job_orders import MAPPING, order, say_state, upload
from google.protobuf.json_format import ParseDict
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobResult,
)
from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED
from modelmill_gateway.domain.job_differences import ScoreFigure, score_rows, setting_rows
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANT = "comparer"
DIGEST = "sha256:" + "5" * 64
SUMMARY = {"accuracy_tuned": {"mean": 0.7, "low": 0.6, "high": 0.8}, "last_loss": 1.5}


async def training(house: House, **changes: Any) -> str:
    return str((await order(house.http(tenant=TENANT), **changes)).json()["id"])


async def end(house: House, job_id: str, status: int, **fields: Any) -> None:
    await say_state(house, job_id, TENANT, status=status, attempt=1, **fields)
    client = house.http(tenant=TENANT)

    async def has_ended() -> bool:
        return (await client.get(f"/v1/jobs/{job_id}")).json()["status"] in ("succeeded", "failed")

    await eventually(has_ended)


async def succeed(house: House, job_id: str, losses: list[float]) -> None:
    house.trainer.figures[job_id] = losses
    made = ParseDict({"digest": DIGEST, "summary": SUMMARY}, JobResult())
    await end(house, job_id, JOB_STATUS_SUCCEEDED, result=made)


async def compared(house: House, *job_ids: str, **query: Any) -> dict[str, Any]:
    first, *others = job_ids
    path = f"/v1/jobs/{first}/comparison"
    answer = await house.http(tenant=TENANT).get(path, params={"other": others, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def dataset(house: House) -> str:
    """A dataset that is ready; its id."""
    client = house.http(tenant=TENANT)
    body = {"file_id": await upload(client), "name": "words", "mapping": MAPPING}
    ordered = (await client.post("/v1/datasets", json=body)).json()
    ready = DatasetReady(
        dataset_id=ordered["id"],
        job_id=ordered["job_id"],
        tenant=TENANT,
        name="words",
        digest=DIGEST,
        counts={"train": 80},
    )
    ready.created_at.GetCurrentTime()
    await house.bus.publish(DATASET_READY, ready)

    async def is_ready() -> bool:
        found = (await client.get(f"/v1/datasets/{ordered['id']}")).json()
        return bool(found["status"] == "ready")

    await eventually(is_ready)
    return str(ordered["id"])


async def test_settings_that_differ_come_first_and_are_marked(house: House):
    first = await training(house, hyperparameters={"learning_rate": 0.001}, seed=7)
    second = await training(house, hyperparameters={"learning_rate": 0.002}, seed=7)

    found = await compared(house, first, second)

    rows = {row["path"]: row for row in found["settings"]}
    assert rows["hyper_parameters.learning_rate"]["values"] == [0.001, 0.002]
    assert rows["hyper_parameters.learning_rate"]["differs"]
    assert rows["hyper_parameters.seed"]["differs"] is False
    marks = [row["differs"] for row in found["settings"]]
    assert marks == sorted(marks, reverse=True)
    assert [each["job"]["id"] for each in found["jobs"]] == [first, second]


async def test_runs_that_succeeded_and_failed_have_what_they_have(house: House):
    done, failed = await training(house), await training(house)
    await succeed(house, done, [3.0, 2.0, 1.5])
    await end(house, failed, JOB_STATUS_FAILED, error=JobError(code="x", message="too few rows"))

    found = await compared(house, failed, done)

    scores = {row["name"]: row["values"] for row in found["scores"]}
    assert scores["accuracy_tuned"] == [None, {"value": 0.7, "low": 0.6, "high": 0.8}]
    assert scores["last_loss"] == [None, {"value": 1.5, "low": None, "high": None}]
    nothing, curve = (each["series"] for each in found["jobs"])
    assert (nothing, curve[0]["values"]) == ([], [3.0, 2.0, 1.5])
    assert found["jobs"][0]["job"]["error"]["message"] == "too few rows"


async def test_curves_are_sampled_and_exact_in_a_range(house: House):
    first, second = await training(house), await training(house)
    for job_id in (first, second):
        await succeed(house, job_id, [1.0 / step for step in range(1, 5001)])

    whole = await compared(house, first, second, points=50, name="loss")
    part = await compared(house, first, second, points=50, from_step=101, to_step=110)

    for each in whole["jobs"]:
        assert (each["series"][0]["total"], each["series"][0]["is_sampled"]) == (5000, True)
        assert len(each["series"][0]["steps"]) <= 50
    assert part["jobs"][1]["series"][0]["steps"] == list(range(101, 111))


async def test_a_deleted_dataset_is_told_with_its_digest(house: House):
    kept, deleted = await dataset(house), await dataset(house)
    first, second = [await training(house, training_file=each) for each in (kept, deleted)]
    gone = DatasetRetired(dataset_id=deleted, tenant=TENANT)
    await house.bus.publish(DATASET_RETIRED, gone)

    async def is_deleted() -> list[dict[str, Any]] | None:
        found = [each["dataset"] for each in (await compared(house, first, second))["jobs"]]
        return found if found[1]["is_deleted"] else None

    there, not_there = await eventually(is_deleted)
    assert there == {
        **{"id": kept, "name": "words", "digest": DIGEST, "counts": {"train": 80}},
        "is_deleted": False,
    }
    assert not_there == there | {"id": deleted, "is_deleted": True}


async def test_a_trainer_that_cannot_tell_keeps_no_run_back(house: House):
    known, lost = await training(house), await training(house)
    for job_id in (known, lost):
        await succeed(house, job_id, [2.0, 1.0])
    house.trainer.unread.add(lost)
    assert (await house.http(tenant=TENANT).get(f"/v1/jobs/{lost}/metrics")).status_code == 503

    found = await compared(house, lost, known)

    assert [each["is_complete"] for each in found["jobs"]] == [False, True]
    assert [len(each["series"]) for each in found["jobs"]] == [0, 1]


async def test_a_run_named_twice_is_there_once(house: House):
    first, second = await training(house), await training(house)

    found = await compared(house, first, second, first)

    assert [each["job"]["id"] for each in found["jobs"]] == [first, second]


async def test_jobs_of_another_tenant_are_not_compared(house: House):
    first, second = await training(house), await training(house)
    other = house.http(tenant="other")
    own = str((await order(other)).json()["id"])

    for path in (f"/v1/jobs/{own}/comparison?other={second}", f"/v1/jobs/{first}/comparison"):
        assert (await other.get(path)).status_code == 404


@pytest.mark.parametrize("query", ["other=" + ",".join("abcdefghij"), "points=3", "from_step=x"])
async def test_what_cannot_be_compared_is_refused_with_the_parameter(house: House, query: str):
    path = f"/v1/jobs/{await training(house)}/comparison?{query}"

    answer = await house.http(tenant=TENANT).get(path)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.partition("=")[0]


async def test_a_setting_that_one_has_not_differs_also_where_another_has_none():
    rows = setting_rows([{"a": {"b": 1, "c": None}}, {"a": {"b": 1.0}, "d": {}}])

    assert {row.path: (row.values, row.differs) for row in rows} == {
        "a.b": ((1, 1.0), False),
        "a.c": ((None, None), False),
        "d": ((None, {}), True),
    }


async def test_scores_are_figures_and_estimates_at_any_depth():
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "rows": 9}
    rows = score_rows([{"suites": {"d": {"acc": {"model": estimate}}}, "n": 3, "passed": True}])

    assert [(row.name, row.values) for row in rows] == [
        ("suites.d.acc.model", (ScoreFigure(0.5, 0.4, 0.6),)),
        ("n", (ScoreFigure(3.0),)),
    ]
