"""The trainer's child for a while: what it has not done by then goes on from its checkpoint."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelmill_jobs.children import start_child
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.train_model import CHILD_ENVIRONMENT

from tests.bench.worker import WorkerFailedError

ENVIRONMENT = {**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
"""One thread: beside others, threads wait for each other; and another number gives other sums."""


async def train_for(
    request: TrainRequest, folder: Path, kept: Path, seconds: float
) -> dict[str, Any] | None:
    """What the child answers; None where it was stopped before its end.

    Args:
        folder: Its scratch; exists.
        kept: Where its last checkpoint lies between two calls; made.
        seconds: After which it is told to stop.

    Raises:
        WorkerFailedError: It did not succeed; with its last words.
    """
    request = replace(request, checkpoint_folder=_checkpoint(kept))
    child = await start_child(
        "modelmill_trainer.child", request.as_json(), folder=folder, env=ENVIRONMENT
    )
    stopping = asyncio.get_running_loop().call_later(seconds, child.terminate)
    try:
        last: Mapping[str, Any] = {}
        async for message in child.messages():
            last = message
            if message["type"] == "checkpoint":
                await asyncio.to_thread(_keep, Path(message["folder"]), kept)
                child.send({"saved_step": message["step"]})
        if last.get("type") == "preempted":
            return None
        if last.get("type") != "succeeded":
            raise WorkerFailedError(f"modelmill_trainer.child: {last}\n{child.log_tail()}")
        result: dict[str, Any] = last["result"]
        return result
    finally:
        stopping.cancel()
        await child.close()


def _checkpoint(kept: Path) -> Path | None:
    return kept if kept.is_dir() else None


def _keep(checkpoint: Path, kept: Path) -> None:
    """Put a checkpoint in the place of the one before it; there is always a whole one."""
    fresh = kept.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(checkpoint, fresh)
    shutil.rmtree(kept, ignore_errors=True)
    fresh.rename(kept)
