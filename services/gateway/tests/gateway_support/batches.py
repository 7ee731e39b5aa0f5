"""Batches, ordered and awaited through the SDK."""

import json
from collections.abc import Sequence
from typing import Any

from modelmill_testkit.waiting import eventually
from openai import AsyncOpenAI, NotFoundError
from openai.types import Batch, FileObject

CHAT = "/v1/chat/completions"
OVER = ("completed", "failed", "expired", "cancelled")


def line(custom_id: str, *, url: str = CHAT, content: str = "hello", **changes: Any) -> Any:
    """One request; `changes` are its model or its whole body."""
    body = {
        "model": changes.get("model", "default"),
        "messages": [{"role": "user", "content": content}],
    }
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": changes.get("body", body),
    }


async def batch_of(client: AsyncOpenAI, asked: Sequence[Any]) -> FileObject:
    """A file of these requests."""
    rows = [each if isinstance(each, str) else json.dumps(each) for each in asked]
    content = "\n".join(rows).encode() + b"\n"
    return await client.files.create(file=("requests.jsonl", content), purpose="batch")


async def ordered(
    client: AsyncOpenAI, asked: Sequence[Any], *, endpoint: Any = CHAT, **fields: Any
) -> Batch:
    """A batch of them."""
    stored = await batch_of(client, asked)
    return await client.batches.create(
        input_file_id=stored.id, endpoint=endpoint, completion_window="24h", **fields
    )


async def ended(client: AsyncOpenAI, batch_id: str, within: float = 30.0) -> Batch:
    """The batch, once nothing more happens to it."""

    async def over() -> Batch | None:
        try:
            batch = await client.batches.retrieve(batch_id)
        except NotFoundError:
            # Ordered on the bus, of which the gateway hears in a moment.
            return None
        return batch if batch.status in OVER else None

    return await eventually(over, within=within)


async def rows_of(client: AsyncOpenAI, file_id: str | None) -> dict[str, Any]:
    """The rows of an output or error file by their custom ids; each is there once."""
    assert file_id is not None
    content = (await client.files.content(file_id)).read()
    assert content.endswith(b"\n")
    rows = [json.loads(row) for row in content.splitlines()]
    found = {row["custom_id"]: row for row in rows}
    assert len(found) == len(rows), "a request was answered twice"
    return found
