"""What tests of API keys do again and again."""

from typing import Any

import httpx

from gateway_support.house import House

EVERYTHING = ["chat", "models:read", "models:write", "files", "jobs", "keys"]


async def issued(client: httpx.AsyncClient, **requested: Any) -> dict[str, Any]:
    """A new key's record, with the key."""
    answer = await client.post("/v1/keys", json={"name": "a key"} | requested)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def with_key(house: House, key: str) -> httpx.AsyncClient:
    """A client that shows the key."""
    client = house.http()
    client.headers["authorization"] = f"Bearer {key}"
    return client
