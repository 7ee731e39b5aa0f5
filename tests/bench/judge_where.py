"""judge.where.*: a window judged by a model behind inference, over the same model in one's process.

Value: milliseconds from asking InferenceService.Score over gRPC, on a kept channel from another
process, to the log-likelihoods of nine labels behind a window of 400 characters and the 100 before
it, one window at a time, p50 and p99 of a round's windows. Denominator (the floor): the same build
read by the same code on the same token ids in a process of its own (`judge_bare`), as a moderation
that loaded the model itself would do; making token ids is not in the floor. Every window is new to
both. SmolLM2-135M, int8 weights, full precision as always for scores: what the weights say is of no
interest here, so that the base's build stands for a trained judge's. Goal: 1.25, from where on a
second copy of the model in every moderation would begin to pay. Rival: none.
"""

import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import Conversation, ScoreRequest
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_service_kit.grpc_client import open_channel

from tests.bench.built_model import built_model
from tests.bench.figures import Figures, Goal, Line, Rounds
from tests.bench.harness import Group, Measure, Run
from tests.bench.inference_alone import VERSION, inference_alone
from tests.bench.worker import running

P50, P99 = "judge.where.p50", "judge.where.p99"
FIGURES = {P50: "p50", P99: "p99"}
GOALS = {P50: Goal(1.25), P99: None}
WINDOWS = 60
CHARACTERS = 500
CALL_SECONDS = 30.0
SECONDS, PREPARE_SECONDS = 240.0, 15.0
INSTRUCTION = "Say in one word what is wrong with the text, or that it is safe."
LABELS = (
    *("safe", "weapons", "violence", "cyber", "crime"),
    *("hate", "lies", "self-harm", "sexual"),
)
WORDS = (
    "the a garden bridge letter people often before river quiet answer winter would never market"
    " carry because yellow teacher little between morning story machine after travel about house"
)
VOCABULARY = WORDS.split()


def windows(draw: random.Random, many: int) -> list[str]:
    """Texts of a window and its context, none twice."""
    return [
        " ".join(draw.choice(VOCABULARY) for _ in range(CHARACTERS // 3))[:CHARACTERS]
        for _ in range(many)
    ]


def question(window: str) -> ScoreRequest:
    """As moderation asks it."""
    messages = [
        ChatMessage(role="system", content=INSTRUCTION),
        ChatMessage(role="user", content=window),
    ]
    return ScoreRequest(
        tenant=SHARED_TENANT,
        model=VERSION,
        conversation=Conversation(messages=messages),
        continuations=LABELS,
    )


async def measure(run: Run) -> list[Line]:
    """Both entries, of the same rounds."""
    model = await built_model(run)
    async with _contestants(run, model.int8) as contestants:
        rounds = await run.interleaved("judge.where", contestants, seconds=SECONDS, steady=["p50"])
    return [_line(rounds, entry_id) for entry_id in FIGURES if entry_id in run.wanted]


@asynccontextmanager
async def _contestants(run: Run, build: Path) -> AsyncIterator[dict[str, Measure]]:
    """Both with the model loaded; each turn has windows of its own."""
    draw, many = random.Random(P50), run.pick(WINDOWS, 5)
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(running("judge_bare", str(build)))
        served = await stack.enter_async_context(inference_alone(build))
        channel = await stack.enter_async_context(open_channel(served.address, served.secret))
        stub = InferenceServiceStub(channel)

        async def ours() -> Figures:
            milliseconds = []
            for window in windows(draw, many):
                request = question(window)
                began = time.perf_counter()
                await stub.Score(request, timeout=CALL_SECONDS)
                milliseconds.append((time.perf_counter() - began) * 1e3)
            return percentiles(milliseconds)

        async def floor() -> Figures:
            asked = {"labels": LABELS, "instruction": INSTRUCTION}
            answer = await bare.ask(windows=windows(draw, many), **asked)
            return percentiles(answer["milliseconds"])

        yield {"ours": ours, "floor": floor}


def _line(rounds: Rounds, entry_id: str) -> Line:
    figure = FIGURES[entry_id]
    return rounds.line(
        entry_id,
        figure,
        unit="ms",
        against="the same build in one's own process",
        goal=GOALS[entry_id],
        note=f"floor {rounds.median('floor', figure):.1f} ms",
        floor_figure="p50",
    )


def percentiles(milliseconds: Sequence[float]) -> Figures:
    """The middle of a round, and what one in a hundred exceeds."""
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


GROUP = Group((P50, P99), measure, SECONDS + PREPARE_SECONDS)
