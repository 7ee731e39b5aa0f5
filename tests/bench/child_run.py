"""A work process of ours from its start to its result, as a worker of the queue runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.children import start_child

from tests.bench.worker import WorkerFailedError


async def child_result(
    module: str,
    request: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `python -m module` answers to the request; its checkpoints are taken and not kept.

    Args:
        folder: Its scratch; exists.
        environment: Variables beside those of this process.

    Raises:
        WorkerFailedError: It did not succeed; with its last words.
    """
    child = await start_child(module, request, folder=folder, env=environment)
    try:
        last: Mapping[str, Any] = {}
        async for message in child.messages():
            last = message
            if message["type"] == "checkpoint":
                child.send({"saved_step": message["step"]})
        if last.get("type") != "succeeded":
            raise WorkerFailedError(f"{module}: {last}\n{child.log_tail()}")
        result: dict[str, Any] = last["result"]
        return result
    finally:
        await child.close()
