"""Two datasets side by side over HTTP: what differs, rows of one alone, and who may not ask."""

import json
from typing import Any

import pytest
from gateway_support.house import House
from gateway_support.job_orders import MAPPING, upload
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY, job_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANT = "acme"
FIRST, SECOND = "ds-acme1", "ds-acme2"
ROWS = f"/v1/datasets/{FIRST}/comparison/{SECOND}/rows"


async def compared(house: House, first: str = FIRST, second: str = SECOND) -> Any:
    path = f"/v1/datasets/{first}/comparison/{second}"
    return await house.http(tenant=TENANT).get(path)


async def test_counts_are_of_the_first_and_the_second_and_settings_that_differ_come_first(
    house: House,
):
    house.data_prep.comparison = pb.CompareDatasetsResponse(
        rows_common=60,
        rows_moved=3,
        unshared=[pb.ComparedCount(name="dropped filter.characters.min", first=20, second=0)],
        labels=[pb.ComparedCount(name="plant", first=50, second=10)],
    )
    alike = {"mapping": {"layout": "text"}}
    house.data_prep.compared_specs = {
        FIRST: json.dumps(alike | {"seed": "7"}),
        SECOND: json.dumps(alike | {"filter": {"preset": "standard"}}),
    }

    found = (await compared(house)).json()

    assert (found["rows_common"], found["rows_moved"], found["same"]) == (60, 3, False)
    assert [each["id"] for each in found["datasets"]] == [FIRST, SECOND]
    assert found["datasets"][0]["tokens"]["p95"] == 38
    assert found["unshared"] == [{"name": "dropped filter.characters.min", "values": [20, 0]}]
    assert found["labels"] == [{"name": "plant", "values": [50, 10]}]
    assert [(row["path"], row["differs"], row["values"]) for row in found["settings"]] == [
        ("filter.preset", True, [None, "standard"]),
        ("seed", True, ["7", None]),
        ("mapping.layout", False, ["text", "text"]),
    ]


async def test_rows_of_one_alone_come_in_pages_behind_a_cursor(house: House):
    rows = [
        pb.UnsharedRow(number=n, because="absent", row_json=f'{{"row": {n}}}') for n in range(1, 6)
    ]
    rows[4].because, rows[4].other_row_json = "changed", '{"row": 9}'
    house.data_prep.unshared[FIRST] = rows
    client = house.http(tenant=TENANT)

    first = (await client.get(ROWS, params={"limit": 3})).json()
    rest = (await client.get(ROWS, params={"after": first["last_id"]})).json()

    assert ([row["id"] for row in first["data"]], first["has_more"]) == (
        ["row-1", "row-2", "row-3"],
        True,
    )
    assert [row["row"] for row in rest["data"]] == [{"row": 4}, {"row": 5}]
    assert rest["has_more"] is False
    assert [(row["because"], row["other_row"]) for row in rest["data"]] == [
        ("absent", None),
        ("changed", {"row": 9}),
    ]


@pytest.mark.parametrize("query", ["after=17", "limit=101", "limit=x"])
async def test_a_page_that_there_cannot_be_is_refused_with_the_parameter(house: House, query: str):
    answer = await house.http(tenant=TENANT).get(f"{ROWS}?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.partition("=")[0]


async def test_a_dataset_is_not_compared_with_itself(house: House):
    answer = await compared(house, FIRST, FIRST)

    assert answer.status_code == 422
    assert "named twice" in answer.json()["error"]["message"]


@pytest.mark.parametrize("pair", [("ds-umbra", SECOND), (FIRST, "ds-umbra")])
@pytest.mark.parametrize("end", ["", "/rows"])
async def test_a_dataset_of_another_tenant_is_not_there(
    house: House, pair: tuple[str, str], end: str
):
    first, second = pair
    path = f"/v1/datasets/{first}/comparison/{second}{end}"
    answer = await house.http(tenant=TENANT).get(path)

    assert answer.status_code == 404
    assert "no dataset 'ds-umbra'" in answer.json()["error"]["message"]


async def test_of_a_ready_dataset_and_an_unknown_one_the_unknown_is_told(house: House):
    client = house.http(tenant=TENANT)
    body = {"file_id": await upload(client), "mapping": MAPPING}
    ordered = (await client.post("/v1/datasets", json=body)).json()
    ready = DatasetReady(dataset_id=ordered["id"], job_id=ordered["job_id"], tenant=TENANT)
    await house.bus.publish(DATASET_READY, ready)

    async def is_ready() -> bool:
        found = (await client.get(f"/v1/datasets/{ordered['id']}")).json()
        return bool(found["status"] == "ready")

    await eventually(is_ready)
    message = (await compared(house, ordered["id"], "ds-none")).json()["error"]["message"]

    assert message == "no dataset 'ds-none'"


async def test_a_dataset_that_is_not_ready_is_told_with_its_job(house: House):
    client = house.http(tenant=TENANT)
    body = {"file_id": await upload(client), "mapping": MAPPING}
    ordered = (await client.post("/v1/datasets", json=body)).json()
    house.data_prep.unready.add(ordered["id"])

    waiting = await compared(house, FIRST, ordered["id"])
    job_id = ordered["job_id"]
    state = JobState(job_id=job_id, kind="dataset", tenant=TENANT, status=JOB_STATUS_FAILED)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)

    async def has_failed() -> str | None:
        message = str((await compared(house, ordered["id"], FIRST)).json()["error"]["message"])
        return message if "its job failed" in message else None

    assert waiting.status_code == 404
    assert waiting.json()["error"]["message"] == (
        f"dataset '{ordered['id']}' is not ready: its job has not ended."
        f" GET /v1/jobs/{job_id} tells more"
    )
    assert f"GET /v1/jobs/{job_id}" in str(await eventually(has_failed))
