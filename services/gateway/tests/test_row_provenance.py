"""Into a dataset over HTTP: a row's provenance, what differs, the report."""

import pytest
from gateway_support.house import House
from gateway_support.job_orders import MAPPING, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINE = "/v1/datasets/ds-acme1"


async def test_a_rows_story_tells_what_became_of_it(house: House):
    client = house.http(tenant="acme")
    answer = (await client.get(f"{MINE}/rows/2")).json()

    kept, made = answer["provenance"]
    assert (kept["outcome"], kept["split"], kept["position"]) == ("kept", "train", 0)
    assert kept["changes"] == ["spaces@1"]
    assert kept["row"]["messages"][0]["content"] == "hi"
    assert (made["outcome"], made["rule"], made["made_by"]) == (
        "dropped",
        "duplicates.exact",
        "synonyms@1",
    )
    assert (made["row"], made["split"], made["position"]) == (None, None, None)


@pytest.mark.parametrize("line", ["0", "-1", "two", "9" * 30, "1.5"])
async def test_a_line_is_a_whole_number_from_1(house: House, line: str):
    client = house.http(tenant="acme")
    answer = await client.get(f"{MINE}/rows/{line}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "line"


async def test_as_many_samples_are_shown_as_were_asked_for(house: House):
    client = house.http(tenant="acme")
    answer = (await client.get(f"{MINE}/diff/ds-acme2", params={"samples": 3})).json()
    refused = await client.get(f"{MINE}/diff/ds-acme2", params={"samples": 101})

    assert (answer["rows_added"], answer["same"]) == (200, False)
    assert [row["row"] for row in answer["added"]] == [0, 1, 2]
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "samples")


async def test_a_report_is_data_or_a_page_that_can_run_nothing(house: House):
    client = house.http(tenant="acme")
    data = await client.get(f"{MINE}/report")
    page = await client.get(f"{MINE}/report", params={"format": "html"})
    other = await client.get(f"{MINE}/report", params={"format": "pdf"})

    assert (data.json(), data.headers["content-type"]) == ({"report": "json"}, "application/json")
    assert page.json() == {"report": "html"}
    assert "sandbox" in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (other.status_code, other.json()["error"]["param"]) == (400, "format")


async def test_the_report_of_what_is_no_dataset_is_asked_for_by_its_job(house: House):
    client = house.http(tenant="unready")
    file = await upload(client)
    body = {"file_id": file, "mapping": MAPPING}
    accepted = (await client.post("/v1/datasets", json=body)).json()

    answer = await client.get(f"/v1/datasets/{accepted['id']}/report")
    rival = await house.http(tenant="rival").get(f"/v1/datasets/{accepted['id']}/report")

    assert answer.text == f"of {accepted['job_id']}"
    assert rival.status_code == 404


@pytest.mark.parametrize("path", ["rows/1", "diff/ds-acme2", "report"])
async def test_another_tenants_dataset_is_not_there(house: House, path: str):
    client = house.http(tenant="acme")
    answer = await client.get(f"/v1/datasets/ds-umbra/{path}")

    assert answer.status_code == 404
