"""Chats that ask for verdicts, and what they are told."""

from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway_support.house import House, compiled

DIGEST = compiled()[0].digest
MODEL = "omni-moderation-latest"


def requested(**modes: str) -> dict[str, Any]:
    """The field `moderation` with these modes."""
    return {"model": MODEL, "policy": {side: {"mode": mode} for side, mode in modes.items()}}


async def whole(house: House, content: str = "hello", **fields: Any) -> ChatCompletion:
    messages = [{"role": "user", "content": content}]
    return await house.openai().chat.completions.create(
        model="default", messages=messages, **fields
    )


async def streamed(house: House, **fields: Any) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in await whole(house, stream=True, **fields)]


def told(moderation: Any) -> tuple[list[Any], list[Any]]:
    """What it says of input and output: flagged, blocked and rules of each text."""
    for side in (moderation.input, moderation.output):
        assert (side.type, side.model) == ("moderation_results", DIGEST)
        assert {(it.type, it.model) for it in side.results} == {("moderation_result", DIGEST)}
    return tuple(
        [(it.flagged, it.blocked, [rule["id"] for rule in it.rules]) for it in side.results]
        for side in (moderation.input, moderation.output)
    )


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


FINE = (False, False, [])
