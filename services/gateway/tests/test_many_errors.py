"""A body with a million errors costs its sender an answer of one line, and others nothing."""

import json
import time

import pytest
from gateway_support.house import House
from modelmill_gateway.entrypoints.schemas.parsing import MOST_ERRORS

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY_BYTES = 1_000_000
MAX_ANSWER_BYTES = 64 * 1024
UNKNOWN_FIELDS = ", ".join(f'"{number:x}": 0' for number in range(60_000))
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


def filled(begin: str, member: str, end: str) -> str:
    """A body with as many of a list's members as there is room for."""
    return begin + ",".join([member] * (BODY_BYTES // (len(member) + 1))) + end


FLOODS = {
    "messages": (CHAT, filled('{"model": "default", "messages": [', "{}", "]}")),
    "tool calls": (
        CHAT,
        filled(
            '{"model": "default", "messages": [{"role": "assistant", "tool_calls": [', "0", "]}]}"
        ),
    ),
    "choices": (
        CHAT,
        filled(
            '{"model": "default", "messages": [{"role": "user", "content": "a"}],'
            ' "guided_choice": [',
            "0",
            "]}",
        ),
    ),
    "turns": (MESSAGES, filled('{"model": "default", "max_tokens": 1, "messages": [', "0", "]}")),
    "blocks": (
        MESSAGES,
        filled(
            '{"model": "default", "max_tokens": 1, "messages": [{"role": "user", "content": [',
            '{"type": "text"}',
            "]}]}",
        ),
    ),
    "blocks of what is not served": (
        MESSAGES,
        filled(
            '{"model": "default", "max_tokens": 1, "messages": [{"role": "user", "content": [',
            '{"type": "text", "text": "", "citations": 1}',
            "]}]}",
        ),
    ),
    "items": ("/v1/responses", filled('{"model": "default", "input": [', "0", "]}")),
    "unknown fields": ("/v1/keys", f'{{"name": "a", {UNKNOWN_FIELDS}}}'),
    "unknown fields of OpenAI's": (
        CHAT,
        f'{{"model": "default", "messages": [{{"role": "user", "content": "a"}}],'
        f" {UNKNOWN_FIELDS}}}",
    ),
}


@pytest.mark.parametrize(("path", "body"), FLOODS.values(), ids=FLOODS)
async def test_a_million_errors_are_answered_in_a_line(house: House, path: str, body: str):
    async with house.http() as client:
        # Of the process that answers and asks: a wait for the machine is no work of ours.
        began = time.process_time()
        answer = await client.post(path, content=body)
        seconds = time.process_time() - began
    assert answer.status_code in (400, 422)
    assert len(answer.content) < MAX_ANSWER_BYTES
    # Alone to parse as many values takes a tenth of a second; to write each error down, seconds.
    assert seconds < 1.5


async def test_as_many_errors_as_a_person_makes_are_all_said(house: House):
    names = [f"field_{number}" for number in range(MOST_ERRORS)]
    async with house.http() as client:
        body = {"name": "a", **dict.fromkeys(names, 0)}
        answer = await client.post("/v1/keys", json=body)
        assert len(answer.json()["error"]["errors"]) == MOST_ERRORS
        answer = await client.post("/v1/keys", json=body | {"one_more": 0})
    error = json.loads(answer.content)["error"]
    assert error["errors"] == [error["message"]]
    assert f"{MOST_ERRORS + 1} errors" in error["message"]
