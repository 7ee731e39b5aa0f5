"""Evals and runs, ordered and awaited through the SDK."""

from typing import Any

from modelmill_testkit.waiting import eventually
from openai import AsyncOpenAI

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
EXACT = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.right}}",
    "operation": "eq",
}
ASKED = {
    "type": "template",
    "template": [
        {"role": "system", "content": "Say it."},
        {"role": "user", "content": "Say {{ item.text }} in {{item.how.language}}"},
    ],
}


async def made(client: AsyncOpenAI, *criteria: dict[str, Any], **fields: Any) -> Any:
    """An eval of these criteria."""
    config: Any = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
    wanted: Any = list(criteria) or [EXACT]
    return await client.evals.create(
        data_source_config=config, testing_criteria=wanted, **({"name": "kinds"} | fields)
    )


def rows(*rights: str) -> list[dict[str, Any]]:
    """Rows of which these are the right answers."""
    return [
        {"item": {"text": f"word {number}", "how": {"language": "en"}, "right": right}}
        for number, right in enumerate(rights)
    ]


def sampled(content: list[dict[str, Any]], **changes: Any) -> Any:
    """A data source whose rows come with it."""
    return {
        "type": "completions",
        "source": {"type": "file_content", "content": content},
        "model": "default",
        "input_messages": ASKED,
    } | changes


async def run_of(client: AsyncOpenAI, found: Any, source: Any, **fields: Any) -> Any:
    """The run, once nothing more happens to it."""
    run = await client.evals.runs.create(found.id, data_source=source, **fields)
    return await run_ended(client, found.id, run.id)


async def run_ended(client: AsyncOpenAI, eval_id: str, run_id: str) -> Any:
    """The run, once nothing more happens to it."""

    async def over() -> Any:
        run = await client.evals.runs.retrieve(run_id, eval_id=eval_id)
        return run if run.status in ("completed", "failed", "canceled") else None

    return await eventually(over)


async def items_of(client: AsyncOpenAI, run: Any) -> list[Any]:
    """All rows of a run."""
    listed = client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, limit=2)
    return [item async for item in listed]
