"""Tools and their calls over HTTP and gRPC; the guard checks arguments of calls like text."""

import json
from typing import Any

import openai
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BLOCKED, MASKED, House
from modelmill.common.v1.chat_pb2 import ChatMessage, Tool
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill_gateway.domain.chat import ToolCall
from modelmill_gateway.guarding.guarded_json import guarded_call
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "How it is.", "parameters": SCHEMA},
    }
]
ARGUMENTS = '{"city": "Zürich"}'
CARDS = """
rules:
  - id: card
    category: personal
    severity: high
    action: mask
    directions: both
    pattern: "4[0-9]{3}"
"""
ESCAPED = BLOCKED.replace("b", "\\u0062")


async def ask(house: House, **changes: Any) -> Any:
    asked = {"model": "default", "messages": QUESTION, "tools": TOOLS} | changes
    return await house.openai().chat.completions.create(**asked)


def calls(house: House, *arguments: str) -> None:
    """Let the engine call, and say nothing before."""
    house.inference.pieces = []
    house.inference.calls = [("weather", it) for it in arguments]
    house.inference.finish_reason = "tool_calls"


def asked_again(call_id: str, arguments: str) -> list[dict[str, Any]]:
    """A conversation in which the assistant has called."""
    call = {
        "id": call_id,
        "type": "function",
        "function": {"name": "a", "arguments": arguments},
    }
    return [*QUESTION, {"role": "assistant", "tool_calls": [call]}, result(call_id)]


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "fine"}


async def test_tools_reach_the_engine_and_its_calls_the_client(house: House):
    calls(house, ARGUMENTS, "{}")
    answer = await ask(house, tool_choice="auto")
    (choice,) = answer.choices

    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    said = [(call.id, call.type, call.function.arguments) for call in choice.message.tool_calls]
    assert said == [("call00000", "function", ARGUMENTS), ("call00001", "function", "{}")]
    conversation = house.inference.requests[0].conversation
    (tool,) = conversation.tools
    assert (tool.name, tool.description) == ("weather", "How it is.")
    assert json.loads(tool.parameters_schema) == SCHEMA
    assert conversation.tool_choice == "auto"


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "weather"}}, "weather"),
    ],
)
async def test_a_choice_of_tools_reaches_the_engine(house: House, choice: Any, word: str):
    await ask(house, tool_choice=choice)

    assert house.inference.requests[0].conversation.tool_choice == word


async def test_streamed_calls_come_whole_each_at_its_place(house: House):
    calls(house, ARGUMENTS, "{}")
    house.inference.pieces = ["Let me see."]
    choices = [chunk.choices[0] async for chunk in await ask(house, stream=True, n=2)]

    for number in (0, 1):
        own = [choice for choice in choices if choice.index == number]
        assert "".join(choice.delta.content or "" for choice in own) == "Let me see."
        told = [call for choice in own for call in choice.delta.tool_calls or []]
        assert [(call.index, call.function.name) for call in told] == [
            (0, "weather"),
            (1, "weather"),
        ]
        assert json.loads(told[0].function.arguments) == {"city": "Zürich"}
        assert own[-1].finish_reason == "tool_calls"


async def test_a_conversation_goes_on_behind_a_call_and_its_result(house: House):
    calls(house, ARGUMENTS)
    first = (await ask(house)).choices[0].message
    result = {"role": "tool", "content": "sunny", "tool_call_id": first.tool_calls[0].id}
    await ask(house, messages=[*QUESTION, first, result])
    _, called, answered = house.inference.requests[1].conversation.messages

    assert (called.role, called.content) == ("assistant", "")
    assert [(it.id, it.name, it.arguments) for it in called.tool_calls] == [
        ("call00000", "weather", ARGUMENTS)
    ]
    assert (answered.role, answered.content) == ("tool", "sunny")
    assert answered.tool_call_id == "call00000"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        f'{{"city": "a {BLOCKED}"}}',
        f'{{"city": "{ESCAPED}"}}',
        f'{{"a": [1, {{"b": ["{BLOCKED.upper()}"]}}]}}',
        f'{{"{BLOCKED}": 1}}',
        f'{{"{MASKED}": 1}}',
        '{"' + BLOCKED.replace(" ", "\\n") + '": 1}',
        f'{{"{MASKED}\\\\n": 1}}',
        f'{{"city": "{"x" * 200_000}"}}',
    ],
)
async def test_a_call_that_the_policy_forbids_never_leaves(
    house: House, arguments: str, stream: bool
):
    calls(house, "{}", arguments, "{}")
    body = {"model": "default", "messages": QUESTION, "tools": TOOLS, "stream": stream}
    async with house.http() as client:
        raw = (await client.post("/v1/chat/completions", json=body)).text

    assert raw.count("call0000") == 1
    assert "content_filter" in raw
    for secret in (BLOCKED, BLOCKED.upper(), MASKED, "xxxx", "u0062"):
        assert secret not in raw


@pytest.mark.parametrize("stream", [False, True])
async def test_masks_fall_on_the_texts_in_a_call(house: House, stream: bool):
    calls(house, f'{{"say": ["my {MASKED}"], "n": 1}}')
    if stream:
        chunks = [chunk async for chunk in await ask(house, stream=True)]
        told = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    else:
        told = (await ask(house)).choices[0].message.tool_calls

    assert [json.loads(call.function.arguments) for call in told] == [{"say": ["my *****"], "n": 1}]


async def test_what_cannot_be_masked_in_a_call_blocks_it():
    bundle = compile_policy(parse_policy({"cards.yaml": CARDS}))
    policy = CompiledPolicy.from_bundle(bundle.content, bundle.digest)

    text, number = (ToolCall("a", "pay", it) for it in ('{"card": "4123"}', '{"card": 4123}'))
    assert guarded_call(text, policy).call == ToolCall("a", "pay", '{"card": "****"}')
    assert guarded_call(number, policy).call is None


async def test_text_before_a_call_is_guarded_as_ever(house: House):
    calls(house, ARGUMENTS)
    house.inference.pieces = [*f"my {MASKED} and {BLOCKED}", " "]
    message = (await ask(house)).choices[0]

    assert message.message.content == "my ***** and "
    assert (message.finish_reason, message.message.tool_calls) == ("content_filter", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [{"type": "function", "function": {"name": "a", "description": BLOCKED}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "a", "parameters": {"enum": [["x", {"y": BLOCKED}]]}},
                }
            ]
        },
        {"tools": [{"type": "function", "function": {"name": "a", "description": MASKED}}]},
        {"messages": [*QUESTION, {"role": "tool", "content": BLOCKED, "tool_call_id": "a"}]},
        {
            "messages": [
                *QUESTION,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "a",
                            "type": "function",
                            "function": {"name": "a", "arguments": f'{{"a": "{ESCAPED}"}}'},
                        }
                    ],
                },
            ]
        },
        {"messages": asked_again("c1", f'{{"a": "{BLOCKED}", "a": 1}}')},
        {"messages": asked_again("c1", f'{{"a": {{"{BLOCKED}": 0, "{BLOCKED}": 1}}, "a": 1}}')},
        {"messages": asked_again(BLOCKED, "{}")},
        {"messages": [*asked_again("c1", "{}"), result(BLOCKED)]},
    ],
)
async def test_what_tools_and_calls_say_is_judged_like_any_input(
    house: House, changes: dict[str, Any]
):
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(house, **changes)

    assert refused.value.code == "content_policy_violation"
    assert house.inference.requests == []


async def test_masks_on_turns_reach_the_engine_beside_tools(house: House):
    await ask(house, messages=[{"role": "user", "content": f"my {MASKED}"}])

    (turn,) = house.inference.requests[0].conversation.messages
    assert turn.content == "my *****"


async def test_grpc_takes_tools_and_gives_calls(house: House):
    calls(house, ARGUMENTS)
    call = pb.ChatCall(
        model="default",
        messages=[ChatMessage(role="user", content="hello")],
        tools=[Tool(name="weather", parameters_schema="{}")],
        tool_choice="weather",
    )
    async with grpc_stub(house) as stub:
        whole = await stub.Chat(pb.ChatRequest(call=call), timeout=CALL_SECONDS)
        request = pb.StreamChatRequest(call=call)
        pieces = [piece async for piece in stub.StreamChat(request, timeout=CALL_SECONDS)]

    for told in (whole.answers[0].tool_calls, [c for p in pieces for c in p.tool_calls]):
        assert [(it.name, it.arguments) for it in told] == [("weather", ARGUMENTS)]
    assert whole.end.finish_reason == pieces[-1].end.finish_reason == "tool_calls"
    assert house.inference.requests[0].conversation.tool_choice == "weather"
