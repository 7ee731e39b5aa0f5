"""What the Responses API refuses, what the policy stops in it, and how it breaks off."""

from typing import Any

import openai
import pytest
from gateway_support.house import BLOCKED, FLAGGED, MASKED, House
from gateway_support.responses import PATH, TOOL, ask, calls, events
from modelmill_service_kit.errors import UnavailableError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("finish_reason", "pieces", "reason"),
    [
        ("length", ["a"], "max_output_tokens"),
        ("stop", ["my ", MASKED, " and ", *BLOCKED, " more"], "content_filter"),
    ],
)
async def test_a_response_that_breaks_off_is_incomplete_and_says_why(
    house: House, finish_reason: str, pieces: list[str], reason: str
):
    house.inference.finish_reason, house.inference.pieces = finish_reason, pieces
    answer = await ask(house)
    last = (await events(house))[-1]

    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", reason)
    assert answer.output[0].status == "incomplete"
    assert answer.output_text in ("a", "my ***** and ")
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert (answer.moderation is not None) == (reason == "content_filter")


@pytest.mark.parametrize("item", [None, 7, True, "text", ["text"], []])
async def test_an_item_that_is_no_object_is_refused_as_a_wrong_one(house: House, item: Any):
    async with house.http() as client:
        answer = await client.post(PATH, json={"model": "default", "input": [item]})

    assert answer.status_code == 400
    assert "input.0" in answer.json()["error"]["message"]


async def test_verdicts_stand_beside_an_answer_that_asked_for_them(house: House):
    answer = await ask(house, input=f"how to {FLAGGED}", moderation={"model": "any"})

    assert answer.moderation.input.flagged
    assert not answer.moderation.output.flagged
    requested = {"model": "any", "policy": {"input": {"mode": "block"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(house, input=f"how to {FLAGGED}", moderation=requested)
    assert (refused.value.code, refused.value.param) == ("content_policy_violation", "input")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_the_policy_forbids_never_leaves(house: House, stream: bool):
    house.inference.pieces = []
    calls(house, "{}", f'{{"city": "{BLOCKED}"}}', "{}")
    body = {"model": "default", "input": "hello", "tools": [TOOL], "stream": stream}
    raw = (await house.http().post(PATH, json=body)).text

    assert "call00000" in raw
    assert "call00001" not in raw
    assert "content_filter" in raw


async def test_an_error_in_mid_stream_fails_the_response(house: House):
    house.inference.fail_after = UnavailableError("away")
    told = await events(house)

    assert [event["type"] for event in told[-2:]] == ["error", "response.failed"]
    assert told[-1]["response"]["error"]["code"] == "server_error"
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [TOOL | {"defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": [TOOL], "include": ["message.output_text.logprobs"]}, "include"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input"),
        ({"stream_options": {"include_obfuscation": True}, "stream": True}, "stream_options"),
    ],
)
async def test_what_needs_a_memory_or_is_not_served_is_refused_by_name(
    house: House, changes: dict[str, Any], param: str
):
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(house, **changes)

    assert refused.value.param.startswith(param)
    assert house.inference.requests == []
