"""What inference is asked for, and that callers hear which version answered, and by which way."""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import ADAPTER, BASE, BLOCKED, BUILD, TUNED, House
from gateway_support.usage import last_usage
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill.inference.v1.inference_service_pb2 import CascadePath
from modelmill_service_kit.errors import OverloadedError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONELY = "mv-lonely"
QUESTION = [{"role": "user", "content": "hello"}]
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": QUESTION},
    "/v1/completions": {"prompt": ["once", "twice"]},
    "/generate": {"prompt": "once"},
    "/v1/embeddings": {"input": "once"},
}
TEXT_ROUTES = [path for path in ROUTES if path != "/v1/embeddings"]


async def post(
    house: House, path: str, model: str = "default", *, tenant: str = "asker", **changes: Any
) -> httpx.Response:
    async with house.http(tenant=tenant) as client:
        return await client.post(path, json={"model": model} | ROUTES[path] | changes)


async def chat(house: House, model: str, **claims: Any) -> httpx.Response:
    return await post(house, "/v1/chat/completions", model, **claims)


async def grpc_ends(house: House) -> list[pb.ChatEnd]:
    """How a whole and a streamed answer over gRPC ended."""
    call = pb.ChatCall(model="default", messages=[ChatMessage(role="user", content="hello")])
    async with grpc_stub(house) as stub:
        whole = await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)
        streaming = stub.StreamChat(pb.StreamChatRequest(call=call), timeout=CALL_SECONDS)
        *_, last = [response async for response in streaming]
    return [whole.end, last.end]


def events_of(answer: httpx.Response) -> list[Any]:
    """A stream's chunks."""
    lines = answer.text.strip().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def recorded(house: House, tenant: str) -> Callable[[], Coroutine[Any, Any, UsageRecorded | None]]:
    async def usage() -> UsageRecorded | None:
        last = await last_usage(house.bus, tenant)
        return None if last is None else last.body

    return usage


async def say_lonely(house: House) -> None:
    """A version without a build, once the gateway has heard of it."""
    await house.say_model(LONELY, name="lonely", form="adapter")

    async def known() -> bool:
        async with house.http() as client:
            return (await client.get(f"/v1/models/{LONELY}")).status_code == 200

    await eventually(known)


async def test_an_alias_goes_on_to_inference_with_the_version_that_it_is_known_to_name(
    house: House,
):
    for path in TEXT_ROUTES:
        await post(house, path)
    await grpc_ends(house)

    asked = {(request.model, request.fallback_version_id) for request in house.inference.requests}
    assert asked == {("default", BUILD)}


@pytest.mark.parametrize("path", ROUTES)
async def test_callers_hear_the_version_that_inference_answered_by(house: House, path: str):
    house.inference.names["default"] = TUNED
    answer = await post(house, path, tenant=f"hears{list(ROUTES).index(path)}")

    assert answer.headers["x-model-version"] == TUNED
    if "system_fingerprint" in answer.json():
        assert answer.json()["system_fingerprint"] == TUNED
    usage = await eventually(recorded(house, f"hears{list(ROUTES).index(path)}"))
    assert usage is not None
    assert usage.version_id == TUNED


async def test_every_chunk_of_a_stream_and_every_end_names_the_version_that_answered(house: House):
    house.inference.names["default"] = TUNED
    for path in ("/v1/chat/completions", "/v1/completions"):
        answer = await post(house, path, stream=True)
        assert answer.headers["x-model-version"] == TUNED
        assert {chunk["system_fingerprint"] for chunk in events_of(answer)} == {TUNED}

    assert {end.version_id for end in await grpc_ends(house)} == {TUNED}


async def test_an_answer_that_the_policy_ends_names_its_version_too(house: House):
    house.inference.names["default"] = TUNED
    house.inference.pieces = [f"eat {BLOCKED} ", "now"]
    answer = await chat(house, "default")

    assert answer.json()["choices"][0]["finish_reason"] == "content_filter"
    assert answer.json()["system_fingerprint"] == TUNED


async def test_a_request_that_nobody_began_to_answer_counts_for_no_version(house: House):
    house.inference.fail_before = OverloadedError("full")
    await chat(house, "default", tenant="unheard")

    usage = await eventually(recorded(house, "unheard"))
    assert usage is not None
    assert (usage.version_id, usage.finish_reason) == ("", "error")


async def test_an_alias_of_another_tenant_does_not_go_on(house: House):
    await house.say_alias("owner", "secret", BUILD)

    async def is_owners() -> bool:
        return (await chat(house, "secret", tenant="owner")).status_code == 200

    await eventually(is_owners)
    house.inference.requests.clear()
    refused = await chat(house, "secret", tenant="rival")

    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert house.inference.requests == []


@pytest.mark.parametrize("version_id", [ADAPTER, BASE, BUILD])
async def test_a_version_id_means_that_very_version(house: House, version_id: str):
    answer = await chat(house, version_id)

    assert answer.json()["system_fingerprint"] == version_id


@pytest.mark.parametrize("path", ROUTES)
async def test_where_no_engine_runs_a_version_its_build_answers(house: House, path: str):
    house.inference.cannot_run = {ADAPTER}
    answer = await post(house, path, ADAPTER)

    assert answer.headers["x-model-version"] == TUNED


async def test_a_name_means_the_version_that_bears_it_whatever_was_built_of_it(house: House):
    await say_lonely(house)

    for name, version_id in (("kinds", ADAPTER), ("tiny", BASE), ("lonely", LONELY)):
        assert (await chat(house, name)).json()["system_fingerprint"] == version_id


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("model", ["lonely", LONELY])
async def test_what_inference_cannot_run_is_not_found_and_it_says_why(
    house: House, model: str, path: str
):
    await say_lonely(house)
    house.inference.cannot_run = {LONELY}
    refused = (await post(house, path, model)).json()["error"]

    assert refused["code"] == "model_not_found"
    assert "no engine runs it" in refused["message"]


async def test_an_alias_is_moved_to_a_version_without_a_build_when_inference_loads_it(
    house: House,
):
    await say_lonely(house)
    async with house.http(tenant="bare") as client:
        moved = await client.put("/v1/aliases/best", json={"version_id": LONELY})

    assert moved.json()["version_id"] == LONELY
    assert house.inference.loaded == [LONELY]


def path_taken(**changes: Any) -> CascadePath:
    """A small model that was sure."""
    sure = {"confidence": 0.75, "threshold": 0.5, "spared_tokens": 10}
    return CascadePath(**(sure | changes))


SHOWN = {
    "version_id": BUILD,
    "escalated": False,
    "confidence": 0.75,
    "threshold": 0.5,
    "spared_tokens": 10,
    "extra_tokens": 0,
}


async def test_which_way_a_cascade_went_stands_beside_each_answers_end(house: House):
    house.inference.cascade = path_taken()

    generated = (await post(house, "/generate")).json()
    assert generated["cascade"] == SHOWN
    for path in ("/v1/chat/completions", "/v1/completions"):
        whole = (await post(house, path)).json()["choices"]
        assert [choice["cascade"] for choice in whole] == [SHOWN] * len(whole)
        choices = [chunk["choices"][0] for chunk in events_of(await post(house, path, stream=True))]
        for choice in choices:
            assert choice.get("cascade") == (SHOWN if choice["finish_reason"] else None)
    assert [end.cascade for end in await grpc_ends(house)] == [path_taken()] * 2


async def test_a_cascade_that_was_never_calibrated_has_no_threshold_in_json(house: House):
    house.inference.cascade = path_taken(escalated=True, threshold=math.inf)
    shown = (await chat(house, "default")).json()["choices"][0]["cascade"]

    assert (shown["threshold"], shown["escalated"]) == (None, True)


async def test_answers_of_other_models_tell_of_no_cascade(house: House):
    assert "cascade" not in (await chat(house, "default")).json()["choices"][0]
    assert not any(end.HasField("cascade") for end in await grpc_ends(house))
