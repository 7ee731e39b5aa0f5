"""A process of the bench that says a line of JSON for each step."""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from tests.bench.worker import WorkerFailedError

Told = Callable[[str, int, int], None]
"""Phase, units done, units in all (0 if unknown)."""
LAST_LINES = 12
MOST_LINE_BYTES = 1 << 20


async def run_steps(
    module: str,
    arguments: Sequence[str],
    told: Told,
    command: Sequence[str] = (sys.executable, "-m"),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a module, or a script by another `command`, to its end.

    Raises:
        WorkerFailedError: It failed; with its last words.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=MOST_LINE_BYTES,
        env=os.environ | dict(environment or {}),
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    if process.stdout is None:
        raise WorkerFailedError(f"{module} has no output")
    try:
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            if not _tell(text, told) and text:
                last.append(text)
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = "\n".join(last)
        raise WorkerFailedError(f"{module} ended with {process.returncode}:\n{words}")


def _tell(text: str, told: Told) -> bool:
    """Whether the line was a step."""
    try:
        step = json.loads(text)
    except ValueError:
        return False
    if not isinstance(step, dict) or "phase" not in step:
        return False
    told(step["phase"], step["done"], step["total"])
    return True
