"""What the Messages API refuses and what the policy stops, in Anthropic's shape."""

from typing import Any

import pytest
from gateway_support.house import BLOCKED, MASKED, House
from gateway_support.messages import PATH, QUESTION, TOOL, asking, calls, events, post
from gateway_support.peers import prompt_too_long
from modelmill_service_kit.errors import OverloadedError, UnavailableError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_that_the_policy_ends_is_a_refusal_that_names_the_rule(house: House):
    house.inference.pieces = ["my ", MASKED, " and ", *BLOCKED, " more"]
    whole = (await post(house)).json()
    told = await events(house)
    (ended,) = [it for it in told if it["type"] == "message_delta"]
    text = "".join(it["delta"]["text"] for it in told if it["type"] == "content_block_delta")

    assert whole["stop_reason"] == ended["delta"]["stop_reason"] == "refusal"
    assert whole["content"] == [{"type": "text", "text": "my ***** and "}]
    assert text == "my ***** and "
    for details in (whole["stop_details"], ended["delta"]["stop_details"]):
        assert "no-eating (illicit)" in details["explanation"]
    assert told[-1]["type"] == "message_stop"


async def test_usage_is_told_as_far_as_the_engine_has_counted(house: House):
    house.inference.counts = True
    house.inference.pieces = ["my ", *BLOCKED, " more"]
    whole = (await post(house)).json()["usage"]
    told = await events(house)
    begun, ended = told[0]["message"]["usage"], told[-2]["usage"]

    assert (begun["input_tokens"], begun["output_tokens"]) == (7, 1)
    for usage in (whole, ended):
        assert usage["input_tokens"] == 7
        assert len(BLOCKED) <= usage["output_tokens"] <= len(BLOCKED) + 2


@pytest.mark.parametrize("arguments", [f'{{"city": "{BLOCKED}"}}', f'{{"{MASKED}": 1}}'])
async def test_a_call_that_the_policy_forbids_never_leaves(house: House, arguments: str):
    house.inference.pieces = []
    calls(house, arguments)
    for stream in (False, True):
        answer = await post(house, tools=[TOOL], stream=stream)
        assert "refusal" in answer.text
        assert "tool_use" not in answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": BLOCKED}]},
        {"system": BLOCKED},
        {"tools": [TOOL | {"description": BLOCKED}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "a", "content": BLOCKED}],
                }
            ]
        },
    ],
)
async def test_a_blocked_input_is_refused_in_anthropics_shape(house: House, changes: Any):
    answer = await post(house, **changes)
    said = answer.json()

    assert answer.status_code == 400
    assert (said["type"], said["error"]["type"]) == ("error", "invalid_request_error")
    assert said["error"]["code"] == "content_policy_violation"
    assert said["request_id"] == answer.headers["request-id"]
    assert BLOCKED not in answer.text
    assert house.inference.requests == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"temperature": 1.5}, "temperature"),
        ({"messages": [QUESTION, {"role": "assistant", "content": "I"}]}, "assistant"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "type image"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "a",
                                "content": [{"type": "document"}],
                            }
                        ],
                    }
                ]
            },
            "type document",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "disable_parallel_tool_use",
        ),
        ({"tools": [TOOL | {"defer_loading": True}]}, "tools.0.defer_loading"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"output_config": {"effort": "low"}}, "effort"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"speed": "fast"}, "speed"),
    ],
)
async def test_what_is_wrong_or_not_served_is_refused_by_name(
    house: House, changes: dict[str, Any], named: str
):
    answer = await post(house, **changes)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert house.inference.requests == []


async def test_what_changes_no_answer_is_ignored(house: House):
    cached = {"cache_control": {"type": "ephemeral"}}
    content = [{"type": "text", "text": "hello", **cached}]
    answer = await post(
        house,
        messages=[{"role": "user", "content": content}],
        tools=[TOOL | cached],
        metadata={"user_id": "u"},
        service_tier="auto",
        thinking={"type": "disabled"},
        speed="standard",
        **cached,
    )

    assert answer.status_code == 200


async def test_refusals_have_anthropics_types(house: House):
    async def refused(status: int, **changes: Any) -> Any:
        answer = await post(house, **changes)
        assert answer.status_code == status
        return answer

    assert (await refused(404, model="nobody")).json()["error"]["type"] == "not_found_error"
    house.inference.fail_before = prompt_too_long()
    assert (await refused(400)).json()["error"]["type"] == "invalid_request_error"
    house.inference.fail_before = OverloadedError("full", retry_after_seconds=3)
    overloaded = await refused(503)
    assert overloaded.json()["error"]["type"] == "overloaded_error"
    assert int(overloaded.headers["retry-after"]) >= 3
    house.inference.fail_before = UnavailableError("away")
    assert (await refused(503)).json()["error"]["type"] == "api_error"
    too_large = await post(house, system="x" * 2**21)
    assert (too_large.status_code, too_large.json()["error"]["type"]) == (413, "request_too_large")


async def test_who_is_not_let_in_hears_it_in_anthropics_shape(house: House):
    for claims, status, kind in (
        ({"exp": 1}, 401, "authentication_error"),
        ({"scope": "files"}, 403, "permission_error"),
    ):
        answer = await house.http(**claims).post(PATH, json=asking())
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


async def test_an_error_in_mid_stream_is_the_last_event(house: House):
    house.inference.fail_after = UnavailableError("away")
    told = await events(house)

    assert told[-1]["type"] == "error"
    assert told[-1]["error"]["type"] == "api_error"
    assert "message_stop" not in [event["type"] for event in told]


async def test_a_misspelt_field_is_refused_with_the_one_that_may_be_meant(house: House):
    answer = await post(house, temprature=0.5)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "temprature" in answer.json()["error"]["message"]
    assert "Did you mean 'temperature'?" in answer.json()["error"]["message"]
