"""What callers wrote is read as they said or not at all, and no browser takes it for a page."""

import gzip
import json
import re
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub, refused
from gateway_support.house import House
from grpc import StatusCode
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.access import OPERATOR, SCOPES
from modelmill_gateway.domain.routes import ROUTES, Body, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
EVERY_SCOPE = " ".join([*SCOPES, OPERATOR])
WITH_BODY = [route for route in ROUTES if route.body is not Body.NONE]
EACH_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


def path_of(route: Route) -> str:
    return route.path.replace("{", "").replace("}", "").replace("line", "1")


async def uploaded(client: httpx.AsyncClient, filename: str, **fields: Any) -> httpx.Response:
    form = {"purpose": "fine-tune"} | fields
    return await client.post("/v1/files", files={"file": (filename, b"{}")}, data=form)


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: route.name)
async def test_no_route_reads_an_encoded_body_as_if_it_were_not(house: House, route: Route):
    async with house.http(scope=EVERY_SCOPE) as client:
        answer = await client.request(
            route.method,
            path_of(route),
            content=gzip.compress(b"{}"),
            headers={"content-encoding": "gzip"},
        )
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity"
    assert "without this header" in answer.json()["error"]["message"]


async def test_an_encoding_that_changes_nothing_is_no_obstacle(house: House):
    async with house.http() as client:
        for encoding in ("identity", "Identity", ""):
            headers = {"content-encoding": encoding}
            answer = await client.post("/v1/chat/completions", json=CHAT, headers=headers)
            assert answer.status_code == 200


@EACH_ROUTE
async def test_no_answer_is_for_a_browser_to_guess_the_kind_of(house: House, route: Route):
    async with house.http() as client, httpx.AsyncClient(base_url=house.url) as nobody:
        for each in (client, nobody):
            answer = await each.request(route.method, path_of(route))
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


NAMES = [
    "rows.jsonl",
    "two words.jsonl",
    'quo"te\\and%41.jsonl',
    "été 数据 😀.jsonl",
    "a;filename=b.html",
    "../up/rows.jsonl",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_comes_back_as_an_attachment_of_its_name(house: House, name: str):
    async with house.http() as client:
        file = (await uploaded(client, name)).json()
        answer = await client.get(f"/v1/files/{file['id']}/content")

    disposition = answer.headers["content-disposition"]
    match = re.fullmatch(
        r"attachment; filename=\"([^\"\\%;/]+)\"; filename\*=UTF-8''([!#$&+.^_`|~0-9A-Za-z%-]+)",
        disposition,
    )
    assert match is not None, disposition
    assert unquote(match[2]) == file["filename"]
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("purpose", ["fine-tune", "batch", "evals", "user_data"])
async def test_a_purpose_for_which_there_is_a_use_is_taken(house: House, purpose: str):
    async with house.http() as client:
        answer = await uploaded(client, "a.jsonl", purpose=purpose)
        body = {"filename": "a.jsonl", "purpose": purpose, "bytes": 2}
        begun = await client.post("/v1/uploads", json=body)
    assert (answer.status_code, begun.status_code) == (200, 200)
    assert answer.json()["purpose"] == purpose


@pytest.mark.parametrize("purpose", ["batch_output", "assistants", "Batch", "<b>", "x" * 99, ""])
async def test_any_other_purpose_is_refused_over_http_and_grpc(house: House, purpose: str):
    async with house.http() as client, grpc_stub(house) as stub:
        answer = await uploaded(client, "a.jsonl", purpose=purpose)
        body = {"filename": "a.jsonl", "purpose": purpose, "bytes": 2}
        begun = await client.post("/v1/uploads", json=body)
        header = pb.FileHeader(filename="a.jsonl", purpose=purpose)
        async with refused(StatusCode.INVALID_ARGUMENT, "purpose"):
            call = stub.UploadFile(
                iter([pb.UploadFileRequest(header=header)]), timeout=CALL_SECONDS
            )
            await call
    assert (answer.status_code, begun.status_code) == (400, 422)
    assert "fine-tune, batch, evals, user_data" in answer.json()["error"]["message"]
    assert "purpose" in json.dumps(begun.json())
