"""Asking by OpenAI's Responses API."""

from typing import Any

from gateway_support.events import told_events
from gateway_support.house import House

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "name": "weather", "description": "How it is.", "parameters": SCHEMA}
ARGUMENTS = '{"city": "Zürich"}'
PATH = "/v1/responses"


async def ask(house: House, **changes: Any) -> Any:
    """The answer to a request by the SDK."""
    asked = {"model": "default", "input": "hello"} | changes
    return await house.openai().responses.create(**asked)


async def events(house: House, **changes: Any) -> list[dict[str, Any]]:
    """The events of a streamed one."""
    body = {"model": "default", "input": "hello", "stream": True} | changes
    return told_events(await house.http().post(PATH, json=body), "ResponseEvent")


def calls(house: House, *arguments: str) -> None:
    """Let the engine call behind what it says."""
    house.inference.calls = [("weather", it) for it in arguments]
    house.inference.finish_reason = "tool_calls"
