"""A batch and a run of an eval on the whole stack: real files, real identities, a real model."""

import json
from typing import Any

from modelmill_testkit.waiting import eventually

from tests.e2e.conftest import Loop

OVER = ("completed", "failed", "expired", "cancelled", "canceled")
QUESTION = [{"role": "user", "content": "thing 7: something that barks"}]


async def batch_is_answered(loop: Loop, version_id: str) -> None:
    """Every line once, by the version that an alias means; what is wrong is told in the errors."""
    body = {"model": "kinds", "messages": QUESTION, "max_tokens": 4, "temperature": 0}
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body | change}
        for name, change in (("first", {}), ("second", {}), ("nobody", {"model": "nobody"}))
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    stored = await loop.openai.files.create(file=("asked.jsonl", content), purpose="batch")
    batch = await loop.openai.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )

    async def ended() -> Any:
        found = await loop.openai.batches.retrieve(batch.id)
        return found if found.status in OVER else None

    batch = await eventually(ended, within=60)
    assert batch.status == "completed", batch
    rows = await _rows(loop, batch.output_file_id)
    assert sorted(row["custom_id"] for row in rows) == ["first", "second"]
    assert {row["response"]["body"]["system_fingerprint"] for row in rows} == {version_id}
    (error,) = await _rows(loop, batch.error_file_id)
    assert error["response"]["status_code"] == 404


async def answers_are_graded(loop: Loop) -> None:
    """Rows that come with the order are sampled, and graded by their text."""
    client: Any = loop.openai.evals
    criterion = {
        "type": "string_check",
        "name": "says something",
        "input": "{{sample.output_text}}",
        "reference": "{{item.not}}",
        "operation": "ne",
    }
    found = await client.create(
        data_source_config={"type": "custom", "item_schema": {"type": "object"}},
        testing_criteria=[criterion],
    )
    source = {
        "type": "completions",
        "source": {"type": "file_content", "content": [{"item": {"not": "no such answer"}}]},
        "model": "kinds",
        "input_messages": {"type": "template", "template": QUESTION},
        "sampling_params": {"max_completion_tokens": 4, "temperature": 0},
    }
    run = await client.runs.create(found.id, data_source=source)

    async def ended() -> Any:
        latest = await client.runs.retrieve(run.id, eval_id=found.id)
        return latest if latest.status in OVER else None

    run = await eventually(ended, within=60)
    assert (run.status, run.result_counts.passed) == ("completed", 1), run
    items = await client.runs.output_items.list(run.id, eval_id=found.id)
    assert items.data[0].sample.usage.completion_tokens > 0


async def _rows(loop: Loop, file_id: str | None) -> list[Any]:
    assert file_id is not None
    content = (await loop.openai.files.content(file_id)).read()
    return [json.loads(line) for line in content.splitlines()]
