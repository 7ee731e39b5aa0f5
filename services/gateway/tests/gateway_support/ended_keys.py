"""Keys that end while something is answered by them."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from modelmill_testkit.waiting import eventually

from gateway_support.house import House

WITHIN_SECONDS = 15.0
"""What is promised is one, of a machine that has nothing else to do."""


@asynccontextmanager
async def revoked_while(house: House, made: dict[str, Any], tenant: str) -> AsyncIterator[None]:
    """The key is revoked once inference works for it; what is within must end soon."""
    await eventually(lambda: house.inference.in_flight > 0)
    started = time.perf_counter()
    answer = await house.http(tenant=tenant).delete(f"/v1/keys/{made['id']}")
    assert answer.json()["deleted"] is True
    yield
    assert time.perf_counter() - started < WITHIN_SECONDS


def last_event(text: str) -> dict[str, Any]:
    """What the stream said last."""
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    # Responses first tell the error, in full, and then how they ended by it.
    last: dict[str, Any] = told[-2] if told[-1].get("type") == "response.failed" else told[-1]
    return last
