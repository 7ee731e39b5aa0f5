"""hostile.healthy: healthy requests beside ten thousand hostile ones.

Value: per cent of healthy requests that get, while hostile ones are sent, the very answer that they
get alone. Half of the hostile requests go past all checks into an openvino engine's pipe, half over
gRPC through the service: numbers that are none, ids that do not exist, garbled grammars, thousands
of stop texts, callers that leave. They are random, from a seed; a tiny model answers. Denominator:
the same healthy requests alone, 100 %. One run, no rounds: one harmed request is a defect, and
so is an engine process that died. `services/inference/tests/hostile` has the requests.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

from tests.bench.figures import Entry, Line
from tests.bench.harness import WORK_FOLDER, Group, Run
from tests.bench.worker import WorkerFailedError

ID = "hostile.healthy"
MODULE = "services.inference.tests.hostile"
COUNT, QUICK_COUNT = 10_000, 200
SECONDS = 200.0


async def measure(run: Run) -> list[Line]:
    """One entry."""
    count = run.pick(COUNT, QUICK_COUNT)
    run.say(f"{ID}: {count} hostile requests")
    storms = await _storms(count)
    healthy = sum(storm["healthy"] for storm in storms)
    harmed = sum(storm["harmed"] for storm in storms)
    restarts = sum(storm["restarts"] for storm in storms)
    share = 1 - harmed / healthy
    ended = ", ".join(f"{how} {many}" for storm in storms for how, many in storm["hostile"].items())
    return [
        Entry(
            id=ID,
            value=100 * share,
            unit="%",
            against="the same requests alone",
            ratio=share,
            goal="ratio >= 1, no engine died",
            met=not harmed and not restarts,
            ci95=(share, share),
            note=f"{count} hostile: {ended}; {healthy} healthy; engines that died: {restarts}",
        )
    ]


async def _storms(count: int) -> list[dict[str, Any]]:
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    log = WORK_FOLDER / "hostile.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MODULE, str(count)), stdin=DEVNULL, stdout=PIPE, stderr=errors
        )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    storms = [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    if len(storms) != 2:
        raise WorkerFailedError(f"the storm broke off; {log} says why")
    return storms


GROUP = Group((ID,), measure, SECONDS)
