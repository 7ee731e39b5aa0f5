"""Uploads in parts over HTTP, with OpenAI's own client and without."""

import httpx
import openai
import pytest
from gateway_support.house import House
from gateway_support.uploads import BEGAN

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPLOAD = {"filename": "rows.jsonl", "purpose": "fine-tune", "bytes": 6}


async def begun(client: httpx.AsyncClient) -> str:
    upload_id: str = (await client.post("/v1/uploads", json=UPLOAD)).json()["id"]
    return upload_id


async def test_openais_client_sends_a_file_in_parts(house: House):
    client = house.openai(tenant="parts-tenant")
    upload = await client.uploads.create(
        bytes=6, filename="rows.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    assert (upload.status, upload.expires_at, upload.file) == ("pending", BEGAN + 3600, None)
    second = await client.uploads.parts.create(upload.id, data=b"{}\n")
    first = await client.uploads.parts.create(upload.id, data=b"[]\n")
    assert (first.object, first.upload_id) == ("upload.part", upload.id)

    completed = await client.uploads.complete(upload.id, part_ids=[first.id, second.id])

    assert completed.status == "completed"
    assert completed.file is not None
    assert (await client.files.content(completed.file.id)).read() == b"[]\n{}\n"
    with pytest.raises(openai.NotFoundError):
        await client.uploads.cancel(upload.id)


async def test_a_cancelled_upload_takes_no_more_parts(house: House):
    client = house.openai(tenant="parts-tenant")
    upload = await client.uploads.create(
        bytes=6, filename="rows.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )

    assert (await client.uploads.cancel(upload.id)).status == "cancelled"
    with pytest.raises(openai.NotFoundError):
        await client.uploads.parts.create(upload.id, data=b"{}\n")


async def test_one_tenant_reaches_no_upload_of_another(house: House):
    async with house.http(tenant="owner") as owner, house.http(tenant="stranger") as stranger:
        path = f"/v1/uploads/{await begun(owner)}"
        part = await owner.post(f"{path}/parts", files={"data": ("part", b"{}\n")})
        body = {"part_ids": [part.json()["id"]]}

        for attempt in (
            stranger.post(f"{path}/parts", files={"data": ("part", b"{}\n")}),
            stranger.post(f"{path}/complete", json=body),
            stranger.post(f"{path}/cancel"),
        ):
            assert (await attempt).status_code == 404
        assert (await owner.post(f"{path}/complete", json=body)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"bytes": 0},
        {"bytes": "6"},
        {"bytes": 2**63},
        {"filename": "x" * 256},
        {"filename": "rows.exe"},
        {"invented": 1},
    ],
    ids=str,
)
async def test_a_malformed_upload_is_refused(house: House, change: dict[str, object]):
    async with house.http() as client:
        answer = await client.post("/v1/uploads", json={**UPLOAD, **change})
    assert answer.status_code == 422


async def test_what_is_wrong_with_parts_is_said(house: House):
    async with house.http() as client:
        path = f"/v1/uploads/{await begun(client)}"

        empty = await client.post(f"{path}/parts", files={"data": ("part", b"")})
        misnamed = await client.post(f"{path}/parts", files={"file": ("part", b"{}")})
        no_form = await client.post(f"{path}/parts", content=b"{}")
        unknown = await client.post(f"{path}/complete", json={"part_ids": ["part_x", "part_y"]})

    assert empty.status_code == 422
    assert (misnamed.status_code, no_form.status_code) == (400, 400)
    assert misnamed.json()["error"]["param"] == "data"
    assert unknown.json()["error"]["errors"] == ["no part 'part_x'", "no part 'part_y'"]
