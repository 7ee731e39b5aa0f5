"""One turn of inference alone under the load of `rpc_load`: its rate, and what it took."""

from collections.abc import Sequence

import psutil

from tests.bench.figures import Figures
from tests.bench.inference_alone import VERSION, Alone
from tests.bench.worker import Worker

RATE = "tokens/s"
TENANT = "bench"


async def rpc_turn(
    alone: Alone, client: Worker, prompts: Sequence[str], in_flight: int, new_tokens: int
) -> tuple[Figures, list[float]]:
    """Rates, CPU and messages a token; and the seconds of each request."""
    service, engine = _cpu_seconds(alone.pid)
    answer = await client.ask(
        address=alone.address,
        secret=alone.secret,
        tenant=TENANT,
        version_id=VERSION,
        prompts=list(prompts),
        in_flight=in_flight,
        max_new_tokens=new_tokens,
    )
    service_after, engine_after = _cpu_seconds(alone.pid)
    tokens, seconds = answer["tokens"], answer["seconds"]
    figures = {
        RATE: tokens / seconds,
        "queries/s": len(prompts) / seconds,
        "us service": (service_after - service) / tokens * 1e6,
        "us engine": (engine_after - engine) / tokens * 1e6,
        "us client": answer["cpu_seconds"] / tokens * 1e6,
        "messages": answer["messages"] / tokens,
    }
    return figures, answer["latencies"]


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """CPU taken so far by the service, and by the engine below it."""
    process = psutil.Process(pid)
    return _seconds(process), sum(map(_seconds, process.children(recursive=True)))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
