"""Asking in the words of Anthropic's Messages API."""

from typing import Any

import httpx

from gateway_support.events import told_events
from gateway_support.house import House

QUESTION = {"role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "weather", "description": "How it is.", "input_schema": SCHEMA}
PATH = "/v1/messages"


def asking(**changes: Any) -> dict[str, Any]:
    """A body of a request."""
    return {"model": "default", "max_tokens": 9, "messages": [QUESTION]} | changes


async def post(house: House, **changes: Any) -> httpx.Response:
    """The answer to one."""
    headers = {"anthropic-version": "2023-06-01"}
    return await house.http().post(PATH, json=asking(**changes), headers=headers)


async def events(house: House, **changes: Any) -> list[dict[str, Any]]:
    """The events of a streamed one."""
    return told_events(await post(house, stream=True, **changes), "MessageEvent")


def calls(house: House, *arguments: str) -> None:
    """Let the engine call behind what it says."""
    house.inference.calls = [("weather", it) for it in arguments]
    house.inference.finish_reason = "tool_calls"
