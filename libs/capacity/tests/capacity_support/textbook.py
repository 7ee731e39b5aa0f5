"""Engines and lengths of which queueing theory knows the answer."""

import math
import random
from dataclasses import dataclass

from modelmill_capacity.measurements import BatchStep, EngineTimes
from modelmill_capacity.offered_load import RequestLengths

STEP_SECONDS = 0.01
MEAN_TOKENS = 100
SERVICE_SECONDS = STEP_SECONDS * MEAN_TOKENS


def engine_times(sequences: int = 1, *, shares: bool = False, **changes: object) -> EngineTimes:
    """An engine of so many servers, each as fast as if it were alone.

    Args:
        shares: the servers are one, which divides its time (processor sharing).
    """
    last = STEP_SECONDS * sequences if shares else STEP_SECONDS
    fields: dict[str, object] = {
        "form": "openvino-int8",
        "model": "textbook",
        "machine": "none",
        "origin": "measured",
        "source": "theory",
        "steps": (
            BatchStep(batch=1, seconds=STEP_SECONDS),
            *((BatchStep(batch=sequences, seconds=last),) if sequences > 1 else ()),
        ),
        "prompt_token_seconds": 0.0,
        "overhead_seconds": 0.0,
        "sequences": sequences,
        "tokens": 10**9,
        "waiting": 10**6,
        "chunk_tokens": 10**6,
        "start_seconds": 30.0,
        "prompt_tokens": 10,
        "output_tokens": MEAN_TOKENS,
    }
    return EngineTimes.model_validate(fields | changes)


@dataclass(frozen=True)
class MemorylessLengths(RequestLengths):
    """Answers of geometric length: the service times of an M/M/c queue, in steps."""

    def draw_output(self, draws: random.Random) -> int:
        return 1 + int(math.log(1 - draws.random()) / math.log(1 - 1 / self.output_tokens))


MEMORYLESS = MemorylessLengths(prompt_tokens=10, output_tokens=MEAN_TOKENS)


def erlang_c(servers: int, load: float) -> float:
    """Probability that who arrives must wait, at a load of each server."""
    offered = servers * load
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def mean_wait(servers: int, load: float) -> float:
    """Of an M/M/c queue."""
    return erlang_c(servers, load) * SERVICE_SECONDS / (servers * (1 - load))
