"""Embeddings in OpenAI's shape; texts are judged before the model reads them."""

from typing import Any

import httpx
import openai
import pytest
from gateway_support.house import BLOCKED, BUILD, MASKED, House, compiled
from gateway_support.peers import engine_cannot, prompt_too_long
from gateway_support.usage import last_usage
from modelmill_service_kit.errors import OverloadedError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

VECTOR = pytest.approx([0.6, -0.8])


async def post(house: House, **changes: Any) -> httpx.Response:
    async with house.http() as client:
        body = {"model": "default", "input": "a"} | changes
        return await client.post("/v1/embeddings", json=body)


@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_each_text_has_its_vector_in_either_form(house: House, form: Any):
    given = {} if form is None else {"encoding_format": form}
    raw = await house.openai(tenant="embedder").embeddings.with_raw_response.create(
        model="default", input=["a", "b"], **given
    )
    answer = raw.parse()

    assert [vector.index for vector in answer.data] == [0, 1]
    if form != "base64":
        assert [vector.embedding for vector in answer.data] == [VECTOR] * 2
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (6, 6)
    assert answer.model == "default"
    assert house.inference.embedded == [["a", "b"]]

    async def recorded() -> object:
        return await last_usage(house.bus, "embedder")

    usage = (await eventually(recorded)).body
    assert (usage.version_id, usage.prompt_tokens, usage.completion_tokens) == (BUILD, 6, 0)


async def test_the_answer_names_version_policy_and_request(house: House):
    answer = await post(house)

    assert answer.headers["x-model-version"] == BUILD
    assert answer.headers["x-policy-digest"] == compiled()[0].digest
    assert answer.headers["x-request-id"].startswith("req-")
    assert "x-model-variant" not in answer.headers


async def test_one_text_may_stand_for_a_list(house: House):
    answer = await post(house)

    assert [vector["embedding"] for vector in answer.json()["data"]] == [VECTOR]


async def test_a_blocked_text_refuses_all_and_a_masked_one_is_embedded_masked(house: House):
    blocked = await post(house, input=["fine", f"eat {BLOCKED}"])
    assert (blocked.status_code, blocked.json()["error"]["param"]) == (400, "input")
    assert blocked.json()["error"]["code"] == "content_policy_violation"
    assert house.inference.embedded == []

    await post(house, input=["fine", f"my {MASKED}"])
    assert house.inference.embedded == [["fine", "my *****"]]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (prompt_too_long(), 400, "context_length_exceeded"),
        (engine_cannot(), 400, "engine_cannot"),
        (OverloadedError("full"), 503, "overloaded"),
    ],
)
async def test_what_the_engine_refuses_has_its_status(
    house: House, failure: Any, status: int, code: str
):
    house.inference.fail_before = failure
    answer = await post(house)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_an_unknown_model_is_not_found(house: House):
    with pytest.raises(openai.NotFoundError, match="nobody"):
        await house.openai().embeddings.create(model="nobody", input="a")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input.0"),
        ({"input": ["a", [1, 2]]}, "input.1"),
        ({"input": ["a"] * 257}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 8}, "dimensions"),
    ],
)
async def test_a_wrong_field_is_named(house: House, change: dict[str, Any], param: str):
    answer = await post(house, **change)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("ids", [[17, 4], [[17, 4], [9]]])
async def test_token_ids_are_refused_with_what_sends_texts(house: House, ids: Any):
    error = (await post(house, input=ids)).json()["error"]

    assert error["param"] == "input"
    assert "check_embedding_ctx_length=False" in error["message"]
