"""Aliases with variants, a shadow and fallbacks, over HTTP and gRPC."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import ADAPTER, BASE, BLOCKED, BUILD, MASKED, TUNED, House, run_house
from gateway_support.usage import last_usage
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.request_context import MARGIN_SECONDS
from modelmill_gateway.metrics import SHADOWS
from modelmill_service_kit.errors import OverloadedError, PreconditionError, UnavailableError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HALVES = [
    {"name": "steady", "version_id": BUILD, "weight": 1},
    {"name": "new", "version_id": TUNED, "weight": 1},
]


async def put(house: House, tenant: str, **body: Any) -> httpx.Response:
    answer = await house.http(tenant=tenant).put("/v1/aliases/best", json=body)
    house.inference.loaded.clear()
    return answer


async def chat(house: House, tenant: str, **body: Any) -> httpx.Response:
    headers = body.pop("headers", {})
    asked = {"model": "best", "messages": [{"role": "user", "content": "hi"}]} | body
    client = house.http(tenant=tenant)
    return await client.post("/v1/chat/completions", json=asked, headers=headers)


def variant_of(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-model-variant"], answer.headers["x-model-version"]


async def test_variants_are_loaded_kept_shown_and_shared_out(house: House):
    client = house.http(tenant="splitter")
    body = {
        "variants": [HALVES[0], HALVES[1] | {"version_id": ADAPTER}],
        "shadow": {"version_id": BASE, "share": 0.5},
        "fallback": [BUILD],
    }
    answer = await client.put("/v1/aliases/best", json=body)

    assert answer.status_code == 200
    # A version's best form is what is loaded and named, each once.
    assert house.inference.loaded == [BUILD, TUNED]
    assert answer.json()["variants"] == [HALVES[0] | {"weight": 1.0}, HALVES[1] | {"weight": 1.0}]
    (shown,) = [it for it in (await client.get("/v1/aliases")).json()["data"] if it["id"] == "best"]
    assert {name: shown[name] for name in ("version_id", "shadow", "fallback")} == {
        "version_id": BUILD,
        "shadow": {"version_id": BUILD, "share": 0.5},
        "fallback": [BUILD],
    }
    seen = {
        variant_of(await chat(house, "splitter", user=f"user {number}")) for number in range(24)
    }
    assert seen == {("steady", BUILD), ("new", TUNED)}


@pytest.mark.parametrize("by", ["user", "header"])
async def test_who_asks_again_about_anything_has_the_same_variant(house: House, by: str):
    await put(house, "sticky", variants=HALVES)
    for number in range(6):
        key = f"key {number}"
        named: dict[str, Any] = {
            "user": {"user": key},
            "header": {"headers": {"x-modelmill-sticky": key}},
        }[by]
        topics = [[{"role": "user", "content": f"topic {topic}"}] for topic in range(6)]
        found = {variant_of(await chat(house, "sticky", messages=it, **named)) for it in topics}
        assert len(found) == 1


async def test_a_conversation_that_goes_on_has_the_same_variant(house: House):
    await put(house, "sticky", variants=HALVES)
    for number in range(6):
        turns = [{"role": "user", "content": f"talk {number}"}]
        first = variant_of(await chat(house, "sticky", messages=turns))
        turns += [{"role": "assistant", "content": "x"}, {"role": "user", "content": "more"}]
        assert variant_of(await chat(house, "sticky", messages=turns)) == first


async def test_streams_completions_and_grpc_name_the_variant_too(house: House):
    await put(house, "namer", variants=[HALVES[1]])
    client = house.http(tenant="namer")
    streamed = await chat(house, "namer", stream=True)
    completed = await client.post("/v1/completions", json={"model": "best", "prompt": "x"})
    generated = await client.post("/generate", json={"model": "best", "prompt": "x"})

    assert [variant_of(each) for each in (streamed, completed, generated)] == [("new", TUNED)] * 3
    assert streamed.headers["x-policy-digest"]
    assert streamed.headers["x-request-id"]
    call = pb.ChatCall(model="best", messages=[ChatMessage(role="user", content="hi")])
    async with grpc_stub(house, tenant="namer") as stub:
        whole = await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)
        pieces = stub.StreamChat(pb.StreamChatRequest(call=call), timeout=CALL_SECONDS)
        last = [piece async for piece in pieces][-1]
    assert [(end.variant, end.version_id) for end in (whole.end, last.end)] == [("new", TUNED)] * 2


async def test_a_plain_alias_has_no_variant_and_becomes_plain_again(house: House):
    await put(house, "plainly", variants=HALVES)
    moved = await put(house, "plainly", version_id=TUNED)
    answer = await chat(house, "plainly")

    assert "variants" not in moved.json()
    assert "x-model-variant" not in answer.headers
    assert answer.headers["x-model-version"] == TUNED
    assert house.inference.requests[-1].model == "best"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {""}),
        ({"version_id": BUILD, "variants": HALVES}, {""}),
        ({"variants": []}, {"variants"}),
        ({"variants": [HALVES[0], HALVES[0]]}, {""}),
        ({"variants": [HALVES[0] | {"weight": 0}]}, {""}),
        (
            {
                "variants": [HALVES[0] | {"weight": -1, "name": "a b"}],
                "shadow": {"version_id": BUILD, "share": 2},
                "fallback": ["x"] * 5,
            },
            {"variants.0.weight", "variants.0.name", "shadow.share", "fallback"},
        ),
    ],
)
async def test_all_that_is_wrong_with_an_alias_is_said_at_once(
    house: House, body: dict[str, Any], fields: set[str]
):
    answer = await put(house, "wrong", **body)

    assert answer.status_code == 422
    said = answer.json()["error"]["errors"]
    if fields != {""}:
        assert {each.partition(":")[0] for each in said} == fields


async def test_versions_that_do_not_exist_are_all_named_and_nothing_moves(house: House):
    unknown = HALVES[1] | {"version_id": "mv-gone"}
    answer = await put(house, "unknowing", variants=[HALVES[0], unknown], fallback=["mv-lost"])

    assert answer.status_code == 422
    assert ["mv-gone" in answer.text, "mv-lost" in answer.text] == [True, True]
    assert (await chat(house, "unknowing")).status_code == 404


async def test_a_variant_that_cannot_be_loaded_moves_nothing(house: House):
    house.inference.fail_load = PreconditionError("the artifact does not verify")
    answer = await put(house, "careful", variants=HALVES)

    assert answer.status_code == 409
    assert (await chat(house, "careful")).status_code == 404


async def test_variants_that_take_too_long_together_move_nothing_and_are_no_fault_of_ours(
    tmp_path: Path,
):
    async with run_house(tmp_path, load_seconds=MARGIN_SECONDS / 2) as hurried:
        answer = await put(hurried, "late", variants=HALVES)

        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert (await chat(hurried, "late")).status_code == 404


@pytest.mark.parametrize("failure", [OverloadedError("full"), UnavailableError("away"), None])
async def test_a_fallback_answers_where_the_first_cannot_begin(
    house: House, failure: Exception | None
):
    await put(house, "falling", version_id=BUILD, fallback=[TUNED])
    house.inference.cannot_run = set() if failure else {BUILD}
    house.inference.fail_versions = {BUILD: failure} if failure else {}
    answer = await chat(house, "falling")
    usage = await eventually(lambda: last_usage(house.bus, "falling"))

    assert variant_of(answer) == ("fallback", TUNED)
    assert usage.body.version_id == TUNED


async def test_behind_the_first_piece_there_is_no_fallback(house: House):
    await put(house, "begun", version_id=BUILD, fallback=[TUNED])
    house.inference.fail_after = UnavailableError("the engine is restarting")
    answer = await chat(house, "begun", stream=True)

    assert "unavailable" in answer.text
    assert {request.model for request in house.inference.requests} == {BUILD}


async def test_what_no_version_would_mend_is_said_at_once(house: House):
    await put(house, "mending", version_id=BUILD, fallback=[TUNED])
    house.inference.fail_before = PreconditionError("no").because("ENGINE_CANNOT")
    answer = await chat(house, "mending")

    assert answer.status_code == 400
    assert len(house.inference.requests) == 1


async def test_a_shadow_is_asked_the_same_behind_the_answer_and_charged_to_nobody(house: House):
    await put(house, "shady", version_id=BUILD, shadow={"version_id": TUNED, "share": 1})
    before = SHADOWS.labels("answered")._value.get()
    messages = [{"role": "user", "content": f"my {MASKED}"}]
    answer = await chat(house, "shady", messages=messages)

    assert variant_of(answer) == ("default", BUILD)
    await eventually(lambda: SHADOWS.labels("answered")._value.get() == before + 1)
    asked = [(it.model, it.conversation.messages[0].content) for it in house.inference.requests]
    assert asked == [(BUILD, "my *****"), (TUNED, "my *****")]

    async def recorded() -> bool:
        usage = await last_usage(house.bus, "shady")
        return usage is not None and usage.body.shadow and usage.body.version_id == TUNED

    await eventually(recorded)


async def test_a_shadow_that_fails_or_hangs_is_nobodys_matter(house: House):
    await put(house, "hanging", version_id=BUILD, shadow={"version_id": TUNED, "share": 1})
    house.inference.fail_versions = {TUNED: UnavailableError("away")}
    before = SHADOWS.labels("failed")._value.get()
    assert (await chat(house, "hanging")).status_code == 200
    await eventually(lambda: SHADOWS.labels("failed")._value.get() == before + 1)

    house.inference.fail_versions = {}
    house.inference.endless_versions = {TUNED}
    dropped = SHADOWS.labels("dropped")._value.get()
    for _ in range(6):
        assert (await chat(house, "hanging")).status_code == 200
    await eventually(lambda: SHADOWS.labels("dropped")._value.get() == dropped + 2)
    house.inference.endless_versions = set()
    await eventually(lambda: house.inference.in_flight == 0)


async def test_an_answer_that_the_policy_ended_has_no_shadow(house: House):
    await put(house, "ending", version_id=BUILD, shadow={"version_id": TUNED, "share": 1})
    house.inference.pieces = [f"eat {BLOCKED} ", "now"]
    answer = await chat(house, "ending")

    assert answer.json()["choices"][0]["finish_reason"] == "content_filter"
    house.inference.pieces = ["fine"]
    await chat(house, "ending")
    await eventually(lambda: len(house.inference.requests) == 3)
    assert [request.model for request in house.inference.requests] == [BUILD, BUILD, TUNED]


async def test_an_answer_that_was_left_has_no_shadow(house: House):
    await put(house, "leaving", version_id=BUILD, shadow={"version_id": TUNED, "share": 1})
    house.inference.endless = True
    asking = asyncio.create_task(chat(house, "leaving"))
    await eventually(lambda: house.inference.in_flight == 1)
    asking.cancel()
    await eventually(lambda: house.inference.in_flight == 0)
    assert {request.model for request in house.inference.requests} == {BUILD}


async def test_vectors_of_an_alias_with_variants_are_all_of_one(house: House):
    await put(house, "vectors", variants=HALVES)
    client = house.http(tenant="vectors")
    named = set()
    for number in range(6):
        body = {"model": "best", "input": f"x {number}"}
        headers = (await client.post("/v1/embeddings", json=body)).headers
        named.add((headers["x-model-version"], headers["x-model-variant"]))
    assert named == {(BUILD, HALVES[0]["name"])}
